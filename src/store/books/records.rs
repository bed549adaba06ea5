//! Usage records by time, by key and by how they ended, with what has been corrected of them. A read looks at no more rows
//! than it is allowed, says how far it came, and its transaction never outlives the call.

use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::domain::event::{Correction, HoldId, Settlement, StatusClass};
use crate::domain::id::{KeyId, RequestId};
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::store::books::feed::FeedCursor;
use crate::store::books::tables::{
    CORRECTIONS, ORPHANS, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED,
};
use crate::store::codec::{Stored, class_number};
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
        self.settlement.ending.cost.plus(
            self.corrections
                .iter()
                .map(|correction| correction.amount)
                .sum(),
        )
    }
}

/// One row of the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLogEntry {
    Booked(Record),
    Refused(Refusal),
}

impl RequestLogEntry {
    pub fn id(&self) -> HoldId {
        match self {
            RequestLogEntry::Booked(record) => record.id(),
            RequestLogEntry::Refused(refusal) => HoldId {
                request: refusal.request,
                attempt: REFUSED,
            },
        }
    }
}

/// An entry as it is looked at, before anybody asks for its corrections.
#[derive(Clone, Debug)]
pub enum EntryHead {
    Booked(Settlement),
    Refused(Refusal),
}

/// Which order of rows is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordIndex {
    Time,
    Key(KeyId),
    /// any class but `ok`: what ended well is in no index
    NotOk(StatusClass),
}

/// A walk through the request log from `from` up to, and without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub index: RecordIndex,
    pub from: HoldId,
    pub to: HoldId,
    pub newest_first: bool,
    /// entries wanted
    pub limit: usize,
    /// rows that may be looked at
    pub rows_max: usize,
}

/// How far a walk came.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    pub entries: Vec<RequestLogEntry>,
    /// the last row that was looked at
    pub last: Option<HoldId>,
    pub rows: usize,
    /// nothing is left behind it
    pub finished: bool,
}

/// What was booked behind a place.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// oldest booking first
    pub entries: Vec<RequestLogEntry>,
    /// where to go on
    pub place: FeedCursor,
    /// nothing is left behind it
    pub finished: bool,
}

type Ids<'t> = Box<dyn Iterator<Item = Result<HoldId, StoreError>> + 't>;

impl Store {
    /// Walks the request log and keeps what is wanted of it.
    pub fn request_log(
        &self,
        scan: &Scan,
        mut wanted: impl FnMut(&EntryHead) -> bool,
    ) -> Result<ScanPage, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let (records, corrections) = (read.open_table(RECORDS)?, read.open_table(CORRECTIONS)?);
        let mut scanned = ScanPage::default();
        for id in ids(&read, scan)? {
            if scanned.entries.len() == scan.limit || scanned.rows == scan.rows_max {
                return Ok(scanned);
            }
            let id = id?;
            scanned.rows += 1;
            self.database
                .rows_read
                .requests
                .fetch_add(1, Ordering::Relaxed);
            scanned.last = Some(id);
            let looked = looked(&records, id)?.ok_or_else(|| missing(id))?;
            if wanted(&looked) {
                scanned.entries.push(entry(&corrections, looked)?);
            }
        }
        scanned.finished = true;
        Ok(scanned)
    }

    /// The place behind everything that is booked.
    pub fn place(&self) -> FeedCursor {
        self.database.newest.place()
    }

    /// Keeps what is wanted of the rows that were booked behind a place. `None`: these are not known any more, because the
    /// process has started since, or too many came.
    pub fn request_log_since(
        &self,
        place: FeedCursor,
        (limit, rows_max): (usize, usize),
        mut wanted: impl FnMut(&EntryHead) -> bool,
    ) -> Result<Option<FeedPage>, StoreError> {
        let Some(ids) = self.database.newest.since(place, rows_max) else {
            return Ok(None);
        };
        let read = self.database.open()?.begin_read()?;
        let (records, corrections) = (read.open_table(RECORDS)?, read.open_table(CORRECTIONS)?);
        let mut followed = FeedPage {
            entries: Vec::new(),
            place,
            finished: ids.len() < rows_max,
        };
        for id in ids {
            if followed.entries.len() == limit {
                followed.finished = false;
                break;
            }
            followed.place = followed.place.behind(1);
            self.database
                .rows_read
                .requests
                .fetch_add(1, Ordering::Relaxed);
            // it may be too old to be kept already
            if let Some(looked) = looked(&records, id)?.filter(&mut wanted) {
                followed.entries.push(entry(&corrections, looked)?);
            }
        }
        Ok(Some(followed))
    }

    /// Every attempt of one request.
    pub fn request(&self, request: RequestId) -> Result<Vec<Record>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        attempts(
            &read.open_table(RECORDS)?,
            &read.open_table(CORRECTIONS)?,
            request,
        )
    }

    /// The request as it was refused, if it was and is a row.
    pub fn refusal(&self, request: RequestId) -> Result<Option<Refusal>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let row = read.open_table(RECORDS)?.get((request.0, REFUSED))?;
        row.map(|row| Refusal::decode(row.value())).transpose()
    }

    /// Orphans that nobody has corrected, oldest first, from the given one on.
    pub fn orphans(&self, from: HoldId, limit: usize) -> Result<Vec<Record>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        orphans(
            &read.open_table(ORPHANS)?,
            &read.open_table(RECORDS)?,
            &read.open_table(CORRECTIONS)?,
            from,
            limit,
        )
    }

    /// How many orphans nobody has corrected: read off the table, not counted.
    pub fn orphans_uncorrected(&self) -> Result<u64, StoreError> {
        Ok(self
            .database
            .open()?
            .begin_read()?
            .open_table(ORPHANS)?
            .len()?)
    }
}

