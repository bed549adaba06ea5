//! Usage reports: sums of roll-ups over a time range, by group. Reads roll-ups as they were booked; computes no price.

use std::collections::HashMap;

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Action, may};
use crate::control::plane::{Control, FRESH_WAIT_MS};
use crate::control::requests::covers_key;
use crate::domain::api_error::ApiError;
use crate::domain::event::StatusClass;
use crate::domain::id::{KeyId, OrganizationId, TeamId};
use crate::domain::role::Scope;
use crate::domain::zone::{Window, Zone};
use crate::store::{
    RetentionCutoffs, RollupKey, RollupPeriod, RollupSums, StatedKind, Store, StoreError,
};

/// Row limit; larger reports are refused.
const ROWS_MAX: usize = 10_000;
/// Roll-ups that one report reads at most: about a second of work.
const ROLLUPS_MAX: u64 = 1_000_000;

/// Property to group usage by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Provider,
    Model,
    Team,
    Organization,
    Key,
    Status,
    Tag,
    User,
}

impl Dimension {
    pub const ALL: [Dimension; 8] = [
        Dimension::Provider,
        Dimension::Model,
        Dimension::Team,
        Dimension::Organization,
        Dimension::Key,
        Dimension::Status,
        Dimension::Tag,
        Dimension::User,
    ];

    /// Kind of values that clients state; they are counted by day and key only.
    pub fn stated(self) -> Option<StatedKind> {
        match self {
            Dimension::Tag => Some(StatedKind::Tag),
            Dimension::User => Some(StatedKind::User),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Provider => "provider",
            Dimension::Model => "model",
            Dimension::Team => "team",
            Dimension::Organization => "organization",
            Dimension::Key => "key",
            Dimension::Status => "status",
            Dimension::Tag => "tag",
            Dimension::User => "user",
        }
    }
}

/// Length of time to group usage by, cut in the zone of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportInterval {
    Hour,
    Day,
    Month,
}

impl ReportInterval {
    pub const ALL: [ReportInterval; 3] = [
        ReportInterval::Hour,
        ReportInterval::Day,
        ReportInterval::Month,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ReportInterval::Hour => "hour",
            ReportInterval::Day => "day",
            ReportInterval::Month => "month",
        }
    }

    fn window(self, zone: &Zone, at_ms: u64) -> Window {
        match self {
            ReportInterval::Hour => zone.hour(at_ms),
            ReportInterval::Day => zone.day(at_ms),
            ReportInterval::Month => zone.month(at_ms),
        }
    }
}

/// Time range and groups of a usage report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// start of an hour
    pub start_ms: u64,
    /// start of an hour, exclusive
    pub end_ms: u64,
    pub interval: Option<ReportInterval>,
    pub dimensions: Vec<Dimension>,
}

impl UsageQuery {
    /// Kind of stated values that the report is grouped by.
    pub fn stated(&self) -> Option<StatedKind> {
        self.dimensions
            .iter()
            .find_map(|dimension| dimension.stated())
    }

    /// Ranges to read: days for whole days, hours for the partial days at both ends, only hours if grouped by hour. An end in
    /// the future counts as partial all the same: time may have gone back, and usage may lie after it.
    fn ranges(&self, zone: &Zone) -> Vec<RollupRange> {
        let start = zone.day(self.start_ms);
        let from_ms = if start.start_ms == self.start_ms {
            self.start_ms
        } else {
            start.end_ms
        };
        let to_ms = zone.day(self.end_ms).start_ms;
        let ranges = if self.interval == Some(ReportInterval::Hour) || from_ms >= to_ms {
            vec![RollupRange {
                period: RollupPeriod::Hour,
                from_ms: self.start_ms,
                to_ms: self.end_ms,
            }]
        } else {
            vec![
                RollupRange {
                    period: RollupPeriod::Hour,
                    from_ms: self.start_ms,
                    to_ms: from_ms,
                },
                RollupRange {
                    period: RollupPeriod::Day,
                    from_ms,
                    to_ms,
                },
                RollupRange {
                    period: RollupPeriod::Hour,
                    from_ms: to_ms,
                    to_ms: self.end_ms,
                },
            ]
        };
        ranges
            .into_iter()
            .filter(|range| range.from_ms < range.to_ms)
            .collect()
    }
}

