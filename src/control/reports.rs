//! Reports: who used how much. Reads roll-ups as they are booked; computes no price.

use std::collections::HashMap;

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::Control;
use crate::domain::api_error::ApiError;
use crate::domain::event::StatusClass;
use crate::domain::id::{KeyId, OrganizationId, TeamId};
use crate::domain::zone::{Window, Zone};
use crate::store::{RetentionCutoffs, RollupKey, RollupPeriod, RollupSums, StoreError};

/// A report with more rows is refused: it would be read by nobody.
const ROWS_MAX: usize = 10_000;
/// Roll-ups that one report reads: a second's work.
const ROLLUPS_MAX: u64 = 1_000_000;
/// How long a report waits for what was logged just now.
pub(super) const FRESH_WAIT_MS: u64 = 250;

/// What usage can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Provider,
    Model,
    Team,
    Organization,
    Key,
    Status,
}

impl Dimension {
    const ALL: [Dimension; 6] = [
        Dimension::Provider,
        Dimension::Model,
        Dimension::Team,
        Dimension::Organization,
        Dimension::Key,
        Dimension::Status,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Provider => "provider",
            Dimension::Model => "model",
            Dimension::Team => "team",
            Dimension::Organization => "organization",
            Dimension::Key => "key",
            Dimension::Status => "status",
        }
    }
}

impl Dimension {
    /// Tenants are told by their id and, beside it, their name.
    pub fn name_word(self) -> Option<&'static str> {
        match self {
            Dimension::Team => Some("team_name"),
            Dimension::Organization => Some("organization_name"),
            Dimension::Key => Some("key_name"),
            Dimension::Provider | Dimension::Model | Dimension::Status => None,
        }
    }
}

/// Stretches of time that usage can be grouped by, cut in the instance's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportInterval {
    Hour,
    Day,
    Month,
}

impl ReportInterval {
    const ALL: [ReportInterval; 3] = [
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

/// Whose usage, from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    pub start_ms: u64,
    /// not included
    pub end_ms: u64,
    pub stretch: Option<ReportInterval>,
    pub dimensions: Vec<Dimension>,
}

impl UsageQuery {
    /// Reads `start`, `end`, `group_by`. Both ends are widened to whole hours, because usage is kept by the hour; the answer
    /// says to which.
    pub fn parse(
        parameters: &[(String, String)],
        zone: &Zone,
        now_ms: u64,
    ) -> Result<UsageQuery, ApiError> {
        let month = zone.month(now_ms);
        let mut query = UsageQuery {
            start_ms: month.start_ms,
            end_ms: month.end_ms,
            stretch: None,
            dimensions: Vec::new(),
        };
        for (name, value) in parameters {
            match name.as_str() {
                "start" => query.start_ms = zone.hour(instant("start", value, zone)?).start_ms,
                "end" => query.end_ms = hour_up(zone, instant("end", value, zone)?),
                "group_by" => query.group_by(value)?,
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(ApiError::invalid(format!(
                        "`{other}` is not known here; usage takes start, end, group_by"
                    ))
                    .with_param(other));
                }
            }
        }
        let given = |wanted: &str| parameters.iter().any(|(name, _)| name == wanted);
        let (from, to) = (zone.date(month.start_ms), zone.date(month.end_ms));
        let (at, says) = match (given("start"), given("end")) {
            _ if query.start_ms < query.end_ms => return Ok(query),
            (false, true) => (
                "end",
                format!(
                    "`end` must be after `start`, which is {from} where it is not given; give `start`"
                ),
            ),
            (true, false) => (
                "start",
                format!(
                    "`start` must be before `end`, which is {to} where it is not given; give `end`"
                ),
            ),
            _ => ("start", "`start` must be before `end`".to_owned()),
        };
        Err(ApiError::invalid(says).with_param(at))
    }

