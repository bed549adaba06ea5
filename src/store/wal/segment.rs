//! One segment file of the log and its bytes: a header with instance, generation and first sequence number, then records with
//! length, checksum, sequence number and synced mark. It knows no other file, and never trusts a byte that it reads.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::store::disk::{Disk, DiskFile};
use crate::store::identity::Identity;
use crate::store::mapping::MappedRecords;

pub(in crate::store) const FOLDER: &str = "ledger";
const MAGIC: &[u8; 8] = b"GKLEDGR1";
pub(in crate::store) const SEGMENT_HEADER: u64 = 64;
/// length, checksum, sequence, highest sequence known to be synced
pub(in crate::store) const RECORD_HEADER: usize = 24;
/// Records start at multiples of this, so that a scan past damage finds them.
pub(in crate::store) const ALIGN: usize = 8;
pub(in crate::store) const RECORD_BYTES_MAX: usize = 64 * 1024;

pub(in crate::store) struct Segment {
    pub number: u32,
    /// 0 until the header is written
    pub first_sequence: u64,
    pub file: Arc<dyn DiskFile>,
    /// offset of the next record
    pub end: u64,
    pub capacity: u64,
    /// ranges that no zeros were written to: a file with any is not mapped
    pub holes: Vec<Range<u64>>,
    /// the file as memory; `None`: each record is a write
    pub mapping: Option<Arc<dyn MappedRecords>>,
    /// end of the records when the file was mapped
    pub mapped_at: u64,
}

/// Bytes after the last record whose pages are present, and how many must be left of them.
pub(in crate::store) const WINDOW: u64 = 256 << 10;
const WINDOW_MIN: u64 = WINDOW / 2;
/// Window of a segment without a record since it was mapped: an idle process has no use for more.
const WINDOW_IDLE: u64 = 64 << 10;

impl Segment {
    /// Creates a zero-filled file: its blocks are allocated, so that fsync has no metadata to write.
    pub(in crate::store) fn create(
        disk: &dyn Disk,
        number: u32,
        capacity: u64,
    ) -> io::Result<Segment> {
        let mut segment = Segment::unfilled(disk, number, capacity)?;
        segment
            .fill()
            .and_then(|()| segment.file.sync_data())
            .and_then(|()| disk.sync_folder(FOLDER))
            .inspect_err(|_| remove_quietly(disk, number))?;
        segment.map();
        Ok(segment)
    }

    /// Maps the file, if it is one that may be mapped.
    pub(in crate::store) fn map(&mut self) {
        self.mapped_at = self.end;
        let usable = |mapping: &Arc<dyn MappedRecords>| {
            let to = (self.end + WINDOW_IDLE).min(self.capacity);
            mapping.move_window(self.end, to).is_ok()
        };
        self.mapping = self.file.map().filter(usable);
    }

    /// The mapping and the offset at which its window should begin, once little of it is left.
    pub(in crate::store) fn window_to_move(&self) -> Option<(Arc<dyn MappedRecords>, u64)> {
        let mapping = self
            .mapping
            .as_ref()
            .filter(|_| self.end > self.mapped_at)?;
        let needed = (self.end + WINDOW_MIN).min(self.capacity);
        (mapping.window_end() < needed).then(|| (Arc::clone(mapping), self.end))
    }

    /// Appends the bytes of a record at the end: a store into the mapping, or a write.
    pub(in crate::store) fn put(&self, record: &[u8]) -> io::Result<()> {
        let stored = |mapping: &Arc<dyn MappedRecords>| mapping.store(self.end, record);
        if self.mapping.as_ref().is_some_and(stored) {
            return Ok(());
        }
        self.file.write_at(self.end, record)
    }

    /// Writes zeros to the holes.
    pub(in crate::store) fn fill(&mut self) -> io::Result<()> {
        for hole in &self.holes {
            self.write_zeros(hole)?;
        }
        self.holes.clear();
        Ok(())
    }

    fn write_zeros(&self, range: &Range<u64>) -> io::Result<()> {
        // page by page: the kernel caches one large write as one large folio, and every small write into it then walks all its
        // blocks (measured: 6 of 31 µs in the kernel for the two records of a request)
        let zeros = [0u8; 4096];
        for at in range.clone().step_by(zeros.len()) {
            let length = zeros.len().min((range.end - at) as usize);
            self.file.write_at(at, &zeros[..length])?;
        }
        Ok(())
    }

