//! The ledger's log: numbered records in zero-filled segments `ledger/NNNNNN.log`, each record one `write()`. It knows how
//! far it is written and how far it is synced, finds a torn tail after a crash and tells it from corruption. It must never
//! hand out a number twice, nor append after bytes that a failed append may have left.

use std::io;
use std::sync::Arc;

use crate::store::books::tables::Identity;
use crate::store::disk::{Disk, DiskFile};
use crate::store::wal::recovery::{ClosedSegment, Replay, scan};
use crate::store::wal::segment::{FOLDER, SEGMENT_HEADER, Segment, file_name, record};
use crate::store::{Options, StoreError};

/// Why the log cannot be used. Nothing has been written when one of these is returned by `open`.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("ledger log: {0}")]
    Io(#[from] io::Error),
    #[error(
        "{segment} is damaged at byte {offset}: record {sequence} was on disk and is unreadable. Restore a backup, or accept the loss of \
         all records of this segment and of later ones that are not in gatekeeper.redb; in the data folder: {repair}"
    )]
    Corrupt {
        segment: String,
        offset: u64,
        sequence: u64,
        repair: String,
    },
    #[error(
        "{segment} belongs to another data folder or to the time before a restore; move it away, in the data folder: \
         mv {segment} {segment}.foreign"
    )]
    Foreign { segment: String },
    #[error(
        "the ledger log begins at record {found}, but gatekeeper.redb ends at {applied}: a segment is missing; put it back"
    )]
    Gap { applied: u64, found: u64 },
    #[error("{segment}, record {sequence}: {reason}")]
    Unreadable {
        segment: String,
        sequence: u64,
        reason: String,
    },
}

pub(crate) struct SegmentedLog {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    identity: Identity,
    active: Segment,
    /// zero-filled and waiting, so that rolling over costs nothing
    ready: Option<Segment>,
    /// never given out twice: two hands may be making a segment at the same time
    next_number: u32,
    sealed: Vec<ClosedSegment>,
    /// files before the active one whose records are not yet synced
    unsynced_files: Vec<Arc<dyn DiskFile>>,
    /// a segment was made whose name a power cut could still take away
    folder_unsynced: bool,
    /// the last record that the start found: an earlier process may have promised that it is on disk
    found: u64,
    written: u64,
    synced: u64,
    /// bytes after `active.end` that a failed append may have left
    torn: u64,
    distrusted: bool,
}

/// The file that is written to, and up to where: what a look for damage reads.
pub(crate) struct ActiveSegment {
    pub identity: Identity,
    pub name: String,
    pub file: Arc<dyn DiskFile>,
    pub first_sequence: u64,
    pub end: u64,
}

/// What a sync has to do so that everything up to a record lasts.
pub(crate) struct SyncBatch {
    files: Vec<Arc<dyn DiskFile>>,
    folder: Option<Arc<dyn Disk>>,
    pub upto: u64,
}

impl SyncBatch {
    pub(crate) fn sync(&self) -> io::Result<()> {
        for file in &self.files {
            file.sync_data()?;
        }
        self.folder
            .as_ref()
            .map_or(Ok(()), |disk| disk.sync_folder(FOLDER))
    }
}

