//! One file of the ledger's log and the bytes in it: a head that says whose it is and where it begins, and records that say
//! their length, number and checksum. It knows no other file, and never trusts a byte that it reads.

use std::io;
use std::sync::Arc;

use crate::store::books::tables::Identity;
use crate::store::disk::{Disk, DiskFile};

pub(crate) const FOLDER: &str = "ledger";
const MAGIC: &[u8; 8] = b"GKLEDGR1";
pub(crate) const SEGMENT_HEADER: u64 = 64;
/// length, checksum, sequence, highest sequence known to be synced
pub(crate) const RECORD_HEADER: usize = 24;
/// Records start at multiples of this, so that a scan past damage finds them.
pub(crate) const ALIGN: usize = 8;
pub(crate) const RECORD_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Segment {
    pub number: u32,
    /// its first record; 0 until it is begun
    pub first_sequence: u64,
    pub file: Arc<dyn DiskFile>,
    /// where the next record goes
    pub end: u64,
    pub capacity: u64,
}

impl Segment {
    /// A zero-filled file: its blocks are allocated, so that a sync has no metadata to write.
    pub(crate) fn create(disk: &dyn Disk, number: u32, capacity: u64) -> io::Result<Segment> {
        let segment = Segment::unfilled(disk, number, capacity)?;
        segment
            .fill()
            .and_then(|()| disk.sync_folder(FOLDER))
            .inspect_err(|_| forget(disk, number))?;
        Ok(segment)
    }

    fn fill(&self) -> io::Result<()> {
        // page by page: the kernel keeps what one large write brought as one large folio, and every small write into it
        // would then walk all its blocks (measured: 6 µs of 31 in the kernel for a request's two records)
        let zeros = [0u8; 4096];
        let mut at = 0;
        while at < self.capacity {
            let length = zeros.len().min((self.capacity - at) as usize);
            self.file.write_at(at, &zeros[..length])?;
            at += length as u64;
        }
        self.file.sync_data()
    }

    pub(crate) fn unfilled(disk: &dyn Disk, number: u32, capacity: u64) -> io::Result<Segment> {
        let file = disk.open(&file_name(number))?;
        // what a hold reserves for its settlement must be there when the disk is full
        file.set_size(0)
            .and_then(|()| file.allocate(capacity))
            .inspect_err(|_| forget(disk, number))?;
        Ok(Segment {
            number,
            first_sequence: 0,
            file,
            end: SEGMENT_HEADER,
            capacity,
        })
    }

    pub(crate) fn begin(&mut self, identity: &Identity, first_sequence: u64) -> io::Result<()> {
        self.first_sequence = first_sequence;
        self.file.write_at(0, &header(identity, first_sequence))
    }
}

/// Takes away what was begun and could not be made: a full disk would gather a file with every try.
fn forget(disk: &dyn Disk, number: u32) {
    let _ = disk.remove(&file_name(number));
}

pub(crate) fn file_name(number: u32) -> String {
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

/// What the head of a segment says.
pub(crate) enum HeaderState {
    /// nothing, or the beginning of a head whose writing was cut off: a spare that was never begun
    Unused,
    Corrupt,
    /// of another data folder, or of the time before a restore
    Foreign,
    Ours {
        first_sequence: u64,
    },
}

pub(crate) fn read_header(
    bytes: &[u8; SEGMENT_HEADER as usize],
    identity: &Identity,
) -> HeaderState {
    if bytes[..8] != *MAGIC || crc32fast::hash(&bytes[..36]).to_le_bytes() != bytes[36..40] {
        // the checksum comes last
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

pub(crate) fn record(sequence: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((RECORD_HEADER + payload.len()).next_multiple_of(ALIGN));
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&synced.to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    bytes
}

/// A sound record as it was found.
pub(crate) struct RawRecord<'a> {
    pub sequence: u64,
    pub synced: u64,
    pub payload: &'a [u8],
    /// with its head and its filling
    pub length: usize,
}

/// The record at an offset, if there is a whole and sound one.
pub(crate) fn read_record(bytes: &[u8], at: usize) -> Option<RawRecord<'_>> {
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
    let whole = (RECORD_HEADER + length).next_multiple_of(ALIGN);
    Some(RawRecord {
        sequence: word(8),
        synced: word(16),
        payload: &body[16..],
        length: whole,
    })
}
