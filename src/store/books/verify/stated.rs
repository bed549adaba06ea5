//! Usage by tag and by end user, computed again from the records and compared with the stored days. A value beyond the bound of its day
//! is summed under `OTHER` here as there: the stored rows tell which values have rows of their own.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadTransaction, TableError};

use crate::domain::event::Settlement;
use crate::domain::id::KeyId;
use crate::domain::zone::{Window, Zone};
use crate::store::books::database::applied;
use crate::store::books::post::stated_keys;
use crate::store::books::stated_usage::{OTHER, filed_as};
use crate::store::books::tables::{STATED_COUNTS, STATED_DAYS};
use crate::store::books::verify::periods::{DIFFERENCES_MAX, Delta};
use crate::store::books::verify::report::{Part, VerifyReport};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupSums, StatedKey, StatedKind};

/// Days of tags and users: open ones, to which records may still belong, and rows that differ.
pub(super) struct StatedDays {
    /// days before this cannot be compared, because their records were deleted
    from_ms: u64,
    /// day of the last record
    window: Window,
    open: BTreeMap<StatedKey, RollupSums>,
    /// end of each comparison, and the log position that its transaction saw
    closed: Vec<(u64, u64)>,
    differing: BTreeMap<StatedKey, Delta>,
}

impl StatedDays {
    pub(super) fn from(from_ms: u64) -> StatedDays {
        StatedDays {
            from_ms,
            window: Window {
                start_ms: 0,
                end_ms: 0,
            },
            open: BTreeMap::new(),
            closed: Vec::new(),
            differing: BTreeMap::new(),
        }
    }

    fn closed_to_ms(&self) -> u64 {
        self.closed.last().map_or(self.from_ms, |(to_ms, _)| *to_ms)
    }

    /// Adds a record that the transaction sees, and with it the row of its value.
    pub(super) fn add(
        &mut self,
        read: &ReadTransaction,
        record: &Settlement,
        sums: &RollupSums,
        zone: &Zone,
    ) -> Result<(), StoreError> {
        let attribution = &record.hold.subject.attribution;
        if attribution.tag.is_none() && attribution.user.is_none() {
            return Ok(());
        }
        if !self.window.contains(record.hold.at_ms) {
            self.window = zone.day(record.hold.at_ms);
        }
        for key in stated_keys(record, self.window.start_ms) {
            let key = match self.open.contains_key(&key) {
                true => key,
                false => filed_as(read, key)?,
            };
            if key.start_ms >= self.closed_to_ms() {
                self.open.entry(key).or_default().add(sums);
            } else {
                // its admission is much earlier than its id says: the clock was set
                self.add_difference(key, Delta::of(&sums.without_latencies()));
            }
        }
        Ok(())
    }

    /// Adds a record posted after its slice was read, if the stored row was read after the posting.
    pub(super) fn add_late(
        &mut self,
        read: &ReadTransaction,
        sequence: u64,
        record: &Settlement,
        (sums, day_ms): (&RollupSums, u64),
    ) -> Result<(), StoreError> {
        for key in stated_keys(record, day_ms) {
            let closing = self.closed.partition_point(|(to_ms, _)| *to_ms <= day_ms);
            let seen = self.closed.get(closing).map(|(_, applied)| *applied);
            if seen.is_some_and(|applied| sequence <= applied) {
                self.add_difference(filed_as(read, key)?, Delta::of(&sums.without_latencies()));
            }
        }
        Ok(())
    }

    /// Compares all days before an instant with the stored rows.
    pub(super) fn close(
        &mut self,
        read: &ReadTransaction,
        to_ms: u64,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let from_ms = self.closed_to_ms();
        if to_ms <= from_ms {
            return Ok(());
        }
        let values = self.compare_rows(read, (from_ms, to_ms), report)?;
        compare_counts(read, (from_ms, to_ms), &values, report)?;
        let later = self.open.split_off(&first_of(to_ms));
        for (key, computed) in std::mem::replace(&mut self.open, later) {
            self.add_difference(key, Delta::of(&computed.without_latencies()));
        }
        self.closed.push((to_ms, applied(read)?));
        if self.differing.len() > DIFFERENCES_MAX {
            return Err(StoreError::NotVerified(format!(
                "more than {DIFFERENCES_MAX} rows of tags and users differ; restore a backup"
            )));
        }
        Ok(())
    }