impl SegmentedLog {
    /// Reads what is there from `identity.applied` on.
    pub(crate) fn open(
        options: &Options,
        identity: &Identity,
    ) -> Result<(SegmentedLog, Replay), StoreError> {
        let found = scan(options.disk.as_ref(), identity)?;
        for spare in &found.spares {
            options.disk.remove(spare).map_err(WalError::Io)?;
        }
        let mut replay = found.replay;
        let next = found.last_sequence.max(identity.applied) + 1;
        let number = found
            .segments
            .iter()
            .map(|segment| segment.number)
            .max()
            .unwrap_or(0)
            + 1;
        let goes_on = found.tail.is_some();
        let active = match found.tail {
            Some(tail) => tail,
            None => {
                if identity.applied > 0 {
                    replay.remarks.push(format!(
                        "the ledger log ends at record {}, the books at {}: a new segment begins at {next}",
                        found.last_sequence, identity.applied
                    ));
                }
                let mut fresh =
                    Segment::create(options.disk.as_ref(), number, options.segment_bytes)
                        .map_err(WalError::Io)?;
                fresh
                    .begin(identity, next)
                    .and_then(|()| fresh.file.sync_data())
                    .map_err(WalError::Io)?;
                fresh
            }
        };
        let mut unsynced_files = Vec::new();
        for doubtful in found.doubtful {
            unsynced_files.push(doubtful.written_again().map_err(WalError::Io)?);
        }
        if goes_on {
            // the active one is synced anyway
            unsynced_files.pop();
        }
        let mut sealed = found.segments;
        sealed.retain(|segment| segment.number != active.number);
        let log = SegmentedLog {
            disk: options.disk.clone(),
            segment_bytes: options.segment_bytes,
            identity: *identity,
            next_number: number.max(active.number + 1),
            active,
            ready: None,
            sealed,
            unsynced_files,
            folder_unsynced: true,
            found: next - 1,
            written: next - 1,
            synced: identity.applied,
            torn: 0,
            distrusted: false,
        };
        Ok((log, replay))
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    pub(crate) fn active(&self) -> ActiveSegment {
        let Segment {
            number,
            first_sequence,
            end,
            ..
        } = self.active;
        ActiveSegment {
            identity: self.identity,
            name: file_name(number),
            file: self.active.file.clone(),
            first_sequence,
            end,
        }
    }

    /// Bytes that can still be appended without making a new file.
    pub(crate) fn room(&self) -> u64 {
        let spare = self
            .ready
            .as_ref()
            .map_or(0, |ready| ready.capacity - SEGMENT_HEADER);
        (self.active.capacity - self.active.end).saturating_add(spare)
    }

    /// Appends one record in one write. On an error nothing is appended, and what the failed write may have left is
    /// wiped before anything else is written.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
        let sequence = self.written + 1;
        let record = record(sequence, self.synced, payload);
        if self.active.end + record.len() as u64 > self.active.capacity {
            self.roll(sequence)?;
        }
        self.wipe_torn()?;
        if let Err(error) = self.active.file.write_at(self.active.end, &record) {
            self.torn = record.len() as u64;
            let _ = self.wipe_torn();
            return Err(error);
        }
        self.active.end += record.len() as u64;
        self.written = sequence;
        Ok(sequence)
    }

    fn wipe_torn(&mut self) -> io::Result<()> {
        if self.torn > 0 {
            self.active
                .file
                .write_at(self.active.end, &vec![0; self.torn as usize])?;
            self.torn = 0;
        }
        Ok(())
    }

    /// Goes on in the next segment, which begins with `first_sequence`.
    fn roll(&mut self, first_sequence: u64) -> io::Result<()> {
        self.wipe_torn()?;
        self.make_ready()?;
        let Some(mut next) = self.ready.take() else {
            return Err(io::Error::other("no segment is ready"));
        };
        if let Err(error) = next.begin(&self.identity, first_sequence) {
            // the head may stand there all the same: no record from this number on may go into the old segment
            self.active.capacity = self.active.end;
            self.ready = Some(next);
            return Err(error);
        }
        let old = std::mem::replace(&mut self.active, next);
        self.sealed.push(ClosedSegment {
            number: old.number,
            last_sequence: first_sequence - 1,
        });
        self.unsynced_files.push(old.file);
        Ok(())
    }

    /// What there is to sync.
    pub(crate) fn unsynced(&mut self) -> SyncBatch {
        let mut files = self.unsynced_files.clone();
        files.push(self.active.file.clone());
        let folder = std::mem::take(&mut self.folder_unsynced).then(|| self.disk.clone());
        SyncBatch {
            files,
            folder,
            upto: self.written,
        }
    }

