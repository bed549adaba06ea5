//! Reads of the request log: usage records and refusals by time, key or status class, with corrections; and the feed behind a cursor.
//! A read visits at most the given number of rows and returns how far it came; its transaction never outlives the call.

use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::domain::event::{Correction, HoldId, Settlement, StatusClass};
use crate::domain::id::{KeyId, RequestId};
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::store::books::feed::FeedCursor;
use crate::store::books::store::Store;
use crate::store::books::tables::{
    CORRECTIONS, ORPHANS, RECORDS, RECORDS_NOT_OK, RECORDS_OF_KEY, REFUSED,
};
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_number;
use crate::store::error::StoreError;

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

    /// Cost including corrections.
    pub fn net_cost(&self) -> Money {
        self.settlement.ending.cost.plus(
            self.corrections
                .iter()
                .map(|correction| correction.amount)
                .sum(),
        )
    }
}

/// Row of the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLogEntry {
    Record(Record),
    Refusal(Refusal),
}

impl RequestLogEntry {
    pub fn id(&self) -> HoldId {
        match self {
            RequestLogEntry::Record(record) => record.id(),
            RequestLogEntry::Refusal(refusal) => HoldId {
                request: refusal.request,
                attempt: REFUSED,
            },
        }
    }
}

/// Row of the request log without corrections, for filtering.
#[derive(Clone, Debug)]
pub enum EntryHead {
    Record(Settlement),
    Refusal(Refusal),
}

/// Index that a scan follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordIndex {
    Time,
    Key(KeyId),
    /// any class but `ok`, which has no index
    NotOk(StatusClass),
}

/// Scan of the request log from `from` to `to`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub index: RecordIndex,
    pub from: HoldId,
    pub to: HoldId,
    pub newest_first: bool,
    /// entries returned
    pub limit: usize,
    /// rows visited
    pub rows_max: usize,
}

/// Result of a scan.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    pub entries: Vec<RequestLogEntry>,
    /// last row visited
    pub last: Option<HoldId>,
    pub rows: usize,
    /// the scan reached its end
    pub finished: bool,
}

/// Rows posted after a cursor.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// oldest posting first
    pub entries: Vec<RequestLogEntry>,
    /// cursor of the next call
    pub cursor: FeedCursor,
    /// the feed has no further rows
    pub finished: bool,
}

type Ids<'t> = Box<dyn Iterator<Item = Result<HoldId, StoreError>> + 't>;