    fn group_by(&mut self, value: &str) -> Result<(), ApiError> {
        let fault =
            |says: &str| ApiError::invalid(format!("`group_by` {says}")).with_param("group_by");
        for word in value
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            if let Some(stretch) = ReportInterval::ALL
                .into_iter()
                .find(|stretch| stretch.as_str() == word)
            {
                if self.stretch.replace(stretch).is_some() {
                    return Err(fault("takes one of hour, day, month"));
                }
            } else if let Some(dimension) = Dimension::ALL
                .into_iter()
                .find(|dimension| dimension.as_str() == word)
            {
                if self.dimensions.contains(&dimension) {
                    return Err(fault("names the same thing twice"));
                }
                self.dimensions.push(dimension);
            } else {
                return Err(fault(
                    "takes provider, model, team, organization, key, status, and one of hour, day, month",
                ));
            }
        }
        if self.dimensions.len() > 2 {
            return Err(fault(
                "takes at most two of provider, model, team, organization, key, status",
            ));
        }
        Ok(())
    }

    /// What is to be read: days where whole days are asked for, hours for the ragged ends, only hours where hours are
    /// wanted. An end that has not come yet is ragged all the same: time may have gone back, and usage lie behind it.
    fn pieces(&self, zone: &Zone) -> Vec<RollupRange> {
        let start = zone.day(self.start_ms);
        let from_ms = if start.start_ms == self.start_ms {
            self.start_ms
        } else {
            start.end_ms
        };
        let to_ms = zone.day(self.end_ms).start_ms;
        let pieces = if self.stretch == Some(ReportInterval::Hour) || from_ms >= to_ms {
            vec![RollupRange {
                grain: RollupPeriod::Hour,
                from_ms: self.start_ms,
                to_ms: self.end_ms,
            }]
        } else {
            vec![
                RollupRange {
                    grain: RollupPeriod::Hour,
                    from_ms: self.start_ms,
                    to_ms: from_ms,
                },
                RollupRange {
                    grain: RollupPeriod::Day,
                    from_ms,
                    to_ms,
                },
                RollupRange {
                    grain: RollupPeriod::Hour,
                    from_ms: to_ms,
                    to_ms: self.end_ms,
                },
            ]
        };
        pieces
            .into_iter()
            .filter(|piece| piece.from_ms < piece.to_ms)
            .collect()
    }
}

/// A range of roll-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RollupRange {
    grain: RollupPeriod,
    from_ms: u64,
    to_ms: u64,
}

impl RollupRange {
    /// From when on its grain is there.
    fn kept_ms(&self, kept: &RetentionCutoffs) -> u64 {
        match self.grain {
            RollupPeriod::Hour => kept.hours_ms,
            RollupPeriod::Day => kept.days_ms,
        }
    }
}

/// Part of the answer was deleted: a sum without it would be wrong.
fn not_kept(piece: &RollupRange, kept: &RetentionCutoffs, zone: &Zone) -> ApiError {
    let from = zone.date(piece.kept_ms(kept));
    let message = match piece.grain {
        RollupPeriod::Hour => format!(
            "hours before {from} are not kept (`retention.hours_days`); ask for whole days, or from there on"
        ),
        RollupPeriod::Day => {
            format!("usage before {from} is not kept (`retention.days_days`); ask from there on")
        }
    };
    ApiError::invalid(message).with_param("start")
}

/// What a group has in common. `None`: the key is not known (any more).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupValue {
    Provider(String),
    Model(String),
    Team(Option<TeamId>),
    Organization(Option<OrganizationId>),
    Key(KeyId),
    Status(StatusClass),
}

#[derive(Clone, Debug)]
pub struct UsageRow {
    /// the start of the hour, day or month
    pub stretch_start_ms: Option<u64>,
    /// in the order of the query's dimensions
    pub members: Vec<GroupValue>,
    pub sums: RollupSums,
}

#[derive(Clone, Debug)]
pub struct UsageReport {
    /// by time, then the dearest first
    pub rows: Vec<UsageRow>,
    pub total: RollupSums,
    /// everything logged until then is counted; `None`: the newest may be missing
    pub as_of_ms: Option<u64>,
    /// requests of all times that are booked at their ceiling and that nobody has corrected
    pub orphans_uncorrected: u64,
}

type Groups = HashMap<(Option<u64>, Vec<GroupValue>), RollupSums>;

impl Control {
    pub async fn usage(
        &self,
        _grant: &Grant<may::ReadUsage>,
        query: &UsageQuery,
    ) -> Result<UsageReport, ApiError> {
        let now_ms = self.now_ms();
        let fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        let (query, zone, directory) =
            (query.clone(), self.zone.clone(), self.directory.load_full());
        let groups = self.read(move |store| {
            let (mut groups, mut rows) = (Groups::new(), 0);
            let (pieces, kept) = (query.pieces(&zone), store.retention_cutoffs()?);
            if let Some(gone) = pieces
                .iter()
                .find(|piece| piece.from_ms < piece.kept_ms(&kept))
            {
                return Ok(Err(not_kept(gone, &kept, &zone)));
            }
            for RollupRange {
                grain,
                from_ms,
                to_ms,
            } in pieces
            {
                rows += store.rollups(grain, from_ms, to_ms, ROLLUPS_MAX - rows, |row, sums| {
                    if groups.len() <= ROWS_MAX {
                        groups
                            .entry(group_of(&query, &zone, &directory, row))
                            .or_default()
                            .add(sums);
                    }
                })?;
            }
            Ok::<_, StoreError>(Ok((groups, rows, store.orphans_uncorrected()?)))
        });
        let (groups, rows, orphans_uncorrected) = groups.await??;
        if rows == ROLLUPS_MAX {
            let message = format!(
                "this report would read more than {ROLLUPS_MAX} roll-ups; ask for a shorter time, or for whole days"
            );
            return Err(ApiError::invalid(message).with_param("start"));
        }
        report(groups, fresh.then_some(now_ms), orphans_uncorrected)
    }