fn ids<'t>(read: &'t ReadTransaction, scan: &Scan) -> Result<Ids<'t>, StoreError> {
    let (from, to) = (
        (scan.from.request.0, scan.from.attempt),
        (scan.to.request.0, scan.to.attempt),
    );
    let hold_id = |request, attempt| HoldId {
        request: RequestId(request),
        attempt,
    };
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
            let rows = read
                .open_table(RECORDS_OF_KEY)?
                .range(range)?
                .map(move |row| {
                    let (_, request, attempt) = row?.0.value();
                    Ok(hold_id(request, attempt))
                });
            turned(rows, scan.newest_first)
        }
        RecordIndex::NotOk(class) => {
            let class = class_number(class);
            let range = (class, from.0, from.1)..(class, to.0, to.1);
            let rows = read
                .open_table(RECORDS_NOT_OK)?
                .range(range)?
                .map(move |row| {
                    let (_, request, attempt) = row?.0.value();
                    Ok(hold_id(request, attempt))
                });
            turned(rows, scan.newest_first)
        }
    })
}

fn turned<'t>(
    rows: impl DoubleEndedIterator<Item = Result<HoldId, StoreError>> + 't,
    newest_first: bool,
) -> Ids<'t> {
    if newest_first {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}

fn looked(
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    id: HoldId,
) -> Result<Option<EntryHead>, StoreError> {
    let row = records.get((id.request.0, id.attempt))?;
    row.map(|row| match id.attempt {
        REFUSED => Refusal::decode(row.value()).map(EntryHead::Refused),
        _ => Settlement::decode(row.value()).map(EntryHead::Booked),
    })
    .transpose()
    .map_err(|error| StoreError::Record {
        kind: Settlement::KIND,
        reason: format!(
            "{} attempt {}: {error}; `gatekeeper ledger verify` tells all of them",
            id.request, id.attempt
        ),
    })
}

fn missing(id: HoldId) -> StoreError {
    let reason = format!(
        "{} attempt {} stands in an index and is missing",
        id.request, id.attempt
    );
    StoreError::Record {
        kind: Settlement::KIND,
        reason,
    }
}

fn entry(
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    looked: EntryHead,
) -> Result<RequestLogEntry, StoreError> {
    Ok(match looked {
        EntryHead::Booked(settlement) => {
            RequestLogEntry::Booked(with_corrections(corrections, settlement)?)
        }
        EntryHead::Refused(refusal) => RequestLogEntry::Refused(refusal),
    })
}

fn with_corrections(
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    settlement: Settlement,
) -> Result<Record, StoreError> {
    let id = settlement.hold.id;
    let range = (id.request.0, id.attempt, 0)..=(id.request.0, id.attempt, u32::MAX);
    let corrections = corrections
        .range(range)?
        .map(|row| Correction::decode(row?.1.value()));
    Ok(Record {
        corrections: corrections.collect::<Result<_, StoreError>>()?,
        settlement,
    })
}

pub(crate) fn attempts(
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    request: RequestId,
) -> Result<Vec<Record>, StoreError> {
    records
        .range((request.0, REFUSED + 1)..=(request.0, u8::MAX))?
        .map(|row| with_corrections(corrections, Settlement::decode(row?.1.value())?))
        .collect()
}

pub(crate) fn orphans(
    orphans: &impl ReadableTable<(u128, u8), ()>,
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    from: HoldId,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let rows = orphans.range((from.request.0, from.attempt)..)?.take(limit);
    rows.map(|row| {
        let (request, attempt) = row?.0.value();
        let id = HoldId {
            request: RequestId(request),
            attempt,
        };
        let row = records
            .get((request, attempt))?
            .ok_or_else(|| missing(id))?;
        with_corrections(corrections, Settlement::decode(row.value())?)
    })
    .collect()
}
