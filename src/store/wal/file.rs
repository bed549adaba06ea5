//! The segmented log: numbered records in zero-filled segments `ledger/NNNNNN.log`, each record one `write()`. It tracks the
//! written and the synced position. It must never assign a sequence number twice, nor append after bytes that a failed append may
//! have left.

use std::io;
use std::sync::Arc;

use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::mapping::MappedRecords;
use crate::store::options::Options;
use crate::store::wal::error::WalError;
use crate::store::wal::recovery::{ClosedSegment, Replay, scan};
use crate::store::wal::segment::{
    FOLDER, SEGMENT_HEADER, Segment, WINDOW, file_name, finish_record, record,
};

pub(in crate::store) struct SegmentedLog {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    identity: Identity,
    active: Segment,
    /// prepared next segment, so that rolling over costs nothing
    ready: Option<Segment>,
    /// never assigned twice: writer and ledger may create a segment at the same time
    next_number: u32,
    closed: Vec<ClosedSegment>,
    /// files before the active one whose records are not yet synced
    unsynced_files: Vec<Arc<dyn DiskFile>>,
    /// a segment was created whose directory entry is not synced
    folder_unsynced: bool,
    /// last record found at the start: an earlier process may have acknowledged it as durable
    found: u64,
    written: u64,
    synced: u64,
    /// length of the bytes after `active.end` that a failed append may have left
    torn: u64,
    /// an fsync failed and its records are not rewritten yet
    distrusted: bool,
    /// each record is a write
    write_only: WriteOnly,
    /// the writer was woken for the window of the active segment
    window_asked: bool,
    /// the writer was woken to prepare the segment after the active one
    segment_asked: bool,
    /// the writer has to prepare it now
    segment_due: bool,
}

/// Reasons to write each record although the file could be mapped: its failure must be an error.
#[derive(Default)]
struct WriteOnly {
    /// from now on
    sync_failed: bool,
    /// as long as it is nearly full
    disk_low: bool,
}

impl WriteOnly {
    fn applies(&self) -> bool {
        self.sync_failed || self.disk_low
    }
}

/// Room below which a start prepares the next segment itself: the writer, which does it otherwise, needs a moment.
const START_ROOM: u64 = 1 << 20;

/// Window of a segment's mapping that must move on.
pub(in crate::store) struct WindowMove {
    mapping: Arc<dyn MappedRecords>,
    from: u64,
    segment: u32,
}

impl WindowMove {
    /// Moves it; returns the segment and the success.
    pub(in crate::store) fn run(&self) -> (u32, bool) {
        let moved = self.mapping.move_window(self.from, self.from + WINDOW);
        (self.segment, moved.is_ok())
    }
}

/// Snapshot of the segment that is being written, for verification.
pub(in crate::store) struct ActiveSegment {
    pub identity: Identity,
    pub name: String,
    pub file: Arc<dyn DiskFile>,
    pub first_sequence: u64,
    pub end: u64,
}

/// Files and folder to sync so that every record up to `upto` is durable.
pub(in crate::store) struct SyncBatch {
    files: Vec<Arc<dyn DiskFile>>,
    folder: Option<Arc<dyn Disk>>,
    pub upto: u64,
}

impl SyncBatch {
    pub(in crate::store) fn sync(&self) -> io::Result<()> {
        for file in &self.files {
            file.sync_data()?;
        }
        self.folder
            .as_ref()
            .map_or(Ok(()), |disk| disk.sync_folder(FOLDER))
    }
}

fn begin_segment(
    options: &Options,
    identity: &Identity,
    number: u32,
    first_sequence: u64,
) -> io::Result<Segment> {
    let mut segment = Segment::create(options.disk.as_ref(), number, options.segment_bytes)?;
    segment.begin(identity, first_sequence)?;
    segment.file.sync_data()?;
    Ok(segment)
}