impl Store {
    /// Scans the request log and returns the rows that pass the filter.
    pub fn request_log(
        &self,
        scan: &Scan,
        mut filter: impl FnMut(&EntryHead) -> bool,
    ) -> Result<ScanPage, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let (records, corrections) = (read.open_table(RECORDS)?, read.open_table(CORRECTIONS)?);
        let mut page = ScanPage::default();
        for id in ids(&read, scan)? {
            if page.entries.len() == scan.limit || page.rows == scan.rows_max {
                return Ok(page);
            }
            let id = id?;
            page.rows += 1;
            self.database
                .rows_read
                .requests
                .fetch_add(1, Ordering::Relaxed);
            page.last = Some(id);
            let head = read_head(&records, id)?.ok_or_else(|| missing(id))?;
            if filter(&head) {
                page.entries.push(entry(&corrections, head)?);
            }
        }
        page.finished = true;
        Ok(page)
    }

    /// Cursor after everything posted so far.
    pub fn feed_cursor(&self) -> FeedCursor {
        self.database.feed.end()
    }

    /// Returns the rows after a cursor that pass the filter. `None`: they are no longer in the feed, because the process was restarted or
    /// too many followed.
    pub fn request_log_since(
        &self,
        cursor: FeedCursor,
        (limit, rows_max): (usize, usize),
        mut filter: impl FnMut(&EntryHead) -> bool,
    ) -> Result<Option<FeedPage>, StoreError> {
        let Some(ids) = self.database.feed.since(cursor, rows_max) else {
            return Ok(None);
        };
        let read = self.database.open()?.begin_read()?;
        let (records, corrections) = (read.open_table(RECORDS)?, read.open_table(CORRECTIONS)?);
        let mut page = FeedPage {
            entries: Vec::new(),
            cursor,
            finished: ids.len() < rows_max,
        };
        for id in ids {
            if page.entries.len() == limit {
                page.finished = false;
                break;
            }
            page.cursor = page.cursor.plus(1);
            self.database
                .rows_read
                .requests
                .fetch_add(1, Ordering::Relaxed);
            // retention may have deleted it already
            if let Some(head) = read_head(&records, id)?.filter(&mut filter) {
                page.entries.push(entry(&corrections, head)?);
            }
        }
        Ok(Some(page))
    }

    /// Usage records of every attempt of a request.
    pub fn request(&self, request: RequestId) -> Result<Vec<Record>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        attempts(
            &read.open_table(RECORDS)?,
            &read.open_table(CORRECTIONS)?,
            request,
        )
    }

    /// Refusal of a request, if it was refused and has a row.
    pub fn refusal(&self, request: RequestId) -> Result<Option<Refusal>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let row = read.open_table(RECORDS)?.get((request.0, REFUSED))?;
        row.map(|row| Refusal::decode(row.value())).transpose()
    }

    /// Uncorrected orphans, oldest first, from the given one on.
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

    /// Number of uncorrected orphans, without a scan.
    pub fn orphans_uncorrected(&self) -> Result<u64, StoreError> {
        Ok(self
            .database
            .open()?
            .begin_read()?
            .open_table(ORPHANS)?
            .len()?)
    }
}

/// Ids in the order of the scan.
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
            in_order(rows, scan.newest_first)
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
            in_order(rows, scan.newest_first)
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
            in_order(rows, scan.newest_first)
        }
    })
}

fn in_order<'t>(
    rows: impl DoubleEndedIterator<Item = Result<HoldId, StoreError>> + 't,
    newest_first: bool,
) -> Ids<'t> {
    if newest_first {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}

fn read_head(
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    id: HoldId,
) -> Result<Option<EntryHead>, StoreError> {
    let row = records.get((id.request.0, id.attempt))?;
    row.map(|row| match id.attempt {
        REFUSED => Refusal::decode(row.value()).map(EntryHead::Refusal),
        _ => Settlement::decode(row.value()).map(EntryHead::Record),
    })
    .transpose()
    .map_err(|error| StoreError::Record {
        kind: Settlement::KIND,
        reason: format!(
            "{} attempt {}: {error}; `gatekeeper ledger verify` lists all of them",
            id.request, id.attempt
        ),
    })
}

fn missing(id: HoldId) -> StoreError {
    let reason = format!(
        "{} attempt {} is in an index and has no record",
        id.request, id.attempt
    );
    StoreError::Record {
        kind: Settlement::KIND,
        reason,
    }
}

fn entry(
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    head: EntryHead,
) -> Result<RequestLogEntry, StoreError> {
    Ok(match head {
        EntryHead::Record(settlement) => {
            RequestLogEntry::Record(with_corrections(corrections, settlement)?)
        }
        EntryHead::Refusal(refusal) => RequestLogEntry::Refusal(refusal),
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

/// Records of every attempt of a request.
pub(in crate::store) fn attempts(
    records: &impl ReadableTable<(u128, u8), &'static [u8]>,
    corrections: &impl ReadableTable<(u128, u8, u32), &'static [u8]>,
    request: RequestId,
) -> Result<Vec<Record>, StoreError> {
    records
        .range((request.0, REFUSED + 1)..=(request.0, u8::MAX))?
        .map(|row| with_corrections(corrections, Settlement::decode(row?.1.value())?))
        .collect()
}

/// Uncorrected orphans from the given one on.
pub(in crate::store) fn orphans(
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
