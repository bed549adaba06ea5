//! Posting: writes a batch of records of the log as usage records, balances and roll-ups in one transaction, each row once however many
//! records touch it. It adds amounts found in the records and never reads limits, prices or tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redb::{Database, ReadableTable, WriteTransaction};

use crate::domain::event::{
    Charge, Correction, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status, StatusClass,
};
use crate::domain::latency::{Histogram, Latencies};
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::zone::{Window, Zone};
use crate::store::books::database::begin;
use crate::store::books::stated_usage;
use crate::store::books::tables::{
    BALANCES, BalanceTable, CORRECTIONS, DAYS, HOURS, META, OPEN_HOLDS, ORPHANS, RECORDS,
    RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED, RollupTable,
};
use crate::store::books::yielding::Yielder;
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_number;
use crate::store::error::StoreError;
use crate::store::refusals::RefusalBatch;
use crate::store::rollup::{RollupKey, RollupSums, StatedKey, StatedKind};

/// Sums of a batch, row by row.
#[derive(Default)]
struct PostingBatch<'a> {
    settlements: Vec<&'a Settlement>,
    balances: BTreeMap<Charge, Money>,
    hours: BTreeMap<RollupKey, RollupSums>,
    days: BTreeMap<RollupKey, RollupSums>,
    stated: BTreeMap<StatedKey, RollupSums>,
    opened: BTreeMap<HoldId, &'a Hold>,
    /// latest progress of holds that are open at the end of the batch
    progressed: BTreeMap<HoldId, &'a Progress>,
    /// closed in this batch, opened in an earlier one
    closed: BTreeSet<HoldId>,
}

/// Posts a batch and the pending refusals durably. The batch must follow the posted records without a gap; records that are posted
/// already, by a commit that took effect although it reported an error, are skipped.
pub(in crate::store) fn post(
    database: &Database,
    batch: &[(u64, Arc<LedgerEvent>)],
    refusals: &RefusalBatch,
    zone: &Zone,
    yielder: &Yielder,
) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    let mut meta = transaction.open_table(META)?;
    let applied = meta.get("applied")?.map_or(0, |value| value.value());
    let mut sums = sum_batch(
        &batch[batch.partition_point(|(sequence, _)| *sequence <= applied)..],
        zone,
        yielder,
    );
    sums.count_refusals(refusals, zone);
    write_records(&transaction, &sums, yielder)?;
    write_refusals(&transaction, &refusals.rows)?;
    write_holds(&transaction, &sums)?;
    add_money(&transaction, BALANCES, &sums.balances)?;
    write_rollups(&transaction, HOURS, &sums.hours)?;
    write_rollups(&transaction, DAYS, &sums.days)?;
    stated_usage::write(&transaction, &sums.stated)?;
    if let Some((last, _)) = batch.last() {
        meta.insert("applied", last)?;
    }
    drop(meta);
    transaction.commit()?;
    Ok(())
}

/// Ids of the request-log rows that a batch adds.
pub(in crate::store) fn posted_ids<'a>(
    batch: &'a [(u64, Arc<LedgerEvent>)],
    refusals: &'a RefusalBatch,
) -> impl Iterator<Item = HoldId> + 'a {
    let settled = batch.iter().filter_map(|(_, event)| {
        if let LedgerEvent::Settle(settled) = &**event {
            Some(settled.hold.id)
        } else {
            None
        }
    });
    settled.chain(refusals.rows.iter().map(|refusal| HoldId {
        request: refusal.request,
        attempt: REFUSED,
    }))
}

fn sum_batch<'a>(
    batch: &'a [(u64, Arc<LedgerEvent>)],
    zone: &Zone,
    yielder: &Yielder,
) -> PostingBatch<'a> {
    let mut sums = PostingBatch::default();
    let mut hour = Window {
        start_ms: 0,
        end_ms: 0,
    };
    let mut day = hour;
    for (_, event) in yielder.over(batch) {
        match &**event {
            LedgerEvent::Hold(hold) => {
                sums.opened.insert(hold.id, hold);
            }
            LedgerEvent::Progress { id, progress } => {
                sums.progressed.insert(*id, progress);
            }
            LedgerEvent::Release { id, .. } => sums.close(*id),
            LedgerEvent::Settle(settlement) => {
                let at_ms = settlement.hold.at_ms;
                if !hour.contains(at_ms) {
                    hour = zone.hour(at_ms);
                }
                if !day.contains(at_ms) {
                    day = zone.day(at_ms);
                }
                sums.settle(settlement, hour, day);
            }
        }
    }
    sums
}

impl<'a> PostingBatch<'a> {
    fn close(&mut self, id: HoldId) {
        self.progressed.remove(&id);
        if self.opened.remove(&id).is_none() {
            self.closed.insert(id);
        }
    }

    fn settle(&mut self, settlement: &'a Settlement, hour: Window, day: Window) {
        self.close(settlement.hold.id);
        self.add(settlement, &sums_of(settlement), hour, day);
        self.settlements.push(settlement);
    }

