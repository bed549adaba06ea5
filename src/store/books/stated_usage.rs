//! Usage by tag and by end user, a day a row, in a table of its own: most instances have few of either, some have millions. A day has a
//! bounded number of values; calls with further ones are summed under [`OTHER`]. Calls without a tag or user are in no row.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, Table, TableError, WriteTransaction};

use crate::domain::id::KeyId;
use crate::store::books::store::Store;
use crate::store::books::tables::{STATED_COUNTS, STATED_DAYS};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupSums, StatedKey, StatedKind};

/// Values of one kind in one day that have rows of their own.
const VALUES_MAX: u64 = 10_000;
/// Value of the rows of all further values; no tag and no pseudonym has this character.
pub(in crate::store) const OTHER: &str = "\u{7f}";

impl Store {
    /// Visits the rows of the days that begin in `from_ms..to_ms`, in order of time, at most `rows_max`; returns the number of rows read.
    /// The value is `None` for the sum of the values above the bound.
    pub fn stated_usage(
        &self,
        kind: StatedKind,
        (from_ms, to_ms): (u64, u64),
        rows_max: u64,
        mut visit: impl FnMut(&StatedKey, Option<&str>, &RollupSums),
    ) -> Result<u64, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = match read.open_table(STATED_DAYS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut rows = 0;
        for row in table.range((from_ms, 0, "", 0)..(to_ms.max(from_ms), 0, "", 0))? {
            if rows == rows_max {
                break;
            }
            let (key, sums) = row?;
            let (start_ms, number, value, id) = key.value();
            rows += 1;
            if number != kind as u8 {
                continue;
            }
            let key = StatedKey {
                start_ms,
                kind,
                value: value.to_owned(),
                key: KeyId(id),
            };
            let named = (value != OTHER).then_some(value);
            visit(&key, named, &RollupSums::decode(sums.value())?);
        }
        Ok(rows)
    }
}

/// Adds the sums of a batch.
pub(in crate::store) fn write(
    transaction: &WriteTransaction,
    rows: &BTreeMap<StatedKey, RollupSums>,
) -> Result<(), StoreError> {
    write_bounded(transaction, rows, VALUES_MAX)
}

fn write_bounded(
    transaction: &WriteTransaction,
    rows: &BTreeMap<StatedKey, RollupSums>,
    values_max: u64,
) -> Result<(), StoreError> {
    // books without tags and users have no such table
    if rows.is_empty() {
        return Ok(());
    }
    let mut days = transaction.open_table(STATED_DAYS)?;
    let mut counts = transaction.open_table(STATED_COUNTS)?;
    for (row, added) in rows {
        let has_row = has_row(&days, row)? || take_row(&mut counts, row, values_max)?;
        let value = if has_row { row.value.as_str() } else { OTHER };
        let key = (row.start_ms, row.kind as u8, value, row.key.0);
        let mut sums = match days.get(key)? {
            Some(bytes) => RollupSums::decode(bytes.value())?,
            None => RollupSums::default(),
        };
        sums.add(&added.without_latencies());
        days.insert(key, sums.encode()?.as_slice())?;
    }
    Ok(())
}