    /// Rows that reports have read since the start: roll-ups, and entries of the request log.
    pub fn rows_read(&self) -> (u64, u64) {
        self.store.rows_read()
    }

    /// Pages of the books that were read from the disk since the start: reports, bookings, all.
    pub fn pages_read(&self) -> u64 {
        self.store.pages_read()
    }

    /// Names for the ids in a report.
    pub fn directory(&self) -> std::sync::Arc<Directory> {
        self.directory.load_full()
    }
}

fn group_of(
    query: &UsageQuery,
    zone: &Zone,
    directory: &Directory,
    row: &RollupKey,
) -> (Option<u64>, Vec<GroupValue>) {
    let caller = directory.key(row.key);
    let member = |dimension: &Dimension| match dimension {
        Dimension::Provider => GroupValue::Provider(row.provider.clone()),
        Dimension::Model => GroupValue::Model(row.model.clone()),
        Dimension::Team => GroupValue::Team(caller.map(|caller| caller.team.id)),
        Dimension::Organization => {
            GroupValue::Organization(caller.map(|caller| caller.organization.id))
        }
        Dimension::Key => GroupValue::Key(row.key),
        Dimension::Status => GroupValue::Status(row.class),
    };
    let stretch_start_ms = query
        .stretch
        .map(|stretch| stretch.window(zone, row.start_ms).start_ms);
    (
        stretch_start_ms,
        query.dimensions.iter().map(member).collect(),
    )
}

fn report(
    groups: Groups,
    as_of_ms: Option<u64>,
    orphans_uncorrected: u64,
) -> Result<UsageReport, ApiError> {
    if groups.len() > ROWS_MAX {
        return Err(ApiError::invalid(format!(
            "this report has more than {ROWS_MAX} rows; ask for a shorter time or fewer groups"
        ))
        .with_param("group_by"));
    }
    let mut total = RollupSums::default();
    let mut rows: Vec<UsageRow> = Vec::with_capacity(groups.len());
    for ((stretch_start_ms, members), sums) in groups {
        total.add(&sums);
        rows.push(UsageRow {
            stretch_start_ms,
            members,
            sums,
        });
    }
    rows.sort_by(|one, other| {
        let by_cost = other.sums.cost.cmp(&one.sums.cost);
        one.stretch_start_ms
            .cmp(&other.stretch_start_ms)
            .then(by_cost)
            .then_with(|| one.members.cmp(&other.members))
    });
    Ok(UsageReport {
        rows,
        total,
        as_of_ms,
        orphans_uncorrected,
    })
}

/// A date of the instance's zone, or RFC 3339; a `+` that a browser turned into a space is understood.
pub(super) fn instant(name: &str, text: &str, zone: &Zone) -> Result<u64, ApiError> {
    zone.date_start_ms(text)
        .filter(|_| text.len() == 10)
        .or_else(|| Zone::parse_rfc3339(text))
        .or_else(|| Zone::parse_rfc3339(&text.replace(' ', "+")))
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "`{name}` must be a date like 2026-11-01 or an instant like 2026-11-01T00:00:00Z"
            ))
            .with_param(name)
        })
}

