//! Retention: deletes old usage records with their index rows and corrections, refusals, roll-ups, and the balances of windows that
//! ended before the first kept request, in slices of at most 2,000 rows per transaction. The cost of a deleted record stays in its
//! roll-ups and balances (`carried`), so that reports, budgets and verification remain exact.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::domain::event::{Correction, Flags, HoldId, Settlement, Status, StatusClass};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::store::books::database::begin;
use crate::store::books::post::add_money;
use crate::store::books::stated_usage;
use crate::store::books::store::Store;
use crate::store::books::tables::{
    BALANCES, CARRIED, CORRECTIONS, DAYS, HOURS, META, ORPHANS, RECORDS, RECORDS_NOT_OK,
    RECORDS_OF_KEY, REFUSED, RollupTable,
};
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_number;
use crate::store::error::StoreError;
use crate::store::retention_cutoffs::RetentionCutoffs;

/// Rows deleted by one slice.
const SLICE: usize = 2_000;
/// Rows of one record: its own, three of indexes, and its corrections.
const RECORD_ROWS_MAX: usize = 110;

/// Names in `meta` of the instants before which rows were deleted.
const REQUESTS_FROM: &str = "kept_requests_ms";
const HOURS_FROM: &str = "kept_hours_ms";
const DAYS_FROM: &str = "kept_days_ms";

impl Store {
    /// Sets the cutoffs; the writer deletes older rows when it is idle.
    pub fn set_retention(&self, cutoffs: RetentionCutoffs) {
        self.wal.set_retention(cutoffs);
    }

    /// Cutoffs of the deletions so far.
    pub fn retention_cutoffs(&self) -> Result<RetentionCutoffs, StoreError> {
        stored_cutoffs(&self.database.open()?.begin_read()?)
    }
}

/// Cutoffs of the deletions so far, as a transaction sees them.
pub(super) fn stored_cutoffs(read: &ReadTransaction) -> Result<RetentionCutoffs, StoreError> {
    let meta = read.open_table(META)?;
    let from = |name: &str| Ok::<u64, StoreError>(meta.get(name)?.map_or(0, |value| value.value()));
    Ok(RetentionCutoffs {
        requests_ms: from(REQUESTS_FROM)?,
        refusals_ms: 0,
        hours_ms: from(HOURS_FROM)?,
        days_ms: from(DAYS_FROM)?,
    })
}

/// Deletes the next slice; returns the number of rows, 0 when nothing is left to delete.
pub(in crate::store) fn slice(
    database: &Database,
    cutoffs: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let transaction = begin(database)?;
    let rows = delete_oldest(&transaction, cutoffs)?;
    if rows == 0 {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok(rows)
}

/// Deletes rows of the first kind that has old ones. Requests come before balances: a balance is deleted once no record counts in it.
fn delete_oldest(
    transaction: &WriteTransaction,
    cutoffs: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let kinds: [&dyn Fn() -> Result<usize, StoreError>; 6] = [
        &|| delete_refusals(transaction, cutoffs.refusals_ms),
        &|| delete_requests(transaction, cutoffs),
        &|| delete_rollups(transaction, HOURS, HOURS_FROM, cutoffs.hours_ms),
        &|| delete_rollups(transaction, DAYS, DAYS_FROM, cutoffs.days_ms),
        &|| stated_usage::delete_before(transaction, cutoffs.days_ms, SLICE),
        &|| delete_balances(transaction, cutoffs),
    ];
    for delete in kinds {
        let rows = delete()?;
        if rows > 0 {
            return Ok(rows);
        }
    }
    Ok(0)
}

/// First key of an instant in `records`.
fn first_key(at_ms: u64) -> (u128, u8) {
    (RequestId::first_at(at_ms.min((1 << 48) - 1)).0, 0)
}

/// Raises a stored cutoff, in the transaction that deletes the rows.
fn raise_cutoff(transaction: &WriteTransaction, name: &str, to_ms: u64) -> Result<(), StoreError> {
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
    let (end, _) = first_key(before_ms);
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
    cutoffs: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let old = old_records(transaction, cutoffs.requests_ms)?;
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
            .filter(|charge| cutoffs.has_balance(charge))
        {
            let sum: &mut Money = carried.entry(*charge).or_default();
            *sum = sum.plus(record.ending.cost).plus(corrected);
        }
    }
    if rows > 0 {
        add_money(transaction, CARRIED, &carried)?;
        raise_cutoff(transaction, REQUESTS_FROM, cutoffs.requests_ms)?;
    }
    Ok(rows)
}

/// Oldest records before the cutoff. A record admitted later than its id says may belong to a kept day and is left.
fn old_records(
    transaction: &WriteTransaction,
    before_ms: u64,
) -> Result<Vec<Settlement>, StoreError> {
    let mut old = Vec::new();
    for row in transaction
        .open_table(RECORDS)?
        .range(first_key(0)..first_key(before_ms))?
    {
        let (key, bytes) = row?;
        if key.value().1 == REFUSED {
            continue;
        }
        let record = Settlement::decode(bytes.value())?;
        if record.hold.at_ms < before_ms {
            old.push(record);
        }
        // each record has at least two rows
        if old.len() == SLICE / 2 {
            break;
        }
    }
    Ok(old)
}

/// Deletes a record, its index rows and corrections; returns the number of rows and the sum of the corrections.
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
        raise_cutoff(transaction, name, before_ms)?;
    }
    Ok(rows)
}

fn delete_balances(
    transaction: &WriteTransaction,
    cutoffs: &RetentionCutoffs,
) -> Result<usize, StoreError> {
    let mut rows = 0;
    for table in [BALANCES, CARRIED] {
        let mut balances = transaction.open_table(table)?;
        let is_past = |(_, window_start_ms): (u64, u64), _: &[u8]| {
            window_start_ms > 0 && window_start_ms < cutoffs.balances_ms()
        };
        for row in balances.extract_if(is_past)?.take(SLICE - rows) {
            row?;
            rows += 1;
        }
    }
    if rows > 0 {
        raise_cutoff(transaction, REQUESTS_FROM, cutoffs.requests_ms)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use redb::ReadableTableMetadata;

    use super::*;
    use crate::store::tests::{create_store, log_call, wait_until_posted};

    #[test]
    fn retention_slices_are_bounded_and_delete_only_old_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = create_store(folder.path());
        for number in 1..=2_500 {
            log_call(&store, number * 1_000);
        }
        wait_until_posted(&store);
        let cutoffs = RetentionCutoffs {
            requests_ms: 2_400_000,
            refusals_ms: 2_400_000,
            hours_ms: 3_600_000,
            days_ms: 0,
        };
        let database = store.database.open().expect("the books");
        let slices: Vec<usize> = std::iter::from_fn(|| {
            Some(slice(&database, &cutoffs).expect("a slice")).filter(|rows| *rows > 0)
        })
        .collect();
        // 2,399 records with one index row each, and the one hour with their sums
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
            stored_cutoffs(&read).expect("the cutoffs"),
            RetentionCutoffs {
                refusals_ms: 0,
                ..cutoffs
            }
        );
        drop((read, database));
        store.close();
    }
}
