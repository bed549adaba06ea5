//! Whether the books agree with themselves: balances, hours and days are computed once more from the records and their
//! corrections, in slices, each in a read transaction of its own, so that a long look at the books pins none of their
//! pages. What is booked meanwhile is noted by the writer and put where it belongs. Kept in memory: a sum per budget
//! window, the roll-ups of the last two hours and days, and what differs. The log's file is read once more as well. It changes nothing.

pub(crate) mod logged;
pub(crate) mod periods;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
};

use crate::domain::event::{Charge, Correction, CostLine, HoldId, LedgerEvent, Settlement, Status};
use crate::domain::id::{BudgetId, RequestId};
use crate::domain::money::Money;
use crate::domain::zone::Zone;
use crate::store::books::post::{rollup_key, sums};
use crate::store::books::retention::RetentionCutoffs;
use crate::store::books::tables::{
    BALANCES, CARRIED, CORRECTIONS, META, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED,
};
use crate::store::books::verify::logged::{LogLook, WalCheck};
use crate::store::books::verify::periods::Periods;
use crate::store::codec::{Stored, class_number};
use crate::store::{Grain, Store, StoreError};

/// Records of one read transaction.
const SLICE: usize = 2_000;
/// A roll-up is compared once the records are so far past its end; what still comes for it is put right afterwards.
const SLACK_MS: u64 = 3_600_000;
/// Records that may be booked while a verification runs: some 50 MB.
const BOOKED_MAX: usize = 100_000;
/// Differences that are told.
const TOLD_MAX: usize = 100;

/// What can differ, in the order of the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Records,
    Balances,
    Rollups,
    Log,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Records, Part::Balances, Part::Rollups, Part::Log];

    pub fn as_str(self) -> &'static str {
        match self {
            Part::Records => "records",
            Part::Balances => "balances",
            Part::Rollups => "rollups",
            Part::Log => "log",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub part: Part,
    /// the row
    pub row: String,
    pub says: String,
}

/// What was looked at, and what differs.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    pub records: u64,
    pub corrections: u64,
    pub balances: u64,
    pub rollups: u64,
    pub written: u64,
    pub synced: u64,
    pub applied: u64,
    /// hours and days before this are not compared: their records were deleted; 0 where none was
    pub compared_from_ms: u64,
    /// the first of them; `count` has all
    pub differences: Vec<Difference>,
    /// how many rows of each part differ
    pub count: BTreeMap<Part, u64>,
}

impl VerifyReport {
    fn differs(&mut self, part: Part, row: impl Into<String>, says: impl Into<String>) {
        *self.count.entry(part).or_default() += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(Difference {
                part,
                row: row.into(),
                says: says.into(),
            });
        }
    }
}

/// What the writer books while a verification runs, by its place in the log.
#[derive(Default)]
pub(crate) struct ConcurrentPostings(Mutex<Option<BTreeMap<u64, Arc<LedgerEvent>>>>);

impl ConcurrentPostings {
    pub(crate) fn note(&self, batch: &[(u64, Arc<LedgerEvent>)]) {
        if let Some(noted) = &mut *self.lock() {
            let settled = batch
                .iter()
                .filter(|(_, event)| matches!(**event, LedgerEvent::Settle(_)));
            let room = (BOOKED_MAX + 1).saturating_sub(noted.len());
            noted.extend(
                settled
                    .take(room)
                    .map(|(sequence, event)| (*sequence, event.clone())),
            );
        }
    }

