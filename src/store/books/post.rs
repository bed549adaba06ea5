//! Booking: a batch of the log's records becomes usage records, balances and roll-ups in one transaction, each row written
//! once however many records touch it. It only adds amounts that stand in the records.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};

use crate::domain::event::{
    Charge, Correction, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status, StatusClass,
};
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::zone::{Window, Zone};
use crate::store::books::alerts;
use crate::store::books::refusals::RefusalBatch;
use crate::store::books::tables;
use crate::store::books::tables::{
    ALERTS, BALANCES, BalanceTable, CORRECTIONS, DAYS, HOURS, META, OPEN_HOLDS, ORPHANS, RECORDS,
    RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED, RollupTable,
};
use crate::store::books::yielding::Yielder;
use crate::store::codec::{Stored, class_number};
use crate::store::wal::recovery::Replay;
use crate::store::{RecoveredState, RollupKey, RollupSums, StoreError};

/// What a batch comes to, row by row.
#[derive(Default)]
struct PostingBatch<'a> {
    settlements: Vec<&'a Settlement>,
    balances: BTreeMap<Charge, Money>,
    hours: BTreeMap<RollupKey, RollupSums>,
    days: BTreeMap<RollupKey, RollupSums>,
    opened: BTreeMap<HoldId, &'a Hold>,
    /// the last that was noted of holds that are open at the end of the batch
    progressed: BTreeMap<HoldId, &'a Progress>,
    /// ended here, begun in an earlier batch
    closed: BTreeSet<HoldId>,
}

/// Books a batch, and what was refused, durably. The batch must follow what is booked already, without a gap; what of it is
/// booked already, by a commit that reported a failure and yet took place, is left out.
pub(crate) fn book(
    database: &Database,
    batch: &[(u64, Arc<LedgerEvent>)],
    refused: &RefusalBatch,
    zone: &Zone,
    pace: &Yielder,
) -> Result<(), StoreError> {
    let transaction = tables::begin(database)?;
    let applied = transaction
        .open_table(META)?
        .get("applied")?
        .map_or(0, |value| value.value());
    let mut fold = fold(
        &batch[batch.partition_point(|(sequence, _)| *sequence <= applied)..],
        zone,
        pace,
    );
    fold.refuse(refused, zone);
    write_records(&transaction, &fold, pace)?;
    write_refusals(&transaction, &refused.rows)?;
    write_holds(&transaction, &fold)?;
    add_money(&transaction, BALANCES, &fold.balances)?;
    write_rollups(&transaction, HOURS, &fold.hours)?;
    write_rollups(&transaction, DAYS, &fold.days)?;
    if let Some((last, _)) = batch.last() {
        transaction.open_table(META)?.insert("applied", last)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The rows of the request log that a batch makes.
pub(crate) fn rows<'a>(
    batch: &'a [(u64, Arc<LedgerEvent>)],
    refused: &'a RefusalBatch,
) -> impl Iterator<Item = HoldId> + 'a {
    let settled = batch.iter().filter_map(|(_, event)| {
        if let LedgerEvent::Settle(settled) = &**event {
            Some(settled.hold.id)
        } else {
            None
        }
    });
    settled.chain(refused.rows.iter().map(|refusal| HoldId {
        request: refusal.request,
        attempt: REFUSED,
    }))
}

fn fold<'a>(batch: &'a [(u64, Arc<LedgerEvent>)], zone: &Zone, pace: &Yielder) -> PostingBatch<'a> {
    let mut fold = PostingBatch::default();
    let mut hour = Window {
        start_ms: 0,
        end_ms: 0,
    };
    let mut day = hour;
    for (_, event) in pace.over(batch) {
        match &**event {
            LedgerEvent::Hold(hold) => {
                fold.opened.insert(hold.id, hold);
            }
            LedgerEvent::Progress { id, progress } => {
                fold.progressed.insert(*id, progress);
            }
            LedgerEvent::Release { id, .. } => fold.close(*id),
            LedgerEvent::Settle(settlement) => {
                let at_ms = settlement.hold.at_ms;
                if !hour.contains(at_ms) {
                    hour = zone.hour(at_ms);
                }
                if !day.contains(at_ms) {
                    day = zone.day(at_ms);
                }
                fold.settle(settlement, hour, day);
            }
        }
    }
    fold
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
        self.add(settlement, &sums(settlement), hour, day);
        self.settlements.push(settlement);
    }

    /// Counts refusals, by key alone: the names that were asked for may be anything.
    fn refuse(&mut self, refused: &RefusalBatch, zone: &Zone) {
        for (minute, count) in &refused.counts {
            let key = |start_ms| RollupKey {
                start_ms,
                key: minute.key,
                model_asked: String::new(),
                provider: String::new(),
                model: String::new(),
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

    /// Adds to every balance and roll-up that a record counts in.
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
    }
}

/// Writes compensating entries, and adds them to the balances and roll-ups of their records; the records stay as they are.
pub(crate) fn correct(
    transaction: &WriteTransaction,
    corrected: &[(Settlement, Correction)],
    zone: &Zone,
) -> Result<(), StoreError> {
    let mut fold = PostingBatch::default();
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
            fold.add(record, &sums, zone.hour(at_ms), zone.day(at_ms));
        }
    }
    add_money(transaction, BALANCES, &fold.balances)?;
    write_rollups(transaction, HOURS, &fold.hours)?;
    write_rollups(transaction, DAYS, &fold.days)
}