/// The row that a value is in: its own, or that of all values beyond the bound of its day.
pub(in crate::store) fn filed_as(
    read: &ReadTransaction,
    row: StatedKey,
) -> Result<StatedKey, StoreError> {
    let (days, counts) = match (read.open_table(STATED_DAYS), read.open_table(STATED_COUNTS)) {
        (Ok(days), Ok(counts)) => (days, counts),
        (Err(TableError::TableDoesNotExist(_)), _) | (_, Err(TableError::TableDoesNotExist(_))) => {
            return Ok(row);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    let count = counts.get((row.start_ms, row.kind as u8))?;
    let is_full = count.is_some_and(|count| count.value() >= VALUES_MAX);
    if !is_full || has_row(&days, &row)? {
        return Ok(row);
    }
    let value = OTHER.to_owned();
    Ok(StatedKey { value, ..row })
}

/// True if the day has a row of this value, of any key.
fn has_row(
    days: &impl ReadableTable<(u64, u8, &'static str, u64), &'static [u8]>,
    row: &StatedKey,
) -> Result<bool, StoreError> {
    let (start_ms, kind, value) = (row.start_ms, row.kind as u8, row.value.as_str());
    let mut found = days.range((start_ms, kind, value, 0)..=(start_ms, kind, value, u64::MAX))?;
    Ok(found.next().transpose()?.is_some())
}

/// Counts a new value of the day, if the bound leaves room.
fn take_row(
    counts: &mut Table<'_, (u64, u8), u64>,
    row: &StatedKey,
    values_max: u64,
) -> Result<bool, StoreError> {
    let key = (row.start_ms, row.kind as u8);
    let count = counts.get(key)?.map_or(0, |count| count.value());
    if count >= values_max {
        return Ok(false);
    }
    counts.insert(key, count + 1)?;
    Ok(true)
}

/// Deletes at most `rows_max` rows of days before an instant; returns their number.
pub(in crate::store) fn delete_before(
    transaction: &WriteTransaction,
    before_ms: u64,
    rows_max: usize,
) -> Result<usize, StoreError> {
    let mut days = transaction.open_table(STATED_DAYS)?;
    let mut rows = 0;
    let old = (0, 0, "", 0)..(before_ms, 0, "", 0);
    for row in days.extract_from_if(old, |_, _| true)?.take(rows_max) {
        row?;
        rows += 1;
    }
    let mut counts = transaction.open_table(STATED_COUNTS)?;
    let left = rows_max.saturating_sub(rows);
    for row in counts
        .extract_from_if((0, 0)..(before_ms, 0), |_, _| true)?
        .take(left)
    {
        row?;
        rows += 1;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::books::database::begin;
    use crate::store::tests::create_store;

    const DAY_MS: u64 = 86_400_000;

    fn rows(values: &[&str]) -> BTreeMap<StatedKey, RollupSums> {
        let row = |value: &&str| {
            let key = StatedKey {
                start_ms: DAY_MS,
                kind: StatedKind::Tag,
                value: (*value).to_owned(),
                key: KeyId(7),
            };
            let sums = RollupSums {
                requests: 1,
                ..RollupSums::default()
            };
            (key, sums)
        };
        values.iter().map(row).collect()
    }

    #[test]
    fn values_above_the_bound_of_a_day_are_summed_as_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = create_store(folder.path());
        let seen = |from_ms: u64| {
            let mut seen = Vec::new();
            let range = (from_ms, 10 * DAY_MS);
            store
                .stated_usage(StatedKind::Tag, range, 100, |_, value, sums| {
                    seen.push((value.map(str::to_owned), sums.requests));
                })
                .expect("a read");
            seen
        };
        assert_eq!(seen(0), [], "no table yet");
        let database = store.database.open().expect("the books");
        for batch in [&["a", "b"][..], &["b", "c", "d"], &["a", "e"]] {
            let transaction = begin(&database).expect("a transaction");
            write_bounded(&transaction, &rows(batch), 3).expect("written");
            transaction.commit().expect("committed");
        }
        let named = |value: &str, requests| (Some(value.to_owned()), requests);
        let expected = [named("a", 2), named("b", 2), named("c", 1), (None, 2)];
        assert_eq!(seen(0), expected);
        let transaction = begin(&database).expect("a transaction");
        assert_eq!(delete_before(&transaction, DAY_MS, 9).expect("none"), 0);
        let deleted = delete_before(&transaction, DAY_MS + 1, 9).expect("all");
        assert_eq!(deleted, 5, "four rows and their count");
        transaction.commit().expect("committed");
        assert_eq!(seen(0), []);
        drop(database);
        store.close();
    }
}