    /// Creates a file with allocated but unwritten blocks.
    pub(in crate::store) fn unfilled(
        disk: &dyn Disk,
        number: u32,
        capacity: u64,
    ) -> io::Result<Segment> {
        let file = disk.open(&file_name(number))?;
        // the bytes that a hold reserves for its settlement must exist on a full disk
        file.set_size(0)
            .and_then(|()| file.allocate(capacity))
            .inspect_err(|_| remove_quietly(disk, number))?;
        Ok(Segment {
            number,
            first_sequence: 0,
            file,
            end: SEGMENT_HEADER,
            capacity,
            holes: std::iter::once(0..capacity).collect(),
            mapping: None,
            mapped_at: 0,
        })
    }

    /// Bytes that a segment without a record has for records.
    pub(in crate::store) fn room(&self) -> u64 {
        self.capacity.saturating_sub(SEGMENT_HEADER)
    }

    /// True if it was made in a hurry, with holes, and no header was tried to be written.
    pub(in crate::store) fn is_makeshift(&self) -> bool {
        self.first_sequence == 0 && !self.holes.is_empty()
    }

    /// Writes the header.
    pub(in crate::store) fn begin(
        &mut self,
        identity: &Identity,
        first_sequence: u64,
    ) -> io::Result<()> {
        self.first_sequence = first_sequence;
        self.file.write_at(0, &header(identity, first_sequence))
    }
}

/// Removes a file whose creation failed: on a full disk every retry would leave another one.
fn remove_quietly(disk: &dyn Disk, number: u32) {
    let _ = disk.remove(&file_name(number));
}

pub(in crate::store) fn file_name(number: u32) -> String {
    format!("{FOLDER}/{number:06}.log")
}

fn header(identity: &Identity, first_sequence: u64) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(&identity.instance);
    bytes[24..28].copy_from_slice(&identity.generation.to_le_bytes());
    bytes[28..36].copy_from_slice(&first_sequence.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// State of a segment's header.
pub(in crate::store) enum HeaderState {
    /// empty or torn: the segment was never used
    Unused,
    Corrupt,
    /// of another instance or generation
    Foreign,
    Ours {
        first_sequence: u64,
    },
}

pub(in crate::store) fn read_header(
    bytes: &[u8; SEGMENT_HEADER as usize],
    identity: &Identity,
) -> HeaderState {
    if bytes[..8] != *MAGIC || crc32fast::hash(&bytes[..36]).to_le_bytes() != bytes[36..40] {
        // the checksum is last: zeros mean that the header was not completed
        let unfinished = bytes[36..].iter().all(|byte| *byte == 0);
        return if unfinished {
            HeaderState::Unused
        } else {
            HeaderState::Corrupt
        };
    }
    if bytes[8..24] != identity.instance || bytes[24..28] != identity.generation.to_le_bytes() {
        return HeaderState::Foreign;
    }
    HeaderState::Ours {
        first_sequence: u64::from_le_bytes(bytes[28..36].try_into().unwrap_or_default()),
    }
}

/// Encodes a record; `synced` is the highest sequence number known to be synced.
pub(in crate::store) fn record(sequence: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((RECORD_HEADER + payload.len()).next_multiple_of(ALIGN));
    begin_record(&mut bytes);
    bytes.extend_from_slice(payload);
    finish_record(&mut bytes, sequence, synced);
    bytes
}

/// Empties the bytes but for the room of a record's header; the payload follows.
pub(in crate::store) fn begin_record(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.resize(RECORD_HEADER, 0);
}

/// Bytes of the payload of a record that was begun.
pub(in crate::store) fn payload_bytes(bytes: &[u8]) -> usize {
    bytes.len() - RECORD_HEADER
}

/// Writes the header of a record whose payload is complete, and its padding.
pub(in crate::store) fn finish_record(bytes: &mut Vec<u8>, sequence: u64, synced: u64) {
    let length = payload_bytes(bytes) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16..RECORD_HEADER].copy_from_slice(&synced.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
}

/// Intact record as read from a file.
pub(in crate::store) struct RawRecord<'a> {
    pub sequence: u64,
    pub synced: u64,
    pub payload: &'a [u8],
    /// bytes including header and padding
    pub length: usize,
}

/// Returns the record at an offset if it is complete and its checksum matches.
pub(in crate::store) fn read_record(bytes: &[u8], at: usize) -> Option<RawRecord<'_>> {
    let head = bytes.get(at..at + RECORD_HEADER)?;
    let word =
        |from: usize| u64::from_le_bytes(head[from..from + 8].try_into().unwrap_or_default());
    let length = word(0) as u32 as usize;
    if length == 0 || length > RECORD_BYTES_MAX {
        return None;
    }
    let body = bytes.get(at + 8..at + RECORD_HEADER + length)?;
    if crc32fast::hash(body) != (word(0) >> 32) as u32 {
        return None;
    }
    let padded = (RECORD_HEADER + length).next_multiple_of(ALIGN);
    Some(RawRecord {
        sequence: word(8),
        synced: word(16),
        payload: &body[16..],
        length: padded,
    })
}