/// A time range of hour or day roll-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RollupRange {
    period: RollupPeriod,
    from_ms: u64,
    to_ms: u64,
}

impl RollupRange {
    /// Start of retention for its roll-ups.
    fn retained_from_ms(&self, cutoffs: &RetentionCutoffs) -> u64 {
        match self.period {
            RollupPeriod::Hour => cutoffs.hours_ms,
            RollupPeriod::Day => cutoffs.days_ms,
        }
    }
}

/// Refuses a report whose sums would lack deleted roll-ups.
fn not_retained(range: &RollupRange, cutoffs: &RetentionCutoffs, zone: &Zone) -> ApiError {
    let from = zone.date(range.retained_from_ms(cutoffs));
    let message = match range.period {
        RollupPeriod::Hour => format!(
            "hours before {from} are not retained (`retention.hours_days`); ask for whole days, or a later start"
        ),
        RollupPeriod::Day => {
            format!(
                "usage before {from} is not retained (`retention.days_days`); ask for a later start"
            )
        }
    };
    ApiError::invalid(message).with_param("start")
}

/// Value of a dimension that a group shares. `None`: the key does not exist (any more).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupValue {
    Provider(String),
    Model(String),
    Team(Option<TeamId>),
    Organization(Option<OrganizationId>),
    Key(KeyId),
    Status(StatusClass),
    Stated(StatedValue),
}

/// Tag or end user that the calls of a group state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatedValue {
    /// tag, or pseudonym of the user
    Named(String),
    /// values above the bound of a day
    Other,
    /// the client stated nothing
    Nothing,
}

/// Sums of one group.
#[derive(Clone, Debug)]
pub struct UsageRow {
    /// start of the hour, day or month
    pub interval_start_ms: Option<u64>,
    /// in the order of the query's dimensions
    pub values: Vec<GroupValue>,
    pub sums: RollupSums,
}

#[derive(Clone, Debug)]
pub struct UsageReport {
    /// by time, then the highest cost first
    pub rows: Vec<UsageRow>,
    pub total: RollupSums,
    /// everything logged until then is counted; `None`: the newest requests may be missing
    pub as_of_ms: Option<u64>,
    /// uncorrected orphans of all times, booked at their ceiling; `None` for an actor that may not read the ledger
    pub orphans_uncorrected: Option<u64>,
}

type Groups = HashMap<(Option<u64>, Vec<GroupValue>), RollupSums>;

impl Control {
    pub async fn usage(
        &self,
        grant: &Grant<may::ReadUsage>,
        query: &UsageQuery,
    ) -> Result<UsageReport, ApiError> {
        let now_ms = self.now_ms();
        let fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        let (query, zone) = (query.clone(), self.zone.clone());
        let directory = self.directory.load_full();
        let restricted = (!grant.covers(Scope::Instance)).then(|| grant.clone());
        let counted = move |key: KeyId| {
            let directory = &directory;
            restricted
                .as_ref()
                .is_none_or(|grant| covers_key(directory, grant, key))
        };
        let directory = self.directory();
        let read = self.read(move |store| {
            let (ranges, cutoffs) = (query.ranges(&zone), store.retention_cutoffs()?);
            if let Some(range) = ranges
                .iter()
                .find(|range| range.from_ms < range.retained_from_ms(&cutoffs))
            {
                return Ok(Err(not_retained(range, &cutoffs, &zone)));
            }
            let (groups, rows) = read_groups(store, &query, &ranges, &zone, &directory, &counted)?;
            Ok::<_, StoreError>(Ok((groups, rows, store.orphans_uncorrected()?)))
        });
        let (groups, rows, orphans_uncorrected) = read.await??;
        if rows == ROLLUPS_MAX {
            let message = format!(
                "limit of {ROLLUPS_MAX} roll-ups per report exceeded; ask for a shorter time, or for whole days"
            );
            return Err(ApiError::invalid(message).with_param("start"));
        }
        let reads_ledger = grant.sees(Action::ReadLedger, Scope::Instance);
        report(
            groups,
            fresh.then_some(now_ms),
            reads_ledger.then_some(orphans_uncorrected),
        )
    }

