//! Usage records by time, by key and by how they ended, with what has been corrected of them. A read looks at no more rows
//! than it is allowed, says how far it came, and its transaction never outlives the call.

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::domain::event::{Correction, HoldId, Settlement, Status};
use crate::domain::id::{KeyId, RequestId};
use crate::domain::money::Money;
use crate::store::codec::{Stored, status_number};
use crate::store::table::{CORRECTIONS, ORPHANS, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY};
use crate::store::{Store, StoreError};

/// A usage record and its compensating entries, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub settlement: Settlement,
    pub corrections: Vec<Correction>,
}

impl Record {
    pub fn id(&self) -> HoldId {
        self.settlement.hold.id
    }

    /// What was booked, as corrected since.
    pub fn net_cost(&self) -> Money {
        self.settlement.ending.cost.plus(self.corrections.iter().map(|correction| correction.amount).sum())
    }
}

/// Which order of rows is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordIndex {
    Time,
    Key(KeyId),
    /// any status but `ok`: what ended well is in no index
    NotOk(Status),
}

/// A walk through records from `from` up to, and without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub index: RecordIndex,
    pub from: HoldId,
    pub to: HoldId,
    pub newest_first: bool,
    /// records wanted
    pub limit: usize,
    /// rows that may be looked at
    pub rows_max: usize,
}

/// How far a walk came.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    pub records: Vec<Record>,
    /// the last row that was looked at
    pub last: Option<HoldId>,
    pub rows: usize,
    /// nothing is left behind it
    pub finished: bool,
}

type Ids<'t> = Box<dyn Iterator<Item = Result<HoldId, StoreError>> + 't>;

impl Store {
    /// Walks the records and keeps those that are wanted.
    pub fn records(&self, scan: &Scan, mut wanted: impl FnMut(&Settlement) -> bool) -> Result<Scanned, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let (records, corrections) = (read.open_table(RECORDS)?, read.open_table(CORRECTIONS)?);
        let mut scanned = Scanned::default();
        for id in ids(&read, scan)? {
            if scanned.records.len() == scan.limit || scanned.rows == scan.rows_max {
                return Ok(scanned);
            }
            let id = id?;
            scanned.rows += 1;
            scanned.last = Some(id);
            let settlement = settlement(&records, id)?;
            if wanted(&settlement) {
                scanned.records.push(with_corrections(&corrections, settlement)?);
            }
        }
        scanned.finished = true;
        Ok(scanned)
    }

    /// Every attempt of one request.
    pub fn request(&self, request: RequestId) -> Result<Vec<Record>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        attempts(&read.open_table(RECORDS)?, &read.open_table(CORRECTIONS)?, request)
    }

    /// Orphans that nobody has corrected, oldest first, from the given one on.
    pub fn orphans(&self, from: HoldId, limit: usize) -> Result<Vec<Record>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        orphans(&read.open_table(ORPHANS)?, &read.open_table(RECORDS)?, &read.open_table(CORRECTIONS)?, from, limit)
    }

    /// How many orphans nobody has corrected: read off the table, not counted.
    pub fn orphans_uncorrected(&self) -> Result<u64, StoreError> {
        Ok(self.database.open()?.begin_read()?.open_table(ORPHANS)?.len()?)
    }
}

fn ids<'t>(read: &'t ReadTransaction, scan: &Scan) -> Result<Ids<'t>, StoreError> {
    let (from, to) = ((scan.from.request.0, scan.from.attempt), (scan.to.request.0, scan.to.attempt));
    let hold_id = |request, attempt| HoldId { request: RequestId(request), attempt };
    if from >= to {
        return Ok(Box::new(std::iter::empty()));
    }
    Ok(match scan.index {
        RecordIndex::Time => {
            let rows = read.open_table(RECORDS)?.range(from..to)?.map(move |row| {
                let (request, attempt) = row?.0.value();
                Ok(hold_id(request, attempt))
            });
            turned(rows, scan.newest_first)
        }
        RecordIndex::Key(KeyId(key)) => {
            let range = (key, from.0, from.1)..(key, to.0, to.1);
            let rows = read.open_table(RECORDS_OF_KEY)?.range(range)?.map(move |row| {
                let (_, request, attempt) = row?.0.value();
                Ok(hold_id(request, attempt))
            });
            turned(rows, scan.newest_first)
        }
        RecordIndex::NotOk(status) => {
            let status = status_number(status);
            let range = (status, from.0, from.1)..(status, to.0, to.1);
            let rows = read.open_table(RECORDS_NOT_OK)?.range(range)?.map(move |row| {
                let (_, request, attempt) = row?.0.value();
                Ok(hold_id(request, attempt))
            });
            turned(rows, scan.newest_first)
        }
    })
}

fn turned<'t>(rows: impl DoubleEndedIterator<Item = Result<HoldId, StoreError>> + 't, newest_first: bool) -> Ids<'t> {
    if newest_first { Box::new(rows.rev()) } else { Box::new(rows) }
}

fn settlement(records: &impl ReadableTable<(u128, u8), &'static [u8]>, id: HoldId) -> Result<Settlement, StoreError> {
    let missing = || StoreError::Record {
        kind: Settlement::KIND,
        reason: format!("{} attempt {} stands in an index and is missing", id.request, id.attempt),
    };
    Settlement::decode(records.get((id.request.0, id.attempt))?.ok_or_else(missing)?.value())
}

fn with_corrections(
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    settlement: Settlement,
) -> Result<Record, StoreError> {
    let id = settlement.hold.id;
    let range = (id.request.0, id.attempt, 0)..=(id.request.0, id.attempt, u32::MAX);
    let corrections = corrections.range(range)?.map(|row| Correction::decode(row?.1.value()));
    Ok(Record { corrections: corrections.collect::<Result<_, StoreError>>()?, settlement })
}

pub(super) fn attempts(
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    request: RequestId,
) -> Result<Vec<Record>, StoreError> {
    records
        .range((request.0, 0)..=(request.0, u8::MAX))?
        .map(|row| with_corrections(corrections, Settlement::decode(row?.1.value())?))
        .collect()
}

pub(super) fn orphans(
    orphans: &impl ReadableTable<(u128, u8), ()>,
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    from: HoldId,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let rows = orphans.range((from.request.0, from.attempt)..)?.take(limit);
    rows.map(|row| {
        let (request, attempt) = row?.0.value();
        let id = HoldId { request: RequestId(request), attempt };
        with_corrections(corrections, settlement(records, id)?)
    })
    .collect()
}
