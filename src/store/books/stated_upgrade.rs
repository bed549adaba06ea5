//! Upgrade of books without days of tags and users: fills them from the records that are kept, in order of time, a day at once. Must
//! never change days that the books have.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use crate::domain::event::{Correction, Settlement};
use crate::domain::zone::Window;
use crate::store::books::post::{stated_keys, sums_of};
use crate::store::books::rollup_upgrade::stored_zone;
use crate::store::books::stated_usage;
use crate::store::books::tables::{CORRECTIONS, RECORDS, REFUSED, STATED_DAYS};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupSums, StatedKey};

/// Adds every record, with its corrections, to the days of its tag and its user.
pub(in crate::store) fn add_stated_days(transaction: &WriteTransaction) -> Result<(), StoreError> {
    if !transaction.open_table(STATED_DAYS)?.is_empty()? {
        return Ok(());
    }
    let zone = stored_zone(transaction)?;
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