    /// Whether a verification runs.
    pub(crate) fn is_noting(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Arc<LedgerEvent>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A verification that was begun. Only one may run, and nothing may be corrected meanwhile: the caller sees to that.
pub struct Verification {
    store: Store,
    zone: Zone,
}

impl Store {
    /// Begins to note what is booked, and waits until everything logged before is. It is begun by the writer, between two
    /// slices of retention, which then rests until the end.
    pub async fn verification(&self, zone: Zone, wait_ms: u64) -> Result<Verification, StoreError> {
        let (begins, begun) = tokio::sync::oneshot::channel();
        let store = self.clone();
        self.journal.submit(Box::new(move |_| {
            *store.database.booked.lock() = Some(BTreeMap::new());
            // one that nobody waits for any more is dropped here
            let _ = begins.send(Verification { store, zone });
        }))?;
        let begun = begun.await.map_err(|_| StoreError::Closed)?;
        if !self.applied_now(wait_ms).await {
            return Err(StoreError::NotVerified(
                "they are behind the log; try again in a moment".into(),
            ));
        }
        Ok(begun)
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        *self.store.database.booked.lock() = None;
    }
}

impl Verification {
    /// Reads everything. `goes_on` is asked before each slice.
    pub fn run(self, goes_on: impl Fn() -> bool) -> Result<VerifyReport, StoreError> {
        let mut look = Look::new(&self.zone, &self.read()?)?;
        let mut after = None;
        while let Some(last) = look.slice(&self.read()?, after)? {
            if !goes_on() {
                return Err(StoreError::NotVerified("who asked for it has gone".into()));
            }
            after = Some(last);
        }
        look.hours
            .close(&self.read()?, u64::MAX, &mut look.verified)?;
        look.days
            .close(&self.read()?, u64::MAX, &mut look.verified)?;
        // while what is booked is noted: retention rests until then
        self.check_log(&mut look)?;
        let balances = self.read()?;
        let applied = applied(&balances)?;
        let noted = self.store.database.booked.lock().take().unwrap_or_default();
        if noted.len() > BOOKED_MAX {
            let message = format!(
                "more than {BOOKED_MAX} requests were booked meanwhile; run it at a quieter hour"
            );
            return Err(StoreError::NotVerified(message));
        }
        for (sequence, event) in &noted {
            if let LedgerEvent::Settle(settlement) = &**event {
                look.late(*sequence, settlement, applied);
            }
        }
        look.compare_balances(&balances)?;
        look.check_order(&self.store, applied);
        Ok(look.end())
    }

    /// Reads the log's file. One that is no longer written to when damage is found in it was overtaken: nothing of it is needed.
    fn check_log(&self, look: &mut Look<'_>) -> Result<(), StoreError> {
        let journal = self.store.wal();
        let active = journal.active();
        if !self.store.disk.exists(&active.name) && journal.active().name == active.name {
            let says = "it is gone, and the server writes to what nobody will find; stop it now: it books all of that first";
            look.verified.differs(Part::Log, &active.name, says);
            return Ok(());
        }
        let mut log = LogLook {
            active: &active,
            kept: look.kept,
            verified: &mut look.verified,
        };
        if let WalCheck::Damaged(says) = log.run(|| self.read())?
            && journal.active().name == active.name
        {
            let name = &active.name;
            let remedy = "the next start will refuse it; a server that has stopped has booked all of it, so then, in the data folder";
            look.verified.differs(
                Part::Log,
                name,
                format!("{says}; {remedy}: mv {name} {name}.damaged"),
            );
        }
        Ok(())
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.store.database.open()?.begin_read()?)
    }
}

/// A balance in words.
fn window_of(charge: Charge) -> String {
    format!(
        "{} from {}",
        charge.budget,
        Zone::utc().rfc3339(charge.window_start_ms)
    )
}

/// The last record of the log that a transaction sees in the books.
fn applied(read: &ReadTransaction) -> Result<u64, StoreError> {
    let meta = read.open_table(META)?;
    Ok(meta.get("applied")?.map_or(0, |value| value.value()))
}

struct Look<'z> {
    zone: &'z Zone,
    /// what retention has left; it deletes nothing meanwhile
    kept: RetentionCutoffs,
    /// the last record of each slice, and what its transaction saw of the log
    slices: Vec<(HoldId, u64)>,
    /// what the last slice, which ended at the end of the records, saw of the log
    end_applied: u64,
    balances: HashMap<Charge, Money>,
    hours: Periods,
    days: Periods,
    verified: VerifyReport,
}