    /// Rows read by reports since the start: roll-ups, entries of the request log.
    pub fn rows_read(&self) -> (u64, u64) {
        self.store.rows_read()
    }

    /// Rows of tenants that changes read since the start.
    pub fn change_rows_read(&self) -> u64 {
        self.store.change_rows_read()
    }

    /// Database pages read from disk since the start, by any operation.
    pub fn pages_read(&self) -> u64 {
        self.store.pages_read()
    }
}

/// Sums the roll-ups of these ranges by group; returns also how many were read. Stops adding groups above the row limit.
fn read_groups(
    store: &Store,
    query: &UsageQuery,
    ranges: &[RollupRange],
    zone: &Zone,
    directory: &Directory,
    counted: &dyn Fn(KeyId) -> bool,
) -> Result<(Groups, u64), StoreError> {
    let (mut groups, mut rows) = (Groups::new(), 0);
    // read before the roll-ups, of which they are a part
    let mut stated: Vec<(RollupKey, StatedValue, RollupSums)> = Vec::new();
    for (kind, range) in query
        .stated()
        .into_iter()
        .flat_map(|kind| ranges.iter().map(move |range| (kind, range)))
    {
        let days = (range.from_ms, range.to_ms);
        rows += store.stated_usage(kind, days, ROLLUPS_MAX - rows, |row, value, sums| {
            if counted(row.key) {
                let value = value.map_or(StatedValue::Other, |value| {
                    StatedValue::Named(value.to_owned())
                });
                stated.push((day_of_key(row.start_ms, row.key), value, *sums));
            }
        })?;
    }
    let nothing = StatedValue::Nothing;
    for range in ranges {
        let (period, from_ms, to_ms) = (range.period, range.from_ms, range.to_ms);
        rows += store.rollups(period, from_ms, to_ms, ROLLUPS_MAX - rows, |row, sums| {
            if groups.len() <= ROWS_MAX && counted(row.key) {
                let group = group_of(query, zone, directory, row, &nothing);
                groups.entry(group).or_default().add(sums);
            }
        })?;
    }
    for (row, value, sums) in &stated {
        if groups.len() <= ROWS_MAX {
            let rest = groups.entry(group_of(query, zone, directory, row, &nothing));
            rest.or_default().remove(sums);
            let named = groups.entry(group_of(query, zone, directory, row, value));
            named.or_default().add(sums);
        }
    }
    groups.retain(|_, sums| *sums != RollupSums::default());
    Ok((groups, rows))
}

/// Key of a roll-up of which only day and virtual key are known.
fn day_of_key(start_ms: u64, key: KeyId) -> RollupKey {
    RollupKey {
        start_ms,
        key,
        model_asked: "".into(),
        provider: "".into(),
        model: "".into(),
        class: StatusClass::Ok,
    }
}

fn group_of(
    query: &UsageQuery,
    zone: &Zone,
    directory: &Directory,
    row: &RollupKey,
    stated: &StatedValue,
) -> (Option<u64>, Vec<GroupValue>) {
    let caller = directory.key(row.key);
    let value = |dimension: &Dimension| match dimension {
        Dimension::Provider => GroupValue::Provider(row.provider.to_string()),
        Dimension::Model => GroupValue::Model(row.model.to_string()),
        Dimension::Team => GroupValue::Team(caller.map(|caller| caller.team.id)),
        Dimension::Organization => {
            GroupValue::Organization(caller.map(|caller| caller.organization.id))
        }
        Dimension::Key => GroupValue::Key(row.key),
        Dimension::Status => GroupValue::Status(row.class),
        Dimension::Tag | Dimension::User => GroupValue::Stated(stated.clone()),
    };
    let interval_start_ms = query
        .interval
        .map(|interval| interval.window(zone, row.start_ms).start_ms);
    (
        interval_start_ms,
        query.dimensions.iter().map(value).collect(),
    )
}

