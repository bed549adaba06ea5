//! The ledger's log: numbered records in zero-filled segments `ledger/NNNNNN.log`, each record one `write()`. It knows how
//! far it is written and how far it is synced, finds a torn tail after a crash and tells it from corruption. It must never
//! hand out a number twice, nor append after bytes that a failed append may have left.

use std::io;
use std::sync::Arc;

use crate::domain::event::Event;
use crate::store::codec::Stored;
use crate::store::disk::{Disk, DiskFile};
use crate::store::table::Identity;
use crate::store::{Options, StoreError};

const FOLDER: &str = "ledger";
const MAGIC: &[u8; 8] = b"GKLEDGR1";
const SEGMENT_HEADER: u64 = 64;
/// length, checksum, sequence, highest sequence known to be synced
const RECORD_HEADER: usize = 24;
/// Records start at multiples of this, so that a scan past damage finds them.
const ALIGN: usize = 8;
pub(super) const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Why the log cannot be used. Nothing has been written when one of these is returned by `open`.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("ledger log: {0}")]
    Io(#[from] io::Error),
    #[error(
        "{segment} is damaged at byte {offset}: record {sequence} was on disk and is unreadable. Restore a backup, or accept the loss of \
         the records from there on that are not in gatekeeper.redb: mv {segment} {segment}.damaged"
    )]
    Corrupt { segment: String, offset: u64, sequence: u64 },
    #[error(
        "{segment} belongs to another data folder or to the time before a restore; move it away: mv {segment} {segment}.foreign"
    )]
    Foreign { segment: String },
    #[error("the ledger log begins at record {found}, but gatekeeper.redb ends at {applied}: a segment is missing; put it back")]
    Gap { applied: u64, found: u64 },
    #[error("{segment}, record {sequence}: {reason}")]
    Unreadable { segment: String, sequence: u64, reason: String },
}

/// What `open` read: the records after `applied`, and what it put right.
#[derive(Default)]
pub(super) struct Replay {
    pub events: Vec<(u64, Arc<Event>)>,
    pub remarks: Vec<String>,
}

pub(super) struct Segment {
    number: u32,
    file: Arc<dyn DiskFile>,
    /// where the next record goes
    end: u64,
    capacity: u64,
}

struct Sealed {
    number: u32,
    last_sequence: u64,
}

pub(super) struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    identity: Identity,
    active: Segment,
    /// zero-filled and waiting, so that rolling over costs nothing
    ready: Option<Segment>,
    /// never given out twice: two hands may be making a segment at the same time
    next_number: u32,
    sealed: Vec<Sealed>,
    /// files before the active one whose records are not yet synced
    unsynced_files: Vec<Arc<dyn DiskFile>>,
    written: u64,
    synced: u64,
    /// bytes after `active.end` that a failed append may have left
    torn: u64,
    distrusted: bool,
}

