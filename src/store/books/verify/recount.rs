//! Recount: computes balances, hours, days, and days of tags and users again from records and corrections, in slices, each in a read transaction of its own, so
//! that a long verification pins no pages of the books. Postings made meanwhile are added afterwards. In memory are a sum per budget
//! window, the roll-ups of the last two hours and days, and the differences. It changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use crate::domain::event::{Charge, Correction, CostLine, HoldId, Settlement, Status};
use crate::domain::id::{BudgetId, RequestId};
use crate::domain::money::Money;
use crate::domain::zone::Zone;
use crate::store::books::database::applied;
use crate::store::books::post::{rollup_key, sums_of};
use crate::store::books::retention::stored_cutoffs;
use crate::store::books::tables::{
    BALANCES, CARRIED, CORRECTIONS, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED,
};
use crate::store::books::verify::periods::Periods;
use crate::store::books::verify::report::{Part, VerifyReport, record_name};
use crate::store::books::verify::stated::StatedDays;
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_number;
use crate::store::error::StoreError;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::rollup::RollupPeriod;
use crate::store::wal::stats::WalStats;

/// Records of one read transaction.
const SLICE: usize = 2_000;
/// A roll-up is compared once the records are this far past its end; records that follow later are added afterwards.
const SLACK_MS: u64 = 3_600_000;

/// Sums computed so far.
pub(super) struct Recount<'z> {
    zone: &'z Zone,
    /// cutoffs of retention, which pauses meanwhile
    pub cutoffs: RetentionCutoffs,
    /// last record of each slice, and the log position that its transaction saw
    slices: Vec<(HoldId, u64)>,
    /// log position that the last slice saw
    end_applied: u64,
    balances: HashMap<Charge, Money>,
    hours: Periods,
    days: Periods,
    stated: StatedDays,
    pub report: VerifyReport,
}