    /// Subtracts the stored rows; returns the number of values with rows of their own, by day and kind.
    fn compare_rows(
        &mut self,
        read: &ReadTransaction,
        (from_ms, to_ms): (u64, u64),
        report: &mut VerifyReport,
    ) -> Result<BTreeMap<(u64, u8), u64>, StoreError> {
        let mut values: BTreeMap<(u64, u8), BTreeSet<String>> = BTreeMap::new();
        let table = match read.open_table(STATED_DAYS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        for row in table.range((from_ms, 0, "", 0)..(to_ms, 0, "", 0))? {
            let (key, bytes) = row?;
            let (start_ms, number, value, id) = key.value();
            let key = StatedKey {
                start_ms,
                kind: kind_of(number),
                value: value.to_owned(),
                key: KeyId(id),
            };
            if value != OTHER {
                let known = values.entry((start_ms, number)).or_default();
                known.insert(value.to_owned());
            }
            let computed = self.open.remove(&key).unwrap_or_default();
            report.rollups += 1;
            match RollupSums::decode(bytes.value()) {
                Ok(stored) => {
                    self.add_difference(
                        key,
                        Delta::of(&computed.without_latencies())
                            .minus(Delta::of(&stored.without_latencies())),
                    );
                }
                Err(error) => report.add(Part::Rollups, row_name(&key), error.to_string()),
            }
        }
        let counted = values.into_iter();
        Ok(counted
            .map(|(day, values)| (day, values.len() as u64))
            .collect())
    }

    fn add_difference(&mut self, key: StatedKey, delta: Delta) {
        if key.start_ms < self.from_ms {
            return;
        }
        let known = self.differing.remove(&key).unwrap_or_default();
        let delta = known.plus(delta);
        if delta != Delta::default() {
            self.differing.insert(key, delta);
        }
    }

    pub(super) fn finish(&self, report: &mut VerifyReport) {
        for (key, difference) in &self.differing {
            report.add(Part::Rollups, row_name(key), difference.to_string());
        }
    }
}

/// Compares the stored number of values of each day, which bounds the rows of the next ones.
fn compare_counts(
    read: &ReadTransaction,
    (from_ms, to_ms): (u64, u64),
    values: &BTreeMap<(u64, u8), u64>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut stored = BTreeMap::new();
    match read.open_table(STATED_COUNTS) {
        Ok(table) => {
            for row in table.range((from_ms, 0)..(to_ms, 0))? {
                let (key, count) = row?;
                stored.insert(key.value(), count.value());
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let days: BTreeSet<(u64, u8)> = stored.keys().chain(values.keys()).copied().collect();
    for day in days {
        let of = |counts: &BTreeMap<(u64, u8), u64>| counts.get(&day).copied().unwrap_or(0);
        let (says, has) = (of(&stored), of(values));
        if says != has {
            let from = Zone::utc().rfc3339(day.0);
            let name = format!("number of {}s of the day {from}", kind_name(kind_of(day.1)));
            let says = format!("it says {says}, the day has rows of {has}");
            report.add(Part::Rollups, name, says);
        }
    }
    Ok(())
}

/// First possible row of the days from an instant on.
fn first_of(start_ms: u64) -> StatedKey {
    StatedKey {
        start_ms,
        kind: StatedKind::Tag,
        value: String::new(),
        key: KeyId(0),
    }
}

fn kind_of(number: u8) -> StatedKind {
    if number == StatedKind::User as u8 {
        StatedKind::User
    } else {
        StatedKind::Tag
    }
}

fn kind_name(kind: StatedKind) -> &'static str {
    match kind {
        StatedKind::Tag => "tag",
        StatedKind::User => "user",
    }
}

/// Name of a row in the report.
fn row_name(key: &StatedKey) -> String {
    let from = Zone::utc().rfc3339(key.start_ms);
    let value = match key.value.as_str() {
        OTHER => "(other)",
        value => value,
    };
    format!("day {from} {} {value} of {}", kind_name(key.kind), key.key)
}