impl Log {
    /// Reads what is there from `identity.applied` on.
    pub(super) fn open(options: &Options, identity: &Identity) -> Result<(Log, Replay), StoreError> {
        let found = scan(options.disk.as_ref(), identity)?;
        let mut replay = found.replay;
        let next = found.last_sequence.max(identity.applied) + 1;
        let number = found.segments.last().map_or(1, |segment| segment.number + 1);
        let (mut sealed, active) = match found.tail {
            // the log ends where the books end or later: go on in its last segment
            Some(tail) if found.last_sequence >= identity.applied => (found.segments, tail),
            tail => {
                if identity.applied > 0 {
                    replay.remarks.push(format!(
                        "the ledger log ends at record {}, the books at {}: a new segment begins at {next}",
                        found.last_sequence, identity.applied
                    ));
                }
                let fresh = Segment::create(options.disk.as_ref(), number, options.segment_bytes).map_err(LogError::Io)?;
                fresh.begin(identity, next).map_err(LogError::Io)?;
                drop(tail);
                (found.segments, fresh)
            }
        };
        sealed.retain(|segment| segment.number != active.number);
        let log = Log {
            disk: options.disk.clone(),
            segment_bytes: options.segment_bytes,
            identity: *identity,
            next_number: active.number + 1,
            active,
            ready: None,
            sealed,
            unsynced_files: Vec::new(),
            written: next - 1,
            // what survived the restart may still be in the page cache only
            synced: identity.applied,
            torn: 0,
            distrusted: false,
        };
        Ok((log, replay))
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// Bytes that can still be appended without making a new file.
    pub(super) fn room(&self) -> u64 {
        let spare = self.ready.as_ref().map_or(0, |ready| ready.capacity - SEGMENT_HEADER);
        (self.active.capacity - self.active.end).saturating_add(spare)
    }

    /// Appends one record in one write. On an error nothing is appended, and what the failed write may have left is
    /// wiped before anything else is written.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<u64> {
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
            self.active.file.write_at(self.active.end, &vec![0; self.torn as usize])?;
            self.torn = 0;
        }
        Ok(())
    }

    /// Goes on in the next segment, which begins with `first_sequence`.
    fn roll(&mut self, first_sequence: u64) -> io::Result<()> {
        self.wipe_torn()?;
        self.make_ready()?;
        let Some(next) = self.ready.take() else { return Err(io::Error::other("no segment is ready")) };
        next.begin(&self.identity, first_sequence)?;
        let old = std::mem::replace(&mut self.active, next);
        self.sealed.push(Sealed { number: old.number, last_sequence: first_sequence - 1 });
        self.unsynced_files.push(old.file);
        Ok(())
    }

    /// The files to sync, and the record up to which everything is synced once that is done.
    pub(super) fn unsynced(&self) -> (Vec<Arc<dyn DiskFile>>, u64) {
        let mut files = self.unsynced_files.clone();
        files.push(self.active.file.clone());
        (files, self.written)
    }

    pub(super) fn mark_synced(&mut self, sequence: u64, files: usize) {
        self.synced = self.synced.max(sequence);
        // all but the last of the files that were synced will see no further record
        self.unsynced_files.drain(..files.saturating_sub(1).min(self.unsynced_files.len()));
    }

    /// After a failed sync: what is not known to be on disk is written again into a new segment; the file that failed
    /// is never trusted again. If that fails too, the log is as it was, and is distrusted until it succeeds.
    pub(super) fn write_again<'a>(&mut self, payloads: impl Iterator<Item = (u64, &'a [u8])>) -> io::Result<()> {
        self.distrusted = true;
        let first = self.synced + 1;
        let records: Vec<Vec<u8>> =
            payloads.filter(|(sequence, _)| *sequence >= first).map(|(at, payload)| record(at, self.synced, payload)).collect();
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
        self.sealed.push(Sealed { number: old.number, last_sequence: first - 1 });
        self.unsynced_files.clear();
        self.torn = 0;
        self.distrusted = false;
        Ok(())
    }

    /// A new segment with these records. Its head is written last: without one it is a spare that nobody misses.
    fn written_whole(&self, number: u32, records: &[Vec<u8>], first: u64) -> io::Result<Segment> {
        let bytes: usize = records.iter().map(Vec::len).sum();
        let capacity = self.segment_bytes.max(SEGMENT_HEADER + bytes as u64);
        let mut segment = Segment::sparse(self.disk.as_ref(), number, capacity)?;
        for record in records {
            segment.file.write_at(segment.end, record)?;
            segment.end += record.len() as u64;
        }
        segment.begin(&self.identity, first)?;
        Ok(segment)
    }

    /// A sync has failed, and what it did not cover is not written again yet.
    pub(super) fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    /// The number for a segment to prepare, once the active one is half full and none waits.
    pub(super) fn wants_ready(&mut self) -> Option<u32> {
        let wanted = self.ready.is_none() && self.active.end * 2 > self.active.capacity;
        wanted.then(|| self.take_number())
    }

    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Makes the next segment at once, without filling it: the writer was too slow to prepare one.
    pub(super) fn make_ready(&mut self) -> io::Result<()> {
        if self.ready.is_none() {
            let number = self.take_number();
            self.ready = Some(Segment::sparse(self.disk.as_ref(), number, self.segment_bytes)?);
        }
        Ok(())
    }

    /// Takes a prepared segment; hands back the name of one that came too late, to be removed.
    pub(super) fn put_ready(&mut self, segment: Segment) -> Option<String> {
        if self.ready.is_some() || segment.number < self.active.number {
            return Some(file_name(segment.number));
        }
        self.ready = Some(segment);
        None
    }

    /// Names of the segments that the books have overtaken, and forgets them.
    pub(super) fn retire(&mut self, applied: u64) -> Vec<String> {
        let (gone, kept): (Vec<Sealed>, Vec<Sealed>) =
            std::mem::take(&mut self.sealed).into_iter().partition(|segment| segment.last_sequence <= applied);
        self.sealed = kept;
        gone.into_iter().map(|segment| file_name(segment.number)).collect()
    }
}