impl<'z> Recount<'z> {
    pub(super) fn new(zone: &'z Zone, read: &ReadTransaction) -> Result<Recount<'z>, StoreError> {
        let cutoffs = stored_cutoffs(read)?;
        Ok(Recount {
            zone,
            cutoffs,
            slices: Vec::new(),
            end_applied: 0,
            balances: carried(read, &cutoffs)?,
            hours: Periods::of(
                RollupPeriod::Hour,
                cutoffs.requests_ms.max(cutoffs.hours_ms),
            ),
            days: Periods::of(RollupPeriod::Day, cutoffs.requests_ms.max(cutoffs.days_ms)),
            stated: StatedDays::from(cutoffs.requests_ms.max(cutoffs.days_ms)),
            report: VerifyReport {
                compared_from_ms: cutoffs.requests_ms,
                ..VerifyReport::default()
            },
        })
    }

    /// Adds the next records; returns the last of them, `None` at the end.
    pub(super) fn slice(
        &mut self,
        read: &ReadTransaction,
        after: Option<HoldId>,
    ) -> Result<Option<HoldId>, StoreError> {
        let seen = applied(read)?;
        let (rows, last) = self.read_records(read, after)?;
        self.add_records(read, &rows, after, last)?;
        match last {
            Some(id) => {
                self.slices.push((id, seen));
                let past_ms = id.request.at_ms().saturating_sub(SLACK_MS);
                self.hours
                    .close(read, self.zone.hour(past_ms).start_ms, &mut self.report)?;
                let day_ms = self.zone.day(past_ms).start_ms;
                self.days.close(read, day_ms, &mut self.report)?;
                self.stated.close(read, day_ms, &mut self.report)?;
            }
            None => {
                self.end_applied = seen;
                self.check_index_length(read)?;
            }
        }
        Ok(last)
    }

    /// Usage records of one slice, and the last row, which may be a refusal.
    fn read_records(
        &mut self,
        read: &ReadTransaction,
        after: Option<HoldId>,
    ) -> Result<(Vec<Settlement>, Option<HoldId>), StoreError> {
        let start = after.map_or(Bound::Unbounded, |id| {
            Bound::Excluded((id.request.0, id.attempt))
        });
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
                    self.report.records += 1;
                    self.report
                        .add(Part::Records, record_name(id), error.to_string());
                }
            }
        }
        Ok((rows, last))
    }

    fn add_records(
        &mut self,
        read: &ReadTransaction,
        rows: &[Settlement],
        after: Option<HoldId>,
        last: Option<HoldId>,
    ) -> Result<(), StoreError> {
        let mut corrected = corrections(read, after, last)?;
        let indexes = RecordIndexes {
            of_key: read.open_table(RECORDS_OF_KEY)?,
            not_ok: read.open_table(RECORDS_NOT_OK)?,
        };
        for record in rows {
            let id = record.hold.id;
            let entries = corrected.remove(&id).unwrap_or_default();
            self.check_record(record, &entries);
            self.check_indexes(&indexes, record)?;
            self.add(read, record, entries.iter().map(|entry| entry.amount).sum())?;
        }
        for id in corrected.keys() {
            self.report.add(
                Part::Records,
                record_name(*id),
                "a correction without its record",
            );
        }
        Ok(())
    }

    /// Compares the roll-ups that are still open.
    pub(super) fn close_periods(&mut self, read: &ReadTransaction) -> Result<(), StoreError> {
        self.hours.close(read, u64::MAX, &mut self.report)?;
        self.days.close(read, u64::MAX, &mut self.report)?;
        self.stated.close(read, u64::MAX, &mut self.report)
    }

    fn check_record(&mut self, record: &Settlement, entries: &[Correction]) {
        self.report.records += 1;
        self.report.corrections += entries.len() as u64;
        let id = record.hold.id;
        let lines: Money = record.ending.lines.iter().map(CostLine::amount).sum();
        if lines != record.ending.cost {
            let says = format!(
                "its cost lines come to ${lines}, its cost is ${}",
                record.ending.cost
            );
            self.report.add(Part::Records, record_name(id), says);
        }
        let net = record
            .ending
            .cost
            .plus(entries.iter().map(|entry| entry.amount).sum());
        if net < Money::ZERO {
            self.report.add(
                Part::Records,
                record_name(id),
                format!("its cost is ${net} after corrections"),
            );
        }
    }

    /// Checks the index rows by key and, for a status other than `ok`, by class.
    fn check_indexes(
        &mut self,
        indexes: &RecordIndexes,
        record: &Settlement,
    ) -> Result<(), StoreError> {
        let (id, class) = (record.hold.id, record.ending.status.class());
        let (request, attempt) = (id.request.0, id.attempt);
        if indexes
            .of_key
            .get((record.hold.subject.key.0, request, attempt))?
            .is_none()
        {
            self.report.add(
                Part::Records,
                record_name(id),
                "it is missing in the index by key",
            );
        }
        if record.ending.status != Status::Ok
            && indexes
                .not_ok
                .get((class_number(class), request, attempt))?
                .is_none()
        {
            self.report.add(
                Part::Records,
                record_name(id),
                format!("it is missing in the index of class {}", class.as_str()),
            );
        }
        Ok(())
    }

    fn check_index_length(&mut self, read: &ReadTransaction) -> Result<(), StoreError> {
        let records = read.open_table(RECORDS)?.len()?;
        let indexed = read.open_table(RECORDS_OF_KEY)?.len()?;
        if indexed != records {
            let says = format!("it has {indexed} rows for {records} records");
            self.report.add(Part::Records, "the index by key", says);
        }
        Ok(())
    }

    fn add(
        &mut self,
        read: &ReadTransaction,
        record: &Settlement,
        corrected: Money,
    ) -> Result<(), StoreError> {
        let mut sums = sums_of(record);
        sums.cost = sums.cost.plus(corrected);
        self.charge(record, sums.cost);
        let at_ms = record.hold.at_ms;
        self.hours
            .add(record, &sums, |zone: &Zone| zone.hour(at_ms), self.zone);
        self.days
            .add(record, &sums, |zone: &Zone| zone.day(at_ms), self.zone);
        self.stated.add(read, record, &sums, self.zone)
    }

    fn charge(&mut self, record: &Settlement, cost: Money) {
        for charge in record
            .hold
            .charges
            .iter()
            .filter(|charge| self.cutoffs.has_balance(charge))
        {
            let balance = self.balances.entry(*charge).or_default();
            *balance = balance.plus(cost);
        }
    }

    /// Adds a record posted during the run, except to sums that were read after its posting.
    pub(super) fn add_late(
        &mut self,
        read: &ReadTransaction,
        sequence: u64,
        record: &Settlement,
        balances_applied: u64,
    ) -> Result<(), StoreError> {
        let id = record.hold.id;
        let slice = self.slices.partition_point(|(last, _)| *last < id);
        let seen_up_to = self
            .slices
            .get(slice)
            .map_or(self.end_applied, |(_, applied)| *applied);
        if sequence <= seen_up_to {
            return Ok(());
        }
        if sequence <= balances_applied {
            self.charge(record, record.ending.cost);
        }
        let sums = sums_of(record);
        self.hours.add_late(
            sequence,
            rollup_key(record, self.zone.hour(record.hold.at_ms).start_ms),
            &sums,
        );
        let day_ms = self.zone.day(record.hold.at_ms).start_ms;
        self.days
            .add_late(sequence, rollup_key(record, day_ms), &sums);
        self.stated
            .add_late(read, sequence, record, (&sums, day_ms))
    }

    /// Compares the computed balances with the stored ones.
    pub(super) fn compare_balances(&mut self, read: &ReadTransaction) -> Result<(), StoreError> {
        for row in read.open_table(BALANCES)?.iter()? {
            let (key, bytes) = row?;
            let (budget, window_start_ms) = key.value();
            let charge = Charge {
                budget: BudgetId(budget),
                window_start_ms,
            };
            if !self.cutoffs.has_balance(&charge) {
                continue;
            }
            let computed = self.balances.remove(&charge).unwrap_or_default();
            self.report.balances += 1;
            match Money::decode(bytes.value()) {
                Ok(stored) => self.compare_balance(charge, stored, computed),
                Err(error) => {
                    self.report
                        .add(Part::Balances, balance_name(charge), error.to_string())
                }
            }
        }
        let mut unmatched: Vec<(Charge, Money)> = self
            .balances
            .drain()
            .filter(|(_, computed)| !computed.is_zero())
            .collect();
        unmatched.sort_by_key(|(charge, _)| *charge);
        for (charge, computed) in unmatched {
            self.compare_balance(charge, Money::ZERO, computed);
        }
        Ok(())
    }

    fn compare_balance(&mut self, charge: Charge, stored: Money, computed: Money) {
        if stored != computed {
            self.report.add(
                Part::Balances,
                balance_name(charge),
                format!("it says ${stored}, its records come to ${computed}"),
            );
        }
    }

    /// Checks that applied <= synced <= written.
    pub(super) fn check_positions(&mut self, log: &WalStats, applied: u64) {
        let report = &mut self.report;
        (report.written, report.synced, report.applied) = (log.written, log.synced, applied);
        if applied > log.synced || log.synced > log.written {
            let says = format!(
                "applied {applied}, synced {}, written {} are not in this order",
                log.synced, log.written
            );
            report.add(Part::Log, "the ledger log", says);
        }
    }

    pub(super) fn finish(mut self) -> VerifyReport {
        for periods in [&self.hours, &self.days] {
            for (key, difference) in &periods.differing {
                self.report
                    .add(Part::Rollups, periods.row_name(key), difference.to_string());
            }
        }
        self.stated.finish(&mut self.report);
        self.report
    }
}

/// Indexes by which reports find records.
struct RecordIndexes {
    of_key: ReadOnlyTable<(u64, u128, u8), ()>,
    not_ok: ReadOnlyTable<(u8, u128, u8), ()>,
}

/// Compensating entries of the records after one and up to another; to the end without the latter.
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

/// Amounts carried over from deleted records.
fn carried(
    read: &ReadTransaction,
    cutoffs: &RetentionCutoffs,
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
            .map_or(true, |(charge, _)| cutoffs.has_balance(charge))
    })
    .collect()
}

/// Name of a balance in the report.
fn balance_name(charge: Charge) -> String {
    format!(
        "{} from {}",
        charge.budget,
        Zone::utc().rfc3339(charge.window_start_ms)
    )
}
