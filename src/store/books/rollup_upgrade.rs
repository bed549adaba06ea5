//! Upgrades of roll-ups without counts of cache writes, reasoning, images, sound, searches and second models, without latencies, and of
//! books without days of tags and users: add them from the records that are kept. Roll-ups of deleted records keep zeros. Must never
//! change a count or a cost that a roll-up has.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use crate::domain::event::{Correction, Settlement};
use crate::domain::latency::Latencies;
use crate::domain::money::Money;
use crate::domain::zone::{Window, Zone};
use crate::store::books::post::{latencies_of, rollup_key, stated_keys, sums_of};
use crate::store::books::stated_usage;
use crate::store::books::tables::{
    CORRECTIONS, DAYS, HOURS, RECORDS, REFUSED, RollupTable, STATED_DAYS, TIMEZONE, WORDS,
};
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_number;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupKey, RollupSums, StatedKey};

/// Counts of the roll-ups of one hour or day.
struct PeriodCounts {
    table: RollupTable,
    window: Window,
    rows: BTreeMap<RollupKey, RollupSums>,
}

/// Adds counts of cache writes, reasoning, images, sound, searches and second models.
pub(in crate::store) fn add_usage_columns(
    transaction: &WriteTransaction,
) -> Result<(), StoreError> {
    add_counts(transaction, usage_columns)
}

/// Adds latencies, and the days of tags and users to books that have none.
pub(in crate::store) fn add_latencies(transaction: &WriteTransaction) -> Result<(), StoreError> {
    add_counts(transaction, |record| RollupSums {
        latencies: latencies_of(record),
        ..RollupSums::default()
    })?;
    add_stated_days(transaction, &stored_zone(transaction)?)
}

/// Adds the counts of every record to its hour and its day. Records are stored in order of time, so that one hour and one day are in
/// memory at once.
fn add_counts(
    transaction: &WriteTransaction,
    counts: fn(&Settlement) -> RollupSums,
) -> Result<(), StoreError> {
    let zone = stored_zone(transaction)?;
    let records = transaction.open_table(RECORDS)?;
    let (mut hours, mut days) = (PeriodCounts::of(HOURS), PeriodCounts::of(DAYS));
    for row in records.iter()? {
        let (id, bytes) = row?;
        if id.value().1 == REFUSED {
            continue;
        }
        let record = Settlement::decode(bytes.value())?;
        let at_ms = record.hold.at_ms;
        let added = counts(&record);
        hours.add(transaction, (&record, &added), || zone.hour(at_ms))?;
        days.add(transaction, (&record, &added), || zone.day(at_ms))?;
    }
    hours.flush(transaction)?;
    days.flush(transaction)
}

/// Fills the days of tags and users, in order of time, a day at once; a record counts with its corrections.
fn add_stated_days(transaction: &WriteTransaction, zone: &Zone) -> Result<(), StoreError> {
    if !transaction.open_table(STATED_DAYS)?.is_empty()? {
        return Ok(());
    }
    let records = transaction.open_table(RECORDS)?;
    let corrections = transaction.open_table(CORRECTIONS)?;
    let mut day = Window {
        start_ms: 0,
        end_ms: 0,
    };
    let mut rows: BTreeMap<StatedKey, RollupSums> = BTreeMap::new();
    for row in records.iter()? {
        let (id, bytes) = row?;
        let (request, attempt) = id.value();
        if attempt == REFUSED {
            continue;
        }
        let record = Settlement::decode(bytes.value())?;
        if !day.contains(record.hold.at_ms) {
            stated_usage::write(transaction, &std::mem::take(&mut rows))?;
            day = zone.day(record.hold.at_ms);
        }
        let mut sums = sums_of(&record);
        for entry in corrections.range((request, attempt, 0)..=(request, attempt, u32::MAX))? {
            let entry = Correction::decode(entry?.1.value())?;
            sums.cost = sums.cost.plus(entry.amount);
        }
        for key in stated_keys(&record, day.start_ms) {
            rows.entry(key).or_default().add(&sums);
        }
    }
    stated_usage::write(transaction, &rows)
}

impl PeriodCounts {
    fn of(table: RollupTable) -> PeriodCounts {
        PeriodCounts {
            table,
            window: Window {
                start_ms: 0,
                end_ms: 0,
            },
            rows: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        transaction: &WriteTransaction,
        (record, added): (&Settlement, &RollupSums),
        window: impl Fn() -> Window,
    ) -> Result<(), StoreError> {
        if !self.window.contains(record.hold.at_ms) {
            self.flush(transaction)?;
            self.window = window();
        }
        let key = rollup_key(record, self.window.start_ms);
        self.rows.entry(key).or_default().add(added);
        Ok(())
    }

    /// Adds to the rows that exist: retention may have deleted a roll-up before its records.
    fn flush(&mut self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = transaction.open_table(self.table)?;
        for (row, added) in std::mem::take(&mut self.rows) {
            let names = (&*row.model_asked, &*row.provider);
            let class = class_number(row.class);
            let key = (
                row.start_ms,
                row.key.0,
                names.0,
                names.1,
                &*row.model,
                class,
            );
            let stored = table.get(key)?;
            let stored = stored.map(|bytes| RollupSums::decode(bytes.value()));
            if let Some(mut sums) = stored.transpose()? {
                sums.add(&added);
                table.insert(key, sums.encode()?.as_slice())?;
            }
        }
        Ok(())
    }
}

/// Counts of a record that roll-ups before schema 9 lack.
fn usage_columns(record: &Settlement) -> RollupSums {
    RollupSums {
        latencies: Latencies::default(),
        requests: 0,
        tokens_in: 0,
        cached_in: 0,
        tokens_out: 0,
        cost: Money::ZERO,
        ..sums_of(record)
    }
}

fn stored_zone(transaction: &WriteTransaction) -> Result<Zone, StoreError> {
    let words = transaction.open_table(WORDS)?;
    let name = words.get(TIMEZONE)?;
    let name = name.map_or_else(String::new, |word| word.value().to_owned());
    if name.is_empty() {
        // books without a record have no zone yet
        return Ok(Zone::utc());
    }
    Zone::parse(&name).ok_or_else(|| StoreError::Record {
        kind: "time zone",
        reason: format!("unknown zone `{name}`"),
    })
}
