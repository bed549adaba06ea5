//! The log's file as a start would read it: every record sound and in its place, and the books have what it settles. Reads the file that
//! is being written, up to where it was written when the look began; what came before it is booked and gone. It changes nothing.

use redb::{ReadOnlyTable, ReadTransaction};

use crate::domain::event::{LedgerEvent, Settlement};
use crate::store::StoreError;
use crate::store::books::retention::RetentionCutoffs;
use crate::store::books::tables::RECORDS;
use crate::store::books::verify::{Part, VerifyReport, applied, named};
use crate::store::codec::Stored;
use crate::store::wal::file::ActiveSegment;
use crate::store::wal::segment::{
    HeaderState, RawRecord, SEGMENT_HEADER, read_header, read_record,
};

/// Read at once; far more than a record.
const CHUNK: u64 = 1 << 20;

/// How a look at the log ended.
pub(crate) enum WalCheck {
    Whole,
    /// what is wrong with the file
    Damaged(String),
}

pub(crate) struct LogLook<'a> {
    pub active: &'a ActiveSegment,
    pub kept: RetentionCutoffs,
    pub verified: &'a mut VerifyReport,
}

impl LogLook<'_> {
    /// Reads the file; `books` begins a read transaction, one for each of its chunks.
    pub(crate) fn run(
        &mut self,
        books: impl Fn() -> Result<ReadTransaction, StoreError>,
    ) -> Result<WalCheck, StoreError> {
        let mut head = [0; SEGMENT_HEADER as usize];
        if let Err(error) = self.active.file.read_at(0, &mut head) {
            return Ok(WalCheck::Damaged(format!("it cannot be read: {error}")));
        }
        match read_header(&head, &self.active.identity) {
            HeaderState::Ours { first_sequence }
                if first_sequence == self.active.first_sequence => {}
            _ => return Ok(WalCheck::Damaged("its head is damaged".into())),
        }
        let (mut at, mut sequence) = (SEGMENT_HEADER, self.active.first_sequence);
        while at < self.active.end {
            let mut bytes = vec![0; CHUNK.min(self.active.end - at) as usize];
            if let Err(error) = self.active.file.read_at(at, &mut bytes) {
                return Ok(WalCheck::Damaged(format!(
                    "it cannot be read at byte {at}: {error}"
                )));
            }
            let read = books()?;
            let taken = self.chunk(&bytes, &mut sequence, &read)?;
            if taken == 0 {
                return Ok(WalCheck::Damaged(format!(
                    "record {sequence} at byte {at} is damaged"
                )));
            }
            at += taken as u64;
        }
        Ok(WalCheck::Whole)
    }

    /// Takes the sound records at the front of a chunk; returns how many bytes they are.
    fn chunk(
        &mut self,
        bytes: &[u8],
        sequence: &mut u64,
        read: &ReadTransaction,
    ) -> Result<usize, StoreError> {
        let (booked, records) = (applied(read)?, read.open_table(RECORDS)?);
        let mut taken = 0;
        while let Some(record) =
            read_record(bytes, taken).filter(|record| record.sequence == *sequence)
        {
            if record.sequence <= booked {
                self.compare(&record, &records)?;
            }
            taken += record.length;
            *sequence += 1;
        }
        Ok(taken)
    }

    /// A settlement that is booked is a record of the books, to the byte.
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
            Some(stored) if stored == settlement.encode()? => return Ok(()),
            Some(stored) => {
                let booked = Settlement::decode(&stored)
                    .map_or("what cannot be read".into(), |booked| {
                        format!("${}", booked.ending.cost)
                    });
                format!(
                    "record {} of the log says ${}, the books say {booked}",
                    record.sequence, settlement.ending.cost
                )
            }
            // retention has deleted it
            None if settlement.hold.at_ms < self.kept.requests_ms => return Ok(()),
            None => format!(
                "record {} of the log settles it at ${}, the books do not have it",
                record.sequence, settlement.ending.cost
            ),
        };
        self.verified.differs(Part::Log, named(id), says);
        Ok(())
    }
}