impl Segment {
    /// A zero-filled file: its blocks are allocated, so that a sync has no metadata to write.
    pub(super) fn create(disk: &dyn Disk, number: u32, capacity: u64) -> io::Result<Segment> {
        let segment = Segment::sparse(disk, number, capacity)?;
        // page by page: the kernel keeps what one large write brought as one large folio, and every small write into it
        // would then walk all its blocks (measured: 6 µs of 31 in the kernel for a request's two records)
        let zeros = [0u8; 4096];
        let mut at = 0;
        while at < capacity {
            let length = zeros.len().min((capacity - at) as usize);
            segment.file.write_at(at, &zeros[..length])?;
            at += length as u64;
        }
        segment.file.sync_data()?;
        disk.sync_folder(FOLDER)?;
        Ok(segment)
    }

    fn sparse(disk: &dyn Disk, number: u32, capacity: u64) -> io::Result<Segment> {
        let file = disk.open(&file_name(number))?;
        file.set_size(0)?;
        file.set_size(capacity)?;
        Ok(Segment { number, file, end: SEGMENT_HEADER, capacity })
    }

    fn begin(&self, identity: &Identity, first_sequence: u64) -> io::Result<()> {
        self.file.write_at(0, &header(identity, first_sequence))
    }
}

fn file_name(number: u32) -> String {
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

fn record(sequence: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
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

struct Read<'a> {
    sequence: u64,
    synced: u64,
    payload: &'a [u8],
    length: usize,
}

/// The record at an offset, if there is a whole and sound one.
fn read_record(bytes: &[u8], at: usize) -> Option<Read<'_>> {
    let head = bytes.get(at..at + RECORD_HEADER)?;
    let word = |from: usize| u64::from_le_bytes(head[from..from + 8].try_into().unwrap_or_default());
    let length = word(0) as u32 as usize;
    if length == 0 || length > RECORD_BYTES_MAX {
        return None;
    }
    let body = bytes.get(at + 8..at + RECORD_HEADER + length)?;
    if crc32fast::hash(body) != (word(0) >> 32) as u32 {
        return None;
    }
    let whole = (RECORD_HEADER + length).next_multiple_of(ALIGN);
    Some(Read { sequence: word(8), synced: word(16), payload: &body[16..], length: whole })
}

/// What the folder holds, read once from start to end.
struct Found {
    segments: Vec<Sealed>,
    tail: Option<Segment>,
    last_sequence: u64,
    replay: Replay,
}

struct Header {
    number: u32,
    name: String,
    first_sequence: u64,
}

