//! Check of the active segment as recovery would read it: every record is intact and in order, and every posted settlement is in the
//! books. Reads up to the end at the start of the check; earlier segments are posted and removed. It changes nothing.

use redb::{ReadOnlyTable, ReadTransaction};

use crate::domain::event::{LedgerEvent, Settlement};
use crate::store::books::database::applied;
use crate::store::books::tables::RECORDS;
use crate::store::books::verify::report::{Part, VerifyReport, record_name};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::wal::file::ActiveSegment;
use crate::store::wal::segment::{
    HeaderState, RawRecord, SEGMENT_HEADER, read_header, read_record,
};

/// Bytes read at once; far more than a record.
const CHUNK: u64 = 1 << 20;

pub(in crate::store) enum CheckOutcome {
    Intact,
    /// with the kind of damage
    Damaged(String),
}

/// Input and report of a check.
pub(in crate::store) struct WalCheck<'a> {
    pub active: &'a ActiveSegment,
    pub cutoffs: RetentionCutoffs,
    pub report: &'a mut VerifyReport,
}

impl WalCheck<'_> {
    /// Reads the file; `books` begins a read transaction for each chunk.
    pub(in crate::store) fn run(
        &mut self,
        books: impl Fn() -> Result<ReadTransaction, StoreError>,
    ) -> Result<CheckOutcome, StoreError> {
        let mut head = [0; SEGMENT_HEADER as usize];
        if let Err(error) = self.active.file.read_at(0, &mut head) {
            return Ok(CheckOutcome::Damaged(format!("it is unreadable: {error}")));
        }
        match read_header(&head, &self.active.identity) {
            HeaderState::Ours { first_sequence }
                if first_sequence == self.active.first_sequence => {}
            _ => return Ok(CheckOutcome::Damaged("its header is damaged".into())),
        }
        let (mut at, mut sequence) = (SEGMENT_HEADER, self.active.first_sequence);
        while at < self.active.end {
            let mut bytes = vec![0; CHUNK.min(self.active.end - at) as usize];
            if let Err(error) = self.active.file.read_at(at, &mut bytes) {
                return Ok(CheckOutcome::Damaged(format!(
                    "it is unreadable at byte {at}: {error}"
                )));
            }
            let read = books()?;
            let taken = self.chunk(&bytes, &mut sequence, &read)?;
            if taken == 0 {
                return Ok(CheckOutcome::Damaged(format!(
                    "record {sequence} at byte {at} is damaged"
                )));
            }
            at += taken as u64;
        }
        Ok(CheckOutcome::Intact)
    }

    /// Checks the intact records at the front of a chunk; returns their length in bytes.
    fn chunk(
        &mut self,
        bytes: &[u8],
        sequence: &mut u64,
        read: &ReadTransaction,
    ) -> Result<usize, StoreError> {
        let (applied, records) = (applied(read)?, read.open_table(RECORDS)?);
        let mut taken = 0;
        while let Some(record) =
            read_record(bytes, taken).filter(|record| record.sequence == *sequence)
        {
            if record.sequence <= applied {
                self.compare(&record, &records)?;
            }
            taken += record.length;
            *sequence += 1;
        }
        Ok(taken)
    }

    /// Compares a posted settlement with its record in the books. Their versions may differ.
    fn compare(
        &mut self,
        record: &RawRecord<'_>,
        records: &ReadOnlyTable<(u128, u8), &[u8]>,
    ) -> Result<(), StoreError> {
        let LedgerEvent::Settle(settlement) = LedgerEvent::decode(record.payload)? else {
            return Ok(());
        };
        let id = settlement.hold.id;
        let stored = records
            .get((id.request.0, id.attempt))?
            .map(|row| row.value().to_vec());
        let says = match stored {
            Some(stored) if is_record_of(&stored, &settlement)? => return Ok(()),
            Some(stored) => {
                let posted = Settlement::decode(&stored)
                    .map_or("an unreadable record".into(), |posted| {
                        format!("${}", posted.ending.cost)
                    });
                format!(
                    "record {} of the log says ${}, the books say {posted}",
                    record.sequence, settlement.ending.cost
                )
            }
            // deleted by retention
            None if settlement.hold.at_ms < self.cutoffs.requests_ms => return Ok(()),
            None => format!(
                "record {} of the log settles it at ${}, the books do not have it",
                record.sequence, settlement.ending.cost
            ),
        };
        self.report.add(Part::Log, record_name(id), says);
        Ok(())
    }
}

/// Equal bytes, or equal content of bytes of another version.
fn is_record_of(stored: &[u8], settlement: &Settlement) -> Result<bool, StoreError> {
    let same_version = settlement.encode()?;
    Ok(stored == same_version
        || (stored.first() != same_version.first()
            && Settlement::decode(stored).is_ok_and(|posted| posted == *settlement)))
}