pub(crate) fn rollup_key(settlement: &Settlement, start_ms: u64) -> RollupKey {
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

pub(crate) fn sums(settlement: &Settlement) -> RollupSums {
    RollupSums {
        requests: 1,
        refused: 0,
        tokens_in: settlement.ending.usage.in_total(),
        cached_in: settlement.ending.usage.cache_read,
        tokens_out: settlement.ending.usage.out_total,
        cost: settlement.ending.cost,
    }
}

fn write_records(
    transaction: &WriteTransaction,
    fold: &PostingBatch<'_>,
    pace: &Yielder,
) -> Result<(), StoreError> {
    let mut records = transaction.open_table(RECORDS)?;
    let mut of_key = transaction.open_table(RECORDS_OF_KEY)?;
    let mut not_ok = transaction.open_table(RECORDS_NOT_OK)?;
    for settlement in pace.over(&fold.settlements) {
        let (request, attempt) = (settlement.hold.id.request.0, settlement.hold.id.attempt);
        records.insert((request, attempt), settlement.encode()?.as_slice())?;
        of_key.insert((settlement.hold.subject.key.0, request, attempt), ())?;
        if settlement.ending.status != Status::Ok {
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

fn write_holds(transaction: &WriteTransaction, fold: &PostingBatch<'_>) -> Result<(), StoreError> {
    let mut open = transaction.open_table(OPEN_HOLDS)?;
    for id in &fold.closed {
        open.remove((id.request.0, id.attempt))?;
    }
    for (id, hold) in &fold.opened {
        let encoded = match fold.progressed.get(id) {
            Some(progress) => Hold {
                progress: (*progress).clone(),
                ..(*hold).clone()
            }
            .encode()?,
            None => hold.encode()?,
        };
        open.insert((id.request.0, id.attempt), encoded.as_slice())?;
    }
    for (id, progress) in fold
        .progressed
        .iter()
        .filter(|(id, _)| !fold.opened.contains_key(id))
    {
        let key = (id.request.0, id.attempt);
        let known = open
            .get(key)?
            .map(|row| Hold::decode(row.value()))
            .transpose()?;
        if let Some(hold) = known {
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

/// Adds to the sums of budget windows.
pub(crate) fn add_money(
    transaction: &WriteTransaction,
    table: BalanceTable,
    sums: &BTreeMap<Charge, Money>,
) -> Result<(), StoreError> {
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
    let mut rollups = transaction.open_table(table)?;
    for (row, added) in rows {
        let class = class_number(row.class);
        let key = (
            row.start_ms,
            row.key.0,
            row.model_asked.as_str(),
            row.provider.as_str(),
            row.model.as_str(),
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

/// The state as of the last record of the log: the books plus what is not booked yet.
pub(crate) fn recover(database: &Database, replay: &Replay) -> Result<RecoveredState, StoreError> {
    let read = database.begin_read()?;
    let mut holds: HashMap<HoldId, Hold> = HashMap::new();
    for row in read.open_table(OPEN_HOLDS)?.iter()? {
        let hold = Hold::decode(row?.1.value())?;
        holds.insert(hold.id, hold);
    }
    let mut balances: HashMap<Charge, Money> = HashMap::new();
    for row in read.open_table(BALANCES)?.iter()? {
        let (key, bytes) = row?;
        let (budget, window_start_ms) = key.value();
        balances.insert(
            Charge {
                budget: BudgetId(budget),
                window_start_ms,
            },
            Money::decode(bytes.value())?,
        );
    }
    let mut ended: HashSet<HoldId> = HashSet::new();
    let mut orphans = read.open_table(ORPHANS)?.len()?;
    for (_, event) in &replay.events {
        match &**event {
            LedgerEvent::Hold(hold) => {
                holds.insert(hold.id, hold.clone());
            }
            LedgerEvent::Release { id, .. } => {
                ended.insert(*id);
            }
            LedgerEvent::Settle(settlement) => {
                ended.insert(settlement.hold.id);
                orphans += u64::from(settlement.ending.flags.has(Flags::ORPHANED));
                for charge in &settlement.hold.charges {
                    let balance = balances.entry(*charge).or_default();
                    *balance = balance.plus(settlement.ending.cost);
                }
            }
            LedgerEvent::Progress { id, progress } => {
                if let Some(hold) = holds.get_mut(id) {
                    hold.progress = progress.clone();
                }
            }
        }
    }
    holds.retain(|id, _| !ended.contains(id));
    let mut holds: Vec<Hold> = holds.into_values().collect();
    holds.sort_by_key(|hold| hold.id);
    Ok(RecoveredState {
        holds,
        balances: balances.into_iter().collect(),
        orphans,
        told: alerts::told(&read.open_table(ALERTS)?)?,
        remarks: replay.remarks.clone(),
        replayed: replay.events.len() as u64,
    })
}