    /// Counts refusals by key alone: the requested model names are arbitrary.
    fn count_refusals(&mut self, refusals: &RefusalBatch, zone: &Zone) {
        let none: Arc<str> = "".into();
        for (minute, count) in &refusals.counts {
            let key = |start_ms| RollupKey {
                start_ms,
                key: minute.key,
                model_asked: none.clone(),
                provider: none.clone(),
                model: none.clone(),
                class: StatusClass::Refused,
            };
            let sums = RollupSums {
                refused: *count,
                ..RollupSums::default()
            };
            self.hours
                .entry(key(zone.hour(minute.start_ms).start_ms))
                .or_default()
                .add(&sums);
            self.days
                .entry(key(zone.day(minute.start_ms).start_ms))
                .or_default()
                .add(&sums);
        }
    }

    /// Adds to every balance and roll-up of a record.
    fn add(&mut self, settlement: &Settlement, sums: &RollupSums, hour: Window, day: Window) {
        for charge in &settlement.hold.charges {
            let balance = self.balances.entry(*charge).or_default();
            *balance = balance.plus(sums.cost);
        }
        self.hours
            .entry(rollup_key(settlement, hour.start_ms))
            .or_default()
            .add(sums);
        self.days
            .entry(rollup_key(settlement, day.start_ms))
            .or_default()
            .add(sums);
        for key in stated_keys(settlement, day.start_ms) {
            self.stated.entry(key).or_default().add(sums);
        }
    }
}

/// Writes compensating entries and adds them to the balances and roll-ups of their records; the records stay unchanged.
pub(in crate::store) fn correct(
    transaction: &WriteTransaction,
    corrected: &[(Settlement, Correction)],
    zone: &Zone,
) -> Result<(), StoreError> {
    let mut batch = PostingBatch::default();
    {
        let mut corrections = transaction.open_table(CORRECTIONS)?;
        let mut orphans = transaction.open_table(ORPHANS)?;
        for (record, correction) in corrected {
            let (id, at_ms) = (record.hold.id, record.hold.at_ms);
            let (request, attempt) = (id.request.0, id.attempt);
            let last = corrections
                .range((request, attempt, 0)..=(request, attempt, u32::MAX))?
                .next_back()
                .transpose()?;
            let number = last.map_or(0, |(key, _)| key.value().2) + 1;
            corrections.insert((request, attempt, number), correction.encode()?.as_slice())?;
            orphans.remove((request, attempt))?;
            let sums = RollupSums {
                cost: correction.amount,
                ..RollupSums::default()
            };
            batch.add(record, &sums, zone.hour(at_ms), zone.day(at_ms));
        }
    }
    add_money(transaction, BALANCES, &batch.balances)?;
    write_rollups(transaction, HOURS, &batch.hours)?;
    write_rollups(transaction, DAYS, &batch.days)?;
    stated_usage::write(transaction, &batch.stated)
}

/// Key of a record's roll-up in the period that begins at `start_ms`.
pub(in crate::store) fn rollup_key(settlement: &Settlement, start_ms: u64) -> RollupKey {
    let subject = &settlement.hold.subject;
    RollupKey {
        start_ms,
        key: subject.key,
        model_asked: subject.model_asked.clone(),
        provider: subject.provider.clone(),
        model: subject.model.clone(),
        class: settlement.ending.status.class(),
    }
}

/// Tag and end user of a record, where the client stated them.
pub(in crate::store) fn stated_keys(
    settlement: &Settlement,
    start_ms: u64,
) -> impl Iterator<Item = StatedKey> {
    let subject = &settlement.hold.subject;
    let (attribution, key) = (&subject.attribution, subject.key);
    let tag = attribution.tag.as_ref().map(|tag| tag.as_str().to_owned());
    let user = attribution.user.map(|user| user.to_string());
    let stated = [(StatedKind::Tag, tag), (StatedKind::User, user)];
    stated.into_iter().filter_map(move |(kind, value)| {
        Some(StatedKey {
            start_ms,
            kind,
            value: value?,
            key,
        })
    })
}

/// Contribution of a record to its roll-ups.
pub(in crate::store) fn sums_of(settlement: &Settlement) -> RollupSums {
    let (usage, cache) = (&settlement.ending.usage, settlement.ending.cache.as_deref());
    let second_models = usage.second_models.iter();
    let second_models = second_models.map(|second| {
        second
            .usage
            .in_total()
            .saturating_add(second.usage.out_total)
    });
    RollupSums {
        requests: 1,
        refused: 0,
        tokens_in: usage.in_total(),
        cached_in: usage.cache_read,
        tokens_out: usage.out_total,
        cache_writes: usage.cache_writes(),
        reasoning: usage.reasoning,
        images: usage.image_tokens(),
        audio: usage.audio_tokens(),
        searches: usage.searches(),
        second_models: second_models.fold(0, u64::saturating_add),
        latencies: latencies_of(settlement),
        cost: settlement.ending.cost,
        cache_hits: cache.map_or(0, |note| u64::from(note.outcome.is_hit())),
        saved: cache.map_or(Money::ZERO, |note| note.saved),
    }
}

