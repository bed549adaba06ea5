//! What is no longer kept goes: usage records with their indexes, corrections and marks, refusals, hours, days, and the
//! balances of windows that ended before the first kept request. A slice is one transaction of at most 2,000 rows. What a
//! record came to stays in its roll-ups and in its balances, so that reports, budgets and the books' verification go on.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableTable, WriteTransaction};

use crate::domain::event::{Charge, Correction, Flags, HoldId, Settlement, Status, StatusClass};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::store::books::post::add_money;
use crate::store::books::tables;
use crate::store::books::tables::{
    BALANCES, CARRIED, CORRECTIONS, DAYS, HOURS, META, ORPHANS, RECORDS, RECORDS_NOT_OK,
    RECORDS_OF_KEY, REFUSED, RollupTable,
};
use crate::store::codec::{Stored, class_number};
use crate::store::{Store, StoreError};

/// Rows that one slice deletes.
const SLICE: usize = 2_000;
/// Rows that hang on one record at most: its own, three of indexes, and its corrections.
const RECORD_ROWS_MAX: usize = 110;
/// No window but `total` is longer.
const WINDOW_MS_MAX: u64 = 32 * 86_400_000;

/// From when on each kind is kept; 0 keeps all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionCutoffs {
    pub requests_ms: u64,
    pub refusals_ms: u64,
    pub hours_ms: u64,
    pub days_ms: u64,
}

impl RetentionCutoffs {
    /// A window that began before this ended before the first kept request.
    fn balances_ms(&self) -> u64 {
        self.requests_ms.saturating_sub(WINDOW_MS_MAX)
    }

    /// Whether the balance of a window is kept. That of `total`, which began at 0, always is.
    pub(crate) fn has_balance(&self, charge: &Charge) -> bool {
        charge.window_start_ms == 0 || charge.window_start_ms >= self.balances_ms()
    }

    /// What has been deleted so far, as a transaction sees it.
    pub(crate) fn stored(read: &ReadTransaction) -> Result<RetentionCutoffs, StoreError> {
        let meta = read.open_table(META)?;
        let from =
            |name: &str| Ok::<u64, StoreError>(meta.get(name)?.map_or(0, |value| value.value()));
        Ok(RetentionCutoffs {
            requests_ms: from(REQUESTS)?,
            refusals_ms: 0,
            hours_ms: from(HOURS_FROM)?,
            days_ms: from(DAYS_FROM)?,
        })
    }
}

/// Names in `meta`: nothing is known from before.
const REQUESTS: &str = "kept_requests_ms";
const HOURS_FROM: &str = "kept_hours_ms";
const DAYS_FROM: &str = "kept_days_ms";

impl Store {
    /// Tells from when on each kind is to be kept. The writer deletes the rest when it has nothing else to do.
    pub fn keep_from(&self, kept: RetentionCutoffs) {
        self.journal.keep_from(kept);
    }

    /// From when on what is there: what is older was deleted.
    pub fn kept(&self) -> Result<RetentionCutoffs, StoreError> {
        use redb::ReadableDatabase;
        RetentionCutoffs::stored(&self.database.open()?.begin_read()?)
    }
}