fn scan(disk: &dyn Disk, identity: &Identity) -> Result<Found, LogError> {
    let headers = headers(disk, identity)?;
    let mut found = Found { segments: Vec::new(), tail: None, last_sequence: 0, replay: Replay::default() };
    let Some(first) = headers.first() else { return Ok(found) };
    if first.first_sequence > identity.applied + 1 {
        return Err(LogError::Gap { applied: identity.applied, found: first.first_sequence });
    }
    let mut expected = first.first_sequence;
    let mut highest_synced = identity.applied;
    for (position, header) in headers.iter().enumerate() {
        let next = headers.get(position + 1);
        let file = disk.open(&header.name)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(0, &mut bytes)?;
        let mut at = SEGMENT_HEADER as usize;
        while let Some(read) = read_record(&bytes, at).filter(|read| read.sequence == expected) {
            // a later segment that begins at or before this record was written because this file's sync failed
            if next.is_some_and(|next| read.sequence >= next.first_sequence) {
                break;
            }
            highest_synced = highest_synced.max(read.synced);
            if read.sequence > identity.applied {
                let event = Event::decode(read.payload).map_err(|error| LogError::Unreadable {
                    segment: header.name.clone(),
                    sequence: expected,
                    reason: error.to_string(),
                })?;
                found.replay.events.push((expected, Arc::new(event)));
            }
            expected += 1;
            at += read.length;
        }
        found.last_sequence = expected - 1;
        match next {
            Some(next) if next.first_sequence == expected => {
                found.segments.push(Sealed { number: header.number, last_sequence: expected - 1 });
            }
            _ => {
                let later = &headers[position + 1..];
                highest_synced = highest_synced.max(synced_beyond(disk, &bytes, at, later)?);
                if expected <= highest_synced {
                    let (segment, offset) = (header.name.clone(), at as u64);
                    return Err(LogError::Corrupt { segment, offset, sequence: expected });
                }
                cut(disk, file.as_ref(), &header.name, &bytes, at, later, &mut found.replay.remarks)?;
                found.segments.push(Sealed { number: header.number, last_sequence: expected - 1 });
                let capacity = bytes.len() as u64;
                found.tail = Some(Segment { number: header.number, file, end: at as u64, capacity });
                break;
            }
        }
    }
    Ok(found)
}

/// The heads of all segments in order; empty spares are removed.
fn headers(disk: &dyn Disk, identity: &Identity) -> Result<Vec<Header>, LogError> {
    let mut headers = Vec::new();
    for name in disk.names(FOLDER)? {
        let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse().ok()) else { continue };
        let path = format!("{FOLDER}/{name}");
        let file = disk.open(&path)?;
        let mut bytes = [0; SEGMENT_HEADER as usize];
        if file.size()? >= SEGMENT_HEADER {
            file.read_at(0, &mut bytes)?;
        }
        if bytes.iter().all(|byte| *byte == 0) {
            disk.remove(&path)?;
            continue;
        }
        let first_sequence = u64::from_le_bytes(bytes[28..36].try_into().unwrap_or_default());
        let sound = bytes[..8] == *MAGIC && crc32fast::hash(&bytes[..36]).to_le_bytes() == bytes[36..40];
        if !sound {
            return Err(LogError::Corrupt { segment: path, offset: 0, sequence: identity.applied + 1 });
        }
        if bytes[8..24] != identity.instance || bytes[24..28] != identity.generation.to_le_bytes() {
            return Err(LogError::Foreign { segment: path });
        }
        headers.push(Header { number, name: path, first_sequence });
    }
    headers.sort_by_key(|header| header.number);
    Ok(headers)
}

/// The highest synced mark in any sound record past an unreadable place: what it covers was on disk once.
fn synced_beyond(disk: &dyn Disk, bytes: &[u8], at: usize, later: &[Header]) -> Result<u64, LogError> {
    let mut highest = highest_mark(bytes, at);
    for header in later {
        let file = disk.open(&header.name)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(0, &mut bytes)?;
        highest = highest.max(highest_mark(&bytes, SEGMENT_HEADER as usize));
    }
    Ok(highest)
}

fn highest_mark(bytes: &[u8], from: usize) -> u64 {
    let mut highest = 0;
    let mut at = from;
    while at + RECORD_HEADER <= bytes.len() {
        match read_record(bytes, at) {
            Some(read) => {
                highest = highest.max(read.synced);
                at += read.length;
            }
            None => at += ALIGN,
        }
    }
    highest
}

/// Cuts a torn tail: zeroes what follows the last sound record and removes later segments, none of which was ever known
/// to be on disk.
fn cut(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    name: &str,
    bytes: &[u8],
    at: usize,
    later: &[Header],
    remarks: &mut Vec<String>,
) -> Result<(), LogError> {
    if let Some(last) = bytes[at..].iter().rposition(|byte| *byte != 0) {
        file.write_at(at as u64, &vec![0; last + 1])?;
        file.sync_data()?;
        remarks.push(format!("{name}: a torn tail of {} bytes at byte {at} was cut; it had never been synced", last + 1));
    }
    for header in later {
        disk.remove(&header.name)?;
        remarks.push(format!("{}: removed; nothing in it had ever been synced", header.name));
    }
    Ok(())
}