/// A call that a crash ended has no latency.
pub(in crate::store) fn latencies_of(settlement: &Settlement) -> Latencies {
    let ending = &settlement.ending;
    if ending.status == Status::Orphaned {
        return Latencies::default();
    }
    let duration_ms = ending.ended_ms.saturating_sub(settlement.hold.at_ms);
    Latencies {
        duration: Histogram::of(duration_ms),
        first_content: ending
            .first_content_ms
            .map_or_else(Histogram::default, Histogram::of),
    }
}

fn write_records(
    transaction: &WriteTransaction,
    batch: &PostingBatch<'_>,
    yielder: &Yielder,
) -> Result<(), StoreError> {
    if batch.settlements.is_empty() {
        return Ok(());
    }
    let mut records = transaction.open_table(RECORDS)?;
    let mut of_key = transaction.open_table(RECORDS_OF_KEY)?;
    let mut not_ok = None;
    let mut row = Vec::new();
    for settlement in yielder.over(&batch.settlements) {
        let (request, attempt) = (settlement.hold.id.request.0, settlement.hold.id.attempt);
        row.clear();
        settlement.encode_into(&mut row)?;
        records.insert((request, attempt), row.as_slice())?;
        of_key.insert((settlement.hold.subject.key.0, request, attempt), ())?;
        if settlement.ending.status != Status::Ok {
            // seldom needed, and each open table costs a commit a few thousand instructions
            let not_ok = match &mut not_ok {
                Some(table) => table,
                None => not_ok.insert(transaction.open_table(RECORDS_NOT_OK)?),
            };
            not_ok.insert(
                (
                    class_number(settlement.ending.status.class()),
                    request,
                    attempt,
                ),
                (),
            )?;
        }
        if settlement.ending.flags.has(Flags::ORPHANED) {
            transaction
                .open_table(ORPHANS)?
                .insert((request, attempt), ())?;
        }
    }
    Ok(())
}

fn write_refusals(transaction: &WriteTransaction, rows: &[Refusal]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut records = transaction.open_table(RECORDS)?;
    let mut of_key = transaction.open_table(RECORDS_OF_KEY)?;
    let mut not_ok = transaction.open_table(RECORDS_NOT_OK)?;
    for refusal in rows {
        let request = refusal.request.0;
        records.insert((request, REFUSED), refusal.encode()?.as_slice())?;
        of_key.insert((refusal.key.0, request, REFUSED), ())?;
        not_ok.insert((class_number(StatusClass::Refused), request, REFUSED), ())?;
    }
    Ok(())
}

fn write_holds(transaction: &WriteTransaction, batch: &PostingBatch<'_>) -> Result<(), StoreError> {
    if batch.closed.is_empty() && batch.opened.is_empty() && batch.progressed.is_empty() {
        return Ok(());
    }
    let mut open = transaction.open_table(OPEN_HOLDS)?;
    for id in &batch.closed {
        open.remove((id.request.0, id.attempt))?;
    }
    for (id, hold) in &batch.opened {
        let encoded = match batch.progressed.get(id) {
            Some(progress) => Hold {
                progress: (*progress).clone(),
                ..(*hold).clone()
            }
            .encode()?,
            None => hold.encode()?,
        };
        open.insert((id.request.0, id.attempt), encoded.as_slice())?;
    }
    for (id, progress) in batch
        .progressed
        .iter()
        .filter(|(id, _)| !batch.opened.contains_key(id))
    {
        let key = (id.request.0, id.attempt);
        let stored = open
            .get(key)?
            .map(|row| Hold::decode(row.value()))
            .transpose()?;
        if let Some(hold) = stored {
            open.insert(
                key,
                Hold {
                    progress: (*progress).clone(),
                    ..hold
                }
                .encode()?
                .as_slice(),
            )?;
        }
    }
    Ok(())
}

/// Adds to the amounts of budget windows.
pub(in crate::store) fn add_money(
    transaction: &WriteTransaction,
    table: BalanceTable,
    sums: &BTreeMap<Charge, Money>,
) -> Result<(), StoreError> {
    if sums.is_empty() {
        return Ok(());
    }
    let mut balances = transaction.open_table(table)?;
    for (charge, added) in sums {
        let key = (charge.budget.0, charge.window_start_ms);
        let settled = match balances.get(key)? {
            Some(bytes) => Money::decode(bytes.value())?,
            None => Money::ZERO,
        };
        balances.insert(key, settled.plus(*added).encode()?.as_slice())?;
    }
    Ok(())
}

fn write_rollups(
    transaction: &WriteTransaction,
    table: RollupTable,
    rows: &BTreeMap<RollupKey, RollupSums>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut rollups = transaction.open_table(table)?;
    for (row, added) in rows {
        let class = class_number(row.class);
        let key = (
            row.start_ms,
            row.key.0,
            &*row.model_asked,
            &*row.provider,
            &*row.model,
            class,
        );
        let mut sums = match rollups.get(key)? {
            Some(bytes) => RollupSums::decode(bytes.value())?,
            None => RollupSums::default(),
        };
        sums.add(added);
        rollups.insert(key, sums.encode()?.as_slice())?;
    }
    Ok(())
}