fn hour_up(zone: &Zone, at_ms: u64) -> u64 {
    let hour = zone.hour(at_ms);
    if hour.start_ms == at_ms {
        at_ms
    } else {
        hour.end_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T10:20:30Z";

    fn ms(text: &str) -> u64 {
        Zone::parse_rfc3339(text).expect(text)
    }

    fn parse(zone: &Zone, parameters: &[(&str, &str)]) -> Result<UsageQuery, ApiError> {
        let owned: Vec<(String, String)> = parameters
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        UsageQuery::parse(&owned, zone, ms(NOW))
    }

    #[test]
    fn nothing_said_is_this_month_by_day_roll_ups() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let query = parse(&berlin, &[]).expect("a query");
        assert_eq!(
            (query.start_ms, query.end_ms),
            (ms("2026-10-31T23:00:00Z"), ms("2026-11-30T23:00:00Z"))
        );
        assert_eq!(grains(&query, &berlin), [RollupPeriod::Day]);
    }

    fn grains(query: &UsageQuery, zone: &Zone) -> Vec<RollupPeriod> {
        query.pieces(zone).iter().map(|piece| piece.grain).collect()
    }

    #[test]
    fn whole_days_are_read_as_days_and_ragged_ends_as_hours() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let query = parse(
            &berlin,
            &[
                ("start", "2026-11-01T10:00:00Z"),
                ("end", "2026-11-20T11:30:00Z"),
            ],
        )
        .expect("a query");
        let days = RollupRange {
            grain: RollupPeriod::Day,
            from_ms: ms("2026-11-01T23:00:00Z"),
            to_ms: ms("2026-11-19T23:00:00Z"),
        };
        let pieces = query.pieces(&berlin);
        assert_eq!(pieces[1], days);
        assert_eq!(
            (pieces[0].from_ms, pieces[0].to_ms),
            (ms("2026-11-01T10:00:00Z"), days.from_ms)
        );
        assert_eq!(
            (pieces[2].from_ms, pieces[2].to_ms),
            (days.to_ms, ms("2026-11-20T12:00:00Z"))
        );
        assert_eq!(
            grains(&query, &berlin),
            [RollupPeriod::Hour, RollupPeriod::Day, RollupPeriod::Hour]
        );
    }

    #[test]
    fn ends_are_dates_of_the_zone_or_instants_widened_to_the_hour() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let query = parse(
            &berlin,
            &[
                ("start", "2026-11-01"),
                ("end", "2026-11-02T10:20:00 01:00"),
            ],
        )
        .expect("a query");
        assert_eq!(
            (query.start_ms, query.end_ms),
            (ms("2026-10-31T23:00:00Z"), ms("2026-11-02T10:00:00Z"))
        );
        assert_eq!(
            grains(&query, &berlin),
            [RollupPeriod::Day, RollupPeriod::Hour]
        );
        let open = parse(
            &berlin,
            &[("start", "2026-11-01"), ("end", "2026-11-23T10:30:00Z")],
        )
        .expect("a query");
        assert_eq!(
            grains(&open, &berlin),
            [RollupPeriod::Day, RollupPeriod::Hour],
            "an end that has not come is no midnight"
        );
        let within = parse(
            &berlin,
            &[
                ("start", "2026-11-02T08:00:00Z"),
                ("end", "2026-11-02T10:00:00Z"),
            ],
        )
        .expect("a query");
        assert_eq!(grains(&within, &berlin), [RollupPeriod::Hour]);
    }

    #[test]
    fn an_end_that_was_not_given_is_named_where_it_does_not_fit() {
        let utc = Zone::utc();
        for (parameters, param, says) in [
            (
                vec![("end", "2026-01-01")],
                "end",
                "which is 2026-11-01 where it is not given; give `start`",
            ),
            (
                vec![("start", "2027-01-01")],
                "start",
                "which is 2026-12-01 where it is not given; give `end`",
            ),
            (
                vec![("start", "2026-01-02"), ("end", "2026-01-01")],
                "start",
                "`start` must be before `end`",
            ),
        ] {
            let problem = parse(&utc, &parameters).expect_err("refused");
            assert_eq!(problem.param.as_deref(), Some(param));
            assert!(problem.message.ends_with(says), "{}", problem.message);
        }
    }

    #[test]
    fn grouping_is_by_two_things_and_one_stretch_of_time() {
        let utc = Zone::utc();
        let query = parse(&utc, &[("group_by", "team,day,model")]).expect("a query");
        assert_eq!(
            (query.stretch, query.dimensions),
            (
                Some(ReportInterval::Day),
                vec![Dimension::Team, Dimension::Model]
            )
        );
        assert_eq!(
            grains(
                &parse(&utc, &[("group_by", "hour")]).expect("a query"),
                &utc
            ),
            [RollupPeriod::Hour]
        );
        for parameters in [
            [("group_by", "team,model,key")],
            [("group_by", "hour,day")],
            [("group_by", "team,team")],
            [("group_by", "colour")],
            [("start", "yesterday")],
            [("start", "2027-01-01")],
            [("limit", "3")],
        ] {
            assert!(
                parse(&utc, &parameters)
                    .expect_err("refused")
                    .param
                    .is_some(),
                "{parameters:?}"
            );
        }
    }
}