impl<'z> Look<'z> {
    fn new(zone: &'z Zone, read: &ReadTransaction) -> Result<Look<'z>, StoreError> {
        let kept = RetentionCutoffs::stored(read)?;
        Ok(Look {
            zone,
            kept,
            slices: Vec::new(),
            end_applied: 0,
            balances: carried(read, &kept)?,
            hours: Periods::of(Grain::Hour, kept.requests_ms.max(kept.hours_ms)),
            days: Periods::of(Grain::Day, kept.requests_ms.max(kept.days_ms)),
            verified: VerifyReport {
                compared_from_ms: kept.requests_ms,
                ..VerifyReport::default()
            },
        })
    }

    /// Takes the next records in; the last of them, `None` at the end.
    fn slice(
        &mut self,
        read: &ReadTransaction,
        after: Option<HoldId>,
    ) -> Result<Option<HoldId>, StoreError> {
        let start = after.map_or(Bound::Unbounded, |id| {
            Bound::Excluded((id.request.0, id.attempt))
        });
        let seen = applied(read)?;
        let records = read.open_table(RECORDS)?;
        let (mut rows, mut last) = (Vec::new(), None);
        for row in records
            .range::<(u128, u8)>((start, Bound::Unbounded))?
            .take(SLICE)
        {
            let (key, bytes) = row?;
            let (request, attempt) = key.value();
            let id = HoldId {
                request: RequestId(request),
                attempt,
            };
            last = Some(id);
            if attempt == REFUSED {
                continue;
            }
            match Settlement::decode(bytes.value()) {
                Ok(record) => rows.push(record),
                Err(error) => {
                    self.verified.records += 1;
                    self.verified
                        .differs(Part::Records, named(id), error.to_string());
                }
            }
        }
        let mut corrected = corrections(read, after, last)?;
        let places = Places {
            of_key: read.open_table(RECORDS_OF_KEY)?,
            not_ok: read.open_table(RECORDS_NOT_OK)?,
        };
        for record in &rows {
            let id = record.hold.id;
            let entries = corrected.remove(&id).unwrap_or_default();
            self.check_record(record, &entries);
            self.check_places(&places, record)?;
            self.add(record, entries.iter().map(|entry| entry.amount).sum());
        }
        for id in corrected.keys() {
            self.verified
                .differs(Part::Records, named(*id), "a correction without its record");
        }
        match last {
            Some(id) => {
                self.slices.push((id, seen));
                let past_ms = id.request.at_ms().saturating_sub(SLACK_MS);
                self.hours
                    .close(read, self.zone.hour(past_ms).start_ms, &mut self.verified)?;
                self.days
                    .close(read, self.zone.day(past_ms).start_ms, &mut self.verified)?;
            }
            None => {
                self.end_applied = seen;
                self.check_index(read, records.len()?)?;
            }
        }
        Ok(last)
    }

    fn check_record(&mut self, record: &Settlement, entries: &[Correction]) {
        self.verified.records += 1;
        self.verified.corrections += entries.len() as u64;
        let id = record.hold.id;
        let lines: Money = record.ending.lines.iter().map(CostLine::amount).sum();
        if lines != record.ending.cost {
            let says = format!(
                "its lines come to ${lines}, its cost is ${}",
                record.ending.cost
            );
            self.verified.differs(Part::Records, named(id), says);
        }
        let net = record
            .ending
            .cost
            .plus(entries.iter().map(|entry| entry.amount).sum());
        if net < Money::ZERO {
            self.verified.differs(
                Part::Records,
                named(id),
                format!("its corrections bring it to ${net}"),
            );
        }
    }

    /// Reports find a record by its key, and by its class where it did not end well.
    fn check_places(&mut self, places: &Places, record: &Settlement) -> Result<(), StoreError> {
        let (id, class) = (record.hold.id, record.ending.status.class());
        let (request, attempt) = (id.request.0, id.attempt);
        if places
            .of_key
            .get((record.hold.subject.key.0, request, attempt))?
            .is_none()
        {
            self.verified.differs(
                Part::Records,
                named(id),
                "it is missing in the index by key",
            );
        }
        if record.ending.status != Status::Ok
            && places
                .not_ok
                .get((class_number(class), request, attempt))?
                .is_none()
        {
            self.verified.differs(
                Part::Records,
                named(id),
                format!("it is missing in the index of what is {}", class.as_str()),
            );
        }
        Ok(())
    }

    fn check_index(&mut self, read: &ReadTransaction, records: u64) -> Result<(), StoreError> {
        let indexed = read.open_table(RECORDS_OF_KEY)?.len()?;
        if indexed != records {
            let says = format!("it has {indexed} rows for {records} records");
            self.verified
                .differs(Part::Records, "the index by key", says);
        }
        Ok(())
    }

    fn add(&mut self, record: &Settlement, corrected: Money) {
        let mut sums = sums(record);
        sums.cost = sums.cost.plus(corrected);
        self.charge(record, sums.cost);
        let at_ms = record.hold.at_ms;
        self.hours
            .add(record, &sums, |zone: &Zone| zone.hour(at_ms), self.zone);
        self.days
            .add(record, &sums, |zone: &Zone| zone.day(at_ms), self.zone);
    }

    fn charge(&mut self, record: &Settlement, cost: Money) {
        for charge in record
            .hold
            .charges
            .iter()
            .filter(|charge| self.kept.has_balance(charge))
        {
            let balance = self.balances.entry(*charge).or_default();
            *balance = balance.plus(cost);
        }
    }

    /// A record that was booked meanwhile. Where its slice was read before, what was compared later had it already.
    fn late(&mut self, sequence: u64, record: &Settlement, balances_applied: u64) {
        let id = record.hold.id;
        let slice = self.slices.partition_point(|(last, _)| *last < id);
        let seen_up_to = self
            .slices
            .get(slice)
            .map_or(self.end_applied, |(_, applied)| *applied);
        if sequence <= seen_up_to {
            return;
        }
        if sequence <= balances_applied {
            self.charge(record, record.ending.cost);
        }
        let sums = sums(record);
        self.hours.late(
            sequence,
            rollup_key(record, self.zone.hour(record.hold.at_ms).start_ms),
            &sums,
        );
        self.days.late(
            sequence,
            rollup_key(record, self.zone.day(record.hold.at_ms).start_ms),
            &sums,
        );
    }

    fn compare_balances(&mut self, read: &ReadTransaction) -> Result<(), StoreError> {
        for row in read.open_table(BALANCES)?.iter()? {
            let (key, bytes) = row?;
            let (budget, window_start_ms) = key.value();
            let charge = Charge {
                budget: BudgetId(budget),
                window_start_ms,
            };
            if !self.kept.has_balance(&charge) {
                continue;
            }
            let computed = self.balances.remove(&charge).unwrap_or_default();
            self.verified.balances += 1;
            match Money::decode(bytes.value()) {
                Ok(stored) => self.compare_balance(charge, stored, computed),
                Err(error) => {
                    self.verified
                        .differs(Part::Balances, window_of(charge), error.to_string())
                }
            }
        }
        let mut left: Vec<(Charge, Money)> = self
            .balances
            .drain()
            .filter(|(_, computed)| !computed.is_zero())
            .collect();
        left.sort_by_key(|(charge, _)| *charge);
        for (charge, computed) in left {
            self.compare_balance(charge, Money::ZERO, computed);
        }
        Ok(())
    }

    fn compare_balance(&mut self, charge: Charge, stored: Money, computed: Money) {
        if stored != computed {
            self.verified.differs(
                Part::Balances,
                window_of(charge),
                format!("it says ${stored}, its records come to ${computed}"),
            );
        }
    }

    fn check_order(&mut self, store: &Store, applied: u64) {
        let log = store.wal().figures();
        let verified = &mut self.verified;
        (verified.written, verified.synced, verified.applied) = (log.written, log.synced, applied);
        if applied > log.synced || log.synced > log.written {
            let says = format!(
                "applied {applied}, synced {}, written {} are not in this order",
                log.synced, log.written
            );
            verified.differs(Part::Log, "the ledger's log", says);
        }
    }

    fn end(mut self) -> VerifyReport {
        for periods in [&self.hours, &self.days] {
            for (key, difference) in &periods.differing {
                self.verified
                    .differs(Part::Rollups, periods.named(key), difference.to_string());
            }
        }
        self.verified
    }
}

/// The indexes by which reports find records.
struct Places {
    of_key: ReadOnlyTable<(u64, u128, u8), ()>,
    not_ok: ReadOnlyTable<(u8, u128, u8), ()>,
}

fn named(id: HoldId) -> String {
    format!("{} attempt {}", id.request, id.attempt)
}

/// The compensating entries of the records after one and up to another; all that are left where there is no other.
fn corrections(
    read: &ReadTransaction,
    after: Option<HoldId>,
    last: Option<HoldId>,
) -> Result<BTreeMap<HoldId, Vec<Correction>>, StoreError> {
    let start = after.map_or(Bound::Unbounded, |id| {
        Bound::Excluded((id.request.0, id.attempt, u32::MAX))
    });
    let end = last.map_or(Bound::Unbounded, |id| {
        Bound::Included((id.request.0, id.attempt, u32::MAX))
    });
    let mut found: BTreeMap<HoldId, Vec<Correction>> = BTreeMap::new();
    for row in read
        .open_table(CORRECTIONS)?
        .range::<(u128, u8, u32)>((start, end))?
    {
        let (key, bytes) = row?;
        let (request, attempt, _) = key.value();
        let id = HoldId {
            request: RequestId(request),
            attempt,
        };
        found
            .entry(id)
            .or_default()
            .push(Correction::decode(bytes.value())?);
    }
    Ok(found)
}

/// What deleted records had come to.
fn carried(
    read: &ReadTransaction,
    kept: &RetentionCutoffs,
) -> Result<HashMap<Charge, Money>, StoreError> {
    let rows = read.open_table(CARRIED)?;
    let sums = rows.iter()?.map(|row| {
        let (key, bytes) = row?;
        let (budget, window_start_ms) = key.value();
        Ok((
            Charge {
                budget: BudgetId(budget),
                window_start_ms,
            },
            Money::decode(bytes.value())?,
        ))
    });
    sums.filter(|sum| {
        sum.as_ref()
            .map_or(true, |(charge, _)| kept.has_balance(charge))
    })
    .collect()
}