    pub(crate) fn mark_synced(&mut self, done: &SyncBatch) {
        self.synced = self.synced.max(done.upto);
        // all but the last of the files that were synced will see no further record
        self.unsynced_files
            .drain(..(done.files.len() - 1).min(self.unsynced_files.len()));
    }

    /// After a failed sync: what is not known to be on disk is written again into a new segment; the file that failed
    /// is never trusted again. If that fails too, the log is as it was, and is distrusted until it succeeds.
    pub(crate) fn write_again<'a>(
        &mut self,
        payloads: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> io::Result<()> {
        self.distrusted = true;
        self.folder_unsynced = true;
        let first = self.synced + 1;
        let records: Vec<Vec<u8>> = payloads
            .filter(|(sequence, _)| *sequence >= first)
            .map(|(at, payload)| record(at, self.synced, payload))
            .collect();
        // numbers rise with the records: a spare with a lower one can no longer come next
        if let Some(spare) = self.ready.take() {
            self.disk.remove(&file_name(spare.number))?;
        }
        let number = self.take_number();
        let next = match self.written_whole(number, &records, first) {
            Ok(next) => next,
            Err(error) => {
                let _ = self.disk.remove(&file_name(number));
                return Err(error);
            }
        };
        let old = std::mem::replace(&mut self.active, next);
        self.sealed.push(ClosedSegment {
            number: old.number,
            last_sequence: first - 1,
        });
        self.unsynced_files.clear();
        self.torn = 0;
        self.distrusted = false;
        Ok(())
    }

    /// A new segment with these records. Its head is written last: without one it is a spare that nobody misses.
    fn written_whole(&self, number: u32, records: &[Vec<u8>], first: u64) -> io::Result<Segment> {
        let bytes: usize = records.iter().map(Vec::len).sum();
        let capacity = self.segment_bytes.max(SEGMENT_HEADER + bytes as u64);
        let mut segment = Segment::unfilled(self.disk.as_ref(), number, capacity)?;
        for record in records {
            segment.file.write_at(segment.end, record)?;
            segment.end += record.len() as u64;
        }
        if first <= self.found {
            // from its head on this segment stands in the place of one that has them on disk
            segment.file.sync_data()?;
        }
        segment.begin(&self.identity, first)?;
        Ok(segment)
    }

    /// A sync has failed, and what it did not cover is not written again yet.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    /// The number for a segment to prepare, once the active one is half full and none waits.
    pub(crate) fn wants_ready(&mut self) -> Option<u32> {
        let wanted = self.ready.is_none() && self.active.end * 2 > self.active.capacity;
        wanted.then(|| self.take_number())
    }

    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Makes the next segment at once, without filling it: the writer was too slow to prepare one.
    pub(crate) fn make_ready(&mut self) -> io::Result<()> {
        if self.ready.is_none() {
            let number = self.take_number();
            self.folder_unsynced = true;
            self.ready = Some(Segment::unfilled(
                self.disk.as_ref(),
                number,
                self.segment_bytes,
            )?);
        }
        Ok(())
    }

    /// Takes a prepared segment; hands back the name of one that came too late, to be removed.
    pub(crate) fn put_ready(&mut self, segment: Segment) -> Option<String> {
        if self.ready.is_some() || segment.number < self.active.number {
            return Some(file_name(segment.number));
        }
        self.ready = Some(segment);
        None
    }

    /// Names of the segments that the books have overtaken, and forgets them. None before the active one is known to be on
    /// disk: a power cut that took it and brought older ones back would leave a log that looks damaged, or has a gap.
    pub(crate) fn retire(&mut self, applied: u64) -> Vec<String> {
        if self.synced < self.active.first_sequence {
            return Vec::new();
        }
        let (gone, kept): (Vec<ClosedSegment>, Vec<ClosedSegment>) =
            std::mem::take(&mut self.sealed)
                .into_iter()
                .partition(|segment| segment.last_sequence <= applied);
        self.sealed = kept;
        gone.into_iter()
            .map(|segment| file_name(segment.number))
            .collect()
    }
}