fn report(
    mut groups: Groups,
    as_of_ms: Option<u64>,
    orphans_uncorrected: Option<u64>,
) -> Result<UsageReport, ApiError> {
    if groups.len() > ROWS_MAX {
        return Err(ApiError::invalid(format!(
            "limit of {ROWS_MAX} rows per report exceeded; ask for a shorter time or fewer groups"
        ))
        .with_param("group_by"));
    }
    let mut total = RollupSums::default();
    groups.values().for_each(|sums| total.add(sums));
    // a rest beside tags or users may have only their latencies
    groups.retain(|_, sums| sums.without_latencies() != RollupSums::default());
    let row = |((interval_start_ms, values), sums)| UsageRow {
        interval_start_ms,
        values,
        sums,
    };
    let mut rows: Vec<UsageRow> = groups.into_iter().map(row).collect();
    rows.sort_by(|one, other| {
        let by_cost = other.sums.cost.cmp(&one.sums.cost);
        one.interval_start_ms
            .cmp(&other.interval_start_ms)
            .then(by_cost)
            .then_with(|| one.values.cmp(&other.values))
    });
    Ok(UsageReport {
        rows,
        total,
        as_of_ms,
        orphans_uncorrected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        Zone::parse_rfc3339(text).expect(text)
    }

    fn query(start: &str, end: &str, interval: Option<ReportInterval>) -> UsageQuery {
        UsageQuery {
            start_ms: ms(start),
            end_ms: ms(end),
            interval,
            dimensions: Vec::new(),
        }
    }

    fn periods(start: &str, end: &str, interval: Option<ReportInterval>) -> Vec<RollupPeriod> {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let ranges = query(start, end, interval).ranges(&berlin);
        ranges.iter().map(|range| range.period).collect()
    }

    #[test]
    fn whole_days_are_read_as_days_and_partial_days_as_hours() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let query = query("2026-11-01T10:00:00Z", "2026-11-20T12:00:00Z", None);
        let days = RollupRange {
            period: RollupPeriod::Day,
            from_ms: ms("2026-11-01T23:00:00Z"),
            to_ms: ms("2026-11-19T23:00:00Z"),
        };
        let ranges = query.ranges(&berlin);
        assert_eq!(ranges[1], days);
        assert_eq!(
            (ranges[0].from_ms, ranges[0].to_ms),
            (ms("2026-11-01T10:00:00Z"), days.from_ms)
        );
        assert_eq!(
            (ranges[2].from_ms, ranges[2].to_ms),
            (days.to_ms, ms("2026-11-20T12:00:00Z"))
        );
        let periods: Vec<RollupPeriod> = ranges.iter().map(|range| range.period).collect();
        assert_eq!(
            periods,
            [RollupPeriod::Hour, RollupPeriod::Day, RollupPeriod::Hour]
        );
    }

    #[test]
    fn period_follows_ends_and_interval() {
        let month = ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
        assert_eq!(periods(month.0, month.1, None), [RollupPeriod::Day]);
        let hourly = Some(ReportInterval::Hour);
        assert_eq!(periods(month.0, month.1, hourly), [RollupPeriod::Hour]);
        assert_eq!(
            periods(month.0, "2026-11-02T10:00:00Z", None),
            [RollupPeriod::Day, RollupPeriod::Hour]
        );
        assert_eq!(
            periods(month.0, "2026-11-23T11:00:00Z", None),
            [RollupPeriod::Day, RollupPeriod::Hour],
            "an end in the future is not rounded to midnight"
        );
        let within_a_day = ("2026-11-02T08:00:00Z", "2026-11-02T10:00:00Z");
        assert_eq!(
            periods(within_a_day.0, within_a_day.1, None),
            [RollupPeriod::Hour]
        );
    }
}