impl SegmentedLog {
    /// Scans the log from `identity.applied` on and opens it for appending. A damaged log is an error, and nothing is written.
    pub(in crate::store) fn open(
        options: &Options,
        identity: &Identity,
    ) -> Result<(SegmentedLog, Replay), StoreError> {
        let found = scan(options.disk.as_ref(), identity)?;
        for spare in &found.unused {
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
        let continues = found.tail.is_some();
        let active = match found.tail {
            Some(tail) => tail,
            None => {
                if identity.applied > 0 {
                    replay.remarks.push(format!(
                        "the ledger log ends at record {}, the books at {}: a new segment begins at {next}",
                        found.last_sequence, identity.applied
                    ));
                }
                begin_segment(options, identity, number, next).map_err(WalError::Io)?
            }
        };
        let mut unsynced_files = Vec::new();
        for unverified in found.unverified {
            unsynced_files.push(unverified.rewrite().map_err(WalError::Io)?);
        }
        if continues {
            // the active segment is in every sync batch
            unsynced_files.pop();
        }
        let mut closed = found.segments;
        closed.retain(|segment| segment.number != active.number);
        let mut log = SegmentedLog {
            disk: options.disk.clone(),
            segment_bytes: options.segment_bytes,
            identity: *identity,
            next_number: number.max(active.number + 1),
            active,
            ready: None,
            closed,
            unsynced_files,
            folder_unsynced: true,
            found: next - 1,
            written: next - 1,
            synced: identity.applied,
            torn: 0,
            distrusted: false,
            write_only: WriteOnly::default(),
            window_asked: false,
            segment_asked: false,
            segment_due: false,
        };
        if continues {
            log.resume(&mut replay.remarks);
        }
        log.active.map();
        Ok((log, replay))
    }

    /// Makes a segment that an earlier process wrote fit to be mapped, and prepares the next one if it is nearly full. What fails is
    /// tried again by the writer, and the records are written until then.
    fn resume(&mut self, remarks: &mut Vec<String>) {
        if let Err(error) = self.active.fill() {
            let name = file_name(self.active.number);
            remarks.push(format!(
                "{name}: holes not filled: {error}; its records are written"
            ));
        }
        let room = self.active.capacity - self.active.end;
        if room < START_ROOM.min(self.segment_bytes / 2) {
            let number = self.take_number();
            self.ready = Segment::create(self.disk.as_ref(), number, self.segment_bytes).ok();
        }
        self.segment_asked = self.needs_segment();
        self.segment_due = self.segment_asked;
    }

    #[cfg(test)]
    pub(in crate::store) fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    pub(in crate::store) fn written(&self) -> u64 {
        self.written
    }

    pub(in crate::store) fn synced(&self) -> u64 {
        self.synced
    }

    pub(in crate::store) fn active(&self) -> ActiveSegment {
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

    /// Bytes that can be appended without creating a file.
    pub(in crate::store) fn free_bytes(&self) -> u64 {
        let spare = self.ready.as_ref().map_or(0, Segment::room);
        (self.active.capacity - self.active.end).saturating_add(spare)
    }

    /// Completes a record that was begun, and appends it in one write. On an error nothing is appended, and bytes left by the failed
    /// write are zeroed before the next one.
    pub(in crate::store) fn append(&mut self, record: &mut Vec<u8>) -> io::Result<u64> {
        let sequence = self.written + 1;
        finish_record(record, sequence, self.synced);
        if self.active.end + record.len() as u64 > self.active.capacity {
            self.roll(sequence)?;
        }
        self.zero_torn()?;
        if let Err(error) = self.active.put(record) {
            self.torn = record.len() as u64;
            let _ = self.zero_torn();
            return Err(error);
        }
        self.active.end += record.len() as u64;
        self.written = sequence;
        Ok(sequence)
    }

    fn zero_torn(&mut self) -> io::Result<()> {
        if self.torn > 0 {
            self.active
                .file
                .write_at(self.active.end, &vec![0; self.torn as usize])?;
            self.torn = 0;
        }
        Ok(())
    }

    /// Makes the next segment the active one; it begins with `first_sequence`.
    fn roll(&mut self, first_sequence: u64) -> io::Result<()> {
        self.zero_torn()?;
        self.make_ready()?;
        let Some(mut next) = self.ready.take() else {
            return Err(io::Error::other("no segment is ready"));
        };
        if let Err(error) = next.begin(&self.identity, first_sequence) {
            // the header may have reached the disk: the old segment must take no further record
            self.active.capacity = self.active.end;
            self.ready = Some(next);
            return Err(error);
        }
        if self.write_only.applies() {
            next.mapping = None;
        }
        self.segment_asked = false;
        let old = std::mem::replace(&mut self.active, next);
        self.closed.push(ClosedSegment {
            number: old.number,
            last_sequence: first_sequence - 1,
        });
        self.unsynced_files.push(old.file);
        Ok(())
    }

    /// Everything that the next fsync must cover.
    pub(in crate::store) fn sync_batch(&mut self) -> SyncBatch {
        let mut files = self.unsynced_files.clone();
        files.push(self.active.file.clone());
        let folder = std::mem::take(&mut self.folder_unsynced).then(|| self.disk.clone());
        SyncBatch {
            files,
            folder,
            upto: self.written,
        }
    }

    pub(in crate::store) fn mark_synced(&mut self, done: &SyncBatch) {
        self.synced = self.synced.max(done.upto);
        // only the last of the synced files, the active segment, takes further records
        self.unsynced_files
            .drain(..(done.files.len() - 1).min(self.unsynced_files.len()));
    }

    /// After a failed fsync: writes the unsynced records to a new segment and never syncs the failed file again. If this fails too,
    /// the log is unchanged and distrusted until a retry succeeds.
    pub(in crate::store) fn rewrite_unsynced<'a>(
        &mut self,
        payloads: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> io::Result<()> {
        self.distrusted = true;
        self.write_only.sync_failed = true;
        self.active.mapping = None;
        self.folder_unsynced = true;
        let first = self.synced + 1;
        let records: Vec<Vec<u8>> = payloads
            .filter(|(sequence, _)| *sequence >= first)
            .map(|(at, payload)| record(at, self.synced, payload))
            .collect();
        // segment numbers rise with the records: a prepared segment of a lower number cannot follow
        if let Some(spare) = self.ready.take() {
            self.disk.remove(&file_name(spare.number))?;
        }
        let number = self.take_number();
        let next = match self.write_segment(number, &records, first) {
            Ok(next) => next,
            Err(error) => {
                let _ = self.disk.remove(&file_name(number));
                return Err(error);
            }
        };
        let old = std::mem::replace(&mut self.active, next);
        self.closed.push(ClosedSegment {
            number: old.number,
            last_sequence: first - 1,
        });
        self.unsynced_files.clear();
        self.torn = 0;
        self.distrusted = false;
        Ok(())
    }

    /// Creates a segment with these records. Its header is written last: without one it counts as unused.
    fn write_segment(&self, number: u32, records: &[Vec<u8>], first: u64) -> io::Result<Segment> {
        let bytes: usize = records.iter().map(Vec::len).sum();
        let capacity = self.segment_bytes.max(SEGMENT_HEADER + bytes as u64);
        let mut segment = Segment::unfilled(self.disk.as_ref(), number, capacity)?;
        for record in records {
            segment.file.write_at(segment.end, record)?;
            segment.end += record.len() as u64;
        }
        if first <= self.found {
            // once it has a header, this segment replaces one that holds them durably
            segment.file.sync_data()?;
        }
        segment.begin(&self.identity, first)?;
        Ok(segment)
    }

    /// True if records are stored into a mapping of the active segment.
    pub(in crate::store) fn is_mapped(&self) -> bool {
        self.active.mapping.is_some()
    }

    /// Notes the free space: while it is low each record is a write. The next segment is stored into again.
    pub(in crate::store) fn set_disk_low(&mut self, low: bool) {
        self.write_only.disk_low = low;
        if low {
            self.active.mapping = None;
        }
    }

    /// True once when the window of the active segment's mapping must move on, or the next segment must be prepared.
    pub(in crate::store) fn needs_writer(&mut self) -> bool {
        let window_ends = !self.window_asked && self.active.window_to_move().is_some();
        self.window_asked |= window_ends;
        let segment_due = !self.segment_asked && self.needs_segment();
        self.segment_asked |= segment_due;
        self.segment_due |= segment_due;
        window_ends || segment_due
    }

    /// True once when the writer must prepare a segment without waiting for other work.
    pub(in crate::store) fn take_segment_due(&mut self) -> bool {
        std::mem::take(&mut self.segment_due)
    }

    /// Takes the task to move the window of the active segment's mapping.
    pub(in crate::store) fn take_window_move(&mut self) -> Option<WindowMove> {
        let (mapping, from) = self.active.window_to_move()?;
        self.window_asked = true;
        Some(WindowMove {
            mapping,
            from,
            segment: self.active.number,
        })
    }

    /// Counts a moved window; after a failure the segment is written instead.
    pub(in crate::store) fn window_moved(&mut self, segment: u32, moved: bool) {
        self.window_asked = false;
        if !moved && self.active.number == segment {
            self.active.mapping = None;
        }
    }

    /// True after a failed fsync until its records are rewritten.
    pub(in crate::store) fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    /// Number of the segment to prepare, if one is needed.
    pub(in crate::store) fn segment_to_prepare(&mut self) -> Option<u32> {
        self.needs_segment().then(|| self.take_number())
    }

    /// True once the active segment is half full, or has holes and could be left for one without, and none is ready.
    fn needs_segment(&self) -> bool {
        let has_holes = !self.active.holes.is_empty() && !self.write_only.applies();
        let is_left_soon = has_holes || self.active.end * 2 > self.active.capacity;
        let is_replaced = |ready: &Segment| ready.is_makeshift() && !self.write_only.applies();
        is_left_soon && self.ready.as_ref().is_none_or(is_replaced)
    }

    /// Makes the next record begin a new segment, if the active one is written to and the next one, with room for this many bytes, can
    /// be stored into.
    pub(in crate::store) fn leave_unmapped(&mut self, room: u64) {
        let is_better = |ready: &Segment| ready.mapping.is_some() && ready.room() >= room;
        let is_written = self.active.mapping.is_none() && !self.write_only.applies();
        if is_written && self.ready.as_ref().is_some_and(is_better) {
            self.active.capacity = self.active.end;
        }
    }

    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Creates the next segment at once, without filling it, if the writer has not prepared one.
    pub(in crate::store) fn make_ready(&mut self) -> io::Result<()> {
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

    /// Takes a prepared segment; returns the file name of one that is not needed and must be removed: this one, if it came too late, or
    /// one with holes that was made meanwhile.
    pub(in crate::store) fn put_ready(&mut self, segment: Segment) -> Option<String> {
        let is_needed = self.ready.as_ref().is_none_or(Segment::is_makeshift);
        if !is_needed || segment.number < self.active.number {
            return Some(file_name(segment.number));
        }
        let makeshift = self.ready.replace(segment)?;
        Some(file_name(makeshift.number))
    }

    /// Forgets the segments whose records are all posted and returns their file names. None before the active one is durable: a power
    /// cut that lost it and restored older ones would leave a log that looks damaged or has a gap.
    pub(in crate::store) fn retire(&mut self, applied: u64) -> Vec<String> {
        if self.synced < self.active.first_sequence {
            return Vec::new();
        }
        let (retired, remaining): (Vec<ClosedSegment>, Vec<ClosedSegment>) =
            std::mem::take(&mut self.closed)
                .into_iter()
                .partition(|segment| segment.last_sequence <= applied);
        self.closed = remaining;
        retired
            .into_iter()
            .map(|segment| file_name(segment.number))
            .collect()
    }
}