/// Deletes the next slice; returns how many rows, 0 when nothing is left to delete.
pub(crate) fn slice(database: &Database, kept: &RetentionCutoffs) -> Result<usize, StoreError> {
    let transaction = tables::begin(database)?;
    let rows = delete_oldest(&transaction, kept)?;
    if rows == 0 {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok(rows)
}

/// Kind by kind. Requests come before balances: those of past windows go when no record is left that counts in them.
fn delete_oldest(
    transaction: &WriteTransaction,
    kept: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let kinds: [&dyn Fn() -> Result<usize, StoreError>; 5] = [
        &|| delete_refusals(transaction, kept.refusals_ms),
        &|| delete_requests(transaction, kept),
        &|| delete_rollups(transaction, HOURS, HOURS_FROM, kept.hours_ms),
        &|| delete_rollups(transaction, DAYS, DAYS_FROM, kept.days_ms),
        &|| delete_balances(transaction, kept),
    ];
    for delete in kinds {
        let rows = delete()?;
        if rows > 0 {
            return Ok(rows);
        }
    }
    Ok(0)
}

/// The first place of an instant in the order of requests.
fn place(at_ms: u64) -> (u128, u8) {
    (RequestId::first_at(at_ms.min((1 << 48) - 1)).0, 0)
}

/// Raises what is known to be deleted, in the transaction that deletes it.
fn raise(transaction: &WriteTransaction, name: &str, to_ms: u64) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META)?;
    let known = meta.get(name)?.map_or(0, |value| value.value());
    meta.insert(name, known.max(to_ms))?;
    Ok(())
}

fn delete_refusals(transaction: &WriteTransaction, before_ms: u64) -> Result<usize, StoreError> {
    let mut not_ok = transaction.open_table(RECORDS_NOT_OK)?;
    let mut records = transaction.open_table(RECORDS)?;
    let mut of_key = transaction.open_table(RECORDS_OF_KEY)?;
    let class = class_number(StatusClass::Refused);
    let (end, _) = place(before_ms);
    let rows = not_ok
        .range((class, 0, 0)..(class, end, 0))?
        .take(SLICE / 3);
    let ids = rows
        .map(|row| Ok(row?.0.value().1))
        .collect::<Result<Vec<u128>, StoreError>>()?;
    for request in &ids {
        not_ok.remove((class, *request, REFUSED))?;
        let refusal = records
            .remove((*request, REFUSED))?
            .map(|row| Refusal::decode(row.value()))
            .transpose()?;
        if let Some(refusal) = refusal {
            of_key.remove((refusal.key.0, *request, REFUSED))?;
        }
    }
    Ok(ids.len() * 3)
}

fn delete_requests(
    transaction: &WriteTransaction,
    kept: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let old = old_records(transaction, kept.requests_ms)?;
    let (mut rows, mut carried) = (0, BTreeMap::new());
    for record in &old {
        if rows > SLICE - RECORD_ROWS_MAX {
            break;
        }
        let (deleted, corrected) = delete_record(transaction, record)?;
        rows += deleted;
        for charge in record
            .hold
            .charges
            .iter()
            .filter(|charge| kept.has_balance(charge))
        {
            let sum: &mut Money = carried.entry(*charge).or_default();
            *sum = sum.plus(record.ending.cost).plus(corrected);
        }
    }
    if rows > 0 {
        add_money(transaction, CARRIED, &carried)?;
        raise(transaction, REQUESTS, kept.requests_ms)?;
    }
    Ok(rows)
}

/// The oldest records that go. One that was admitted later than its id says may belong to a day that is kept.
fn old_records(
    transaction: &WriteTransaction,
    before_ms: u64,
) -> Result<Vec<Settlement>, StoreError> {
    let mut old = Vec::new();
    for row in transaction
        .open_table(RECORDS)?
        .range(place(0)..place(before_ms))?
    {
        let (key, bytes) = row?;
        if key.value().1 == REFUSED {
            continue;
        }
        let record = Settlement::decode(bytes.value())?;
        if record.hold.at_ms < before_ms {
            old.push(record);
        }
        // each has two rows at least
        if old.len() == SLICE / 2 {
            break;
        }
    }
    Ok(old)
}

/// Deletes a record and what hangs on it; returns how many rows, and what its corrections came to.
fn delete_record(
    transaction: &WriteTransaction,
    record: &Settlement,
) -> Result<(usize, Money), StoreError> {
    let HoldId { request, attempt } = record.hold.id;
    let id = (request.0, attempt);
    transaction.open_table(RECORDS)?.remove(id)?;
    transaction
        .open_table(RECORDS_OF_KEY)?
        .remove((record.hold.subject.key.0, id.0, id.1))?;
    let mut rows = 2;
    if record.ending.status != Status::Ok {
        transaction.open_table(RECORDS_NOT_OK)?.remove((
            class_number(record.ending.status.class()),
            id.0,
            id.1,
        ))?;
        rows += 1;
    }
    if record.ending.flags.has(Flags::ORPHANED) {
        transaction.open_table(ORPHANS)?.remove(id)?;
        rows += 1;
    }
    let mut corrected = Money::ZERO;
    let mut corrections = transaction.open_table(CORRECTIONS)?;
    for entry in
        corrections.extract_from_if((id.0, id.1, 0)..=(id.0, id.1, u32::MAX), |_, _| true)?
    {
        corrected = corrected.plus(Correction::decode(entry?.1.value())?.amount);
        rows += 1;
    }
    Ok((rows, corrected))
}

fn delete_rollups(
    transaction: &WriteTransaction,
    table: RollupTable,
    name: &str,
    before_ms: u64,
) -> Result<usize, StoreError> {
    let mut rollups = transaction.open_table(table)?;
    let range = (0, 0, "", "", "", 0)..(before_ms, 0, "", "", "", 0);
    let mut rows = 0;
    for row in rollups.extract_from_if(range, |_, _| true)?.take(SLICE) {
        row?;
        rows += 1;
    }
    if rows > 0 {
        raise(transaction, name, before_ms)?;
    }
    Ok(rows)
}

fn delete_balances(
    transaction: &WriteTransaction,
    kept: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let mut rows = 0;
    for table in [BALANCES, CARRIED] {
        let mut balances = transaction.open_table(table)?;
        let is_past = |(_, window_start_ms): (u64, u64), _: &[u8]| {
            window_start_ms > 0 && window_start_ms < kept.balances_ms()
        };
        for row in balances.extract_if(is_past)?.take(SLICE - rows) {
            row?;
            rows += 1;
        }
    }
    if rows > 0 {
        raise(transaction, REQUESTS, kept.requests_ms)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use redb::{ReadableDatabase, ReadableTableMetadata};

    use super::*;
    use crate::store::tests::{call, fresh, wait_until_booked};

    #[test]
    fn slices_are_small_and_leave_what_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = fresh(folder.path());
        for number in 1..=2_500 {
            call(&store, number * 1_000);
        }
        wait_until_booked(&store);
        let kept = RetentionCutoffs {
            requests_ms: 2_400_000,
            refusals_ms: 2_400_000,
            hours_ms: 3_600_000,
            days_ms: 0,
        };
        let database = store.database.open().expect("the books");
        let slices: Vec<usize> = std::iter::from_fn(|| {
            Some(slice(&database, &kept).expect("a slice")).filter(|rows| *rows > 0)
        })
        .collect();
        // 2,399 records with a place in one index each, and the one hour that they are summed in
        assert_eq!(slices.iter().sum::<usize>(), 2 * 2_399 + 1);
        assert!(
            slices.len() > 3 && slices.iter().all(|rows| *rows <= SLICE),
            "{slices:?}"
        );
        let read = database.begin_read().expect("a read");
        let left = |rows: Result<u64, redb::StorageError>| rows.expect("a count");
        assert_eq!(left(read.open_table(RECORDS).expect("records").len()), 101);
        assert_eq!(
            left(read.open_table(RECORDS_OF_KEY).expect("an index").len()),
            101
        );
        assert_eq!(left(read.open_table(DAYS).expect("days").len()), 1);
        let sums = read.open_table(CARRIED).expect("carried");
        let carried = sums.first().expect("reads").expect("a sum").1;
        assert_eq!(
            Money::decode(carried.value()).expect("money"),
            Money::from_pico(123 * 2_399)
        );
        assert_eq!(
            RetentionCutoffs::stored(&read).expect("what is kept"),
            RetentionCutoffs {
                refusals_ms: 0,
                ..kept
            }
        );
        drop((read, database));
        store.close();
    }
}
