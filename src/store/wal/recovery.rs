//! Reading the ledger's log after a start: the records that the books do not have yet, up to where it ends. A torn tail is
//! cut, which is told from corruption by the marks in the records: what one of them says was synced must be there. That holds
//! for marks in files that are not read as well: a head that was lost makes no spare of a segment.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::event::LedgerEvent;
use crate::store::books::tables::Identity;
use crate::store::codec::Stored;
use crate::store::disk::{Disk, DiskFile};
use crate::store::wal::file::WalError;
use crate::store::wal::segment::{
    ALIGN, FOLDER, HeaderState, RECORD_HEADER, SEGMENT_HEADER, Segment, read_header, read_record,
};

/// What `open` read: the records after `applied`, and what it put right.
#[derive(Default)]
pub(crate) struct Replay {
    pub events: Vec<(u64, Arc<LedgerEvent>)>,
    pub remarks: Vec<String>,
}

/// A segment that sees no further record.
pub(crate) struct ClosedSegment {
    pub number: u32,
    pub last_sequence: u64,
}

/// A file that may be in memory only.
pub(crate) struct UnverifiedFile {
    file: Arc<dyn DiskFile>,
    /// from the first record that the books lack to the end of the last
    records: Range<usize>,
}

impl UnverifiedFile {
    /// Writes what was read from it once more, and hands it over to be synced. An earlier process may have met a failed sync
    /// and died: what it had written is still read, and yet no sync would bring it to the disk.
    pub(crate) fn written_again(self) -> io::Result<Arc<dyn DiskFile>> {
        // its size may be in memory only, like its bytes
        self.file.set_size(self.file.size()?)?;
        for part in [0..SEGMENT_HEADER as usize, self.records] {
            let mut bytes = vec![0; part.len()];
            self.file.read_at(part.start as u64, &mut bytes)?;
            self.file.write_at(part.start as u64, &bytes)?;
        }
        Ok(self.file)
    }
}

/// What the folder holds, read once from start to end.
pub(crate) struct ScanResult {
    pub segments: Vec<ClosedSegment>,
    /// where the log goes on; `None`: a new segment must begin
    pub tail: Option<Segment>,
    pub last_sequence: u64,
    /// files with records that the books lack, and the tail's, in order: perhaps never synced, or by a sync that failed
    pub doubtful: Vec<UnverifiedFile>,
    /// files that have no head: never begun, or nothing in them was ever synced
    pub spares: Vec<String>,
    pub replay: Replay,
}

struct Header {
    number: u32,
    name: String,
    first_sequence: u64,
    /// the first record that is not looked for in it: a later segment has it
    until: u64,
}

/// A file that is not read in its turn: it has no head, or the books or a later segment have overtaken it.
struct SkippedSegment {
    number: u32,
    name: String,
    /// what stands in it all the same
    traces: HighMarks,
}

/// The highest of what sound records say, wherever they stand.
#[derive(Clone, Copy, Default)]
struct HighMarks {
    sequence: u64,
    synced: u64,
}

/// What reading needs to know from segment to segment.
struct Reader<'a> {
    disk: &'a dyn Disk,
    applied: u64,
    expected: u64,
    /// the highest record of which anything says that it was on disk
    highest_synced: u64,
    aside: Vec<SkippedSegment>,
    found: ScanResult,
}

/// How the reading of a segment ended.
enum ScanStep {
    /// at its end, where the next one begins
    Next,
    /// the log goes on here, or cannot
    Tail(Option<Segment>),
}

pub(crate) fn scan(disk: &dyn Disk, identity: &Identity) -> Result<ScanResult, WalError> {
    let applied = identity.applied;
    let mut found = ScanResult {
        segments: Vec::new(),
        tail: None,
        last_sequence: 0,
        doubtful: Vec::new(),
        spares: Vec::new(),
        replay: Replay::default(),
    };
    let mut headless = Vec::new();
    let (headers, overtaken) = needed(
        headers(disk, identity, &mut headless)?,
        applied,
        &mut found.segments,
    );
    found
        .spares
        .extend(headless.iter().map(|(_, name)| name.clone()));
    let mut aside = Vec::new();
    for (number, name) in headless.into_iter().chain(overtaken) {
        let (_, bytes) = whole(disk, &name)?;
        let traces = traces(&bytes, SEGMENT_HEADER as usize);
        aside.push(SkippedSegment {
            number,
            name,
            traces,
        });
    }
    let highest_synced = aside
        .iter()
        .map(|file| file.traces.synced)
        .fold(applied, u64::max);
    let mut reader = Reader {
        disk,
        applied,
        expected: applied + 1,
        highest_synced,
        aside,
        found,
    };
    match headers.first() {
        Some(first) if first.first_sequence <= applied + 1 => {
            reader.read(first.first_sequence, &headers)?
        }
        None if highest_synced <= applied => {}
        first => return Err(reader.missing(first)?),
    }
    reader.remark_headless();
    Ok(reader.found)
}

/// Leaves those whose records are looked for. The books may have overtaken a segment that was not removed yet, or whose
/// removal a power cut undid; and what a failed sync did not cover was written again, from there on, to a later one.
fn needed(
    mut headers: Vec<Header>,
    applied: u64,
    others: &mut Vec<ClosedSegment>,
) -> (Vec<Header>, Vec<(u32, String)>) {
    let mut until = u64::MAX;
    for header in headers.iter_mut().rev() {
        header.until = until;
        until = until.min(header.first_sequence);
    }
    let is_needed =
        |header: &Header| header.first_sequence < header.until && header.until > applied + 1;
    let (needed, overtaken): (Vec<Header>, Vec<Header>) = headers.into_iter().partition(is_needed);
    others.extend(overtaken.iter().map(|header| ClosedSegment {
        number: header.number,
        last_sequence: header.until - 1,
    }));
    (
        needed,
        overtaken
            .into_iter()
            .map(|header| (header.number, header.name))
            .collect(),
    )
}

impl Reader<'_> {
    fn read(&mut self, from: u64, headers: &[Header]) -> Result<(), WalError> {
        self.expected = from;
        for (position, header) in headers.iter().enumerate() {
            if let ScanStep::Tail(tail) = self.segment(header, &headers[position + 1..])? {
                self.found.tail = tail;
                break;
            }
        }
        self.found.last_sequence = self.expected - 1;
        Ok(())
    }

    fn segment(&mut self, header: &Header, later: &[Header]) -> Result<ScanStep, WalError> {
        let (file, bytes) = whole(self.disk, &header.name)?;
        let records = self.records(header, &bytes)?;
        let at = records.end;
        self.found.segments.push(ClosedSegment {
            number: header.number,
            last_sequence: self.expected - 1,
        });
        if self.expected == header.until {
            if self.expected > self.applied + 1 {
                self.found.doubtful.push(UnverifiedFile { file, records });
            }
            return Ok(ScanStep::Next);
        }
        let synced_beyond = synced_beyond(self.disk, &bytes, at, later)?;
        if self.expected <= self.highest_synced.max(synced_beyond) {
            let ends_cleanly = bytes[at..].iter().all(|byte| *byte == 0);
            if ends_cleanly && later.is_empty() && self.highest_synced == self.applied {
                // only the books go on: nothing that was in this log is missing from them
                return Ok(ScanStep::Tail(None));
            }
            let damaged = if ends_cleanly { self.holder() } else { None };
            let (number, name, at) = damaged.map_or((header.number, &header.name, at), |file| {
                (file.number, &file.name, 0)
            });
            return Err(self.corrupt(number, name, at)?);
        }
        cut(
            self.disk,
            file.as_ref(),
            &header.name,
            &bytes,
            at,
            later,
            &mut self.found.replay.remarks,
        )?;
        let capacity = bytes.len() as u64;
        self.found.doubtful.push(UnverifiedFile {
            file: file.clone(),
            records,
        });
        Ok(ScanStep::Tail(Some(Segment {
            number: header.number,
            first_sequence: header.first_sequence,
            file,
            end: at as u64,
            capacity,
        })))
    }

    /// No file goes on where the books end: one that did has lost its head, or is gone.
    fn missing(&self, first: Option<&Header>) -> Result<WalError, WalError> {
        let found = first.map_or(self.highest_synced, |first| first.first_sequence);
        match self.holder() {
            Some(file) => self.corrupt(file.number, &file.name, 0),
            None => Ok(WalError::Gap {
                applied: self.applied,
                found,
            }),
        }
    }

    /// The first of the files set aside in which the next record may stand: it holds that one or a later one.
    fn holder(&self) -> Option<&SkippedSegment> {
        self.aside
            .iter()
            .filter(|file| file.traces.sequence >= self.expected)
            .min_by_key(|file| file.number)
    }

    fn corrupt(&self, number: u32, name: &str, at: usize) -> Result<WalError, WalError> {
        let (segment, repair) = (name.to_owned(), moving_away(self.disk, number)?);
        Ok(WalError::Corrupt {
            segment,
            offset: at as u64,
            sequence: self.expected,
            repair,
        })
    }

    /// Says of what a power cut took before its first sync that it is gone: its head was not on disk, so no record in it was
    /// ever promised to be. What of it was read elsewhere is not gone.
    fn remark_headless(&mut self) {
        let read = self.found.last_sequence.max(self.applied);
        for file in self
            .aside
            .iter()
            .filter(|file| self.found.spares.contains(&file.name) && file.traces.sequence > read)
        {
            let remark = format!(
                "{}: removed; it has no head, and nothing in it had ever been synced",
                file.name
            );
            self.found.replay.remarks.push(remark);
        }
    }

    /// Reads sound records in order; returns where those that the books lack begin and end.
    fn records(&mut self, header: &Header, bytes: &[u8]) -> Result<Range<usize>, WalError> {
        let mut at = SEGMENT_HEADER as usize;
        let mut from = at;
        while self.expected < header.until {
            let Some(read) = read_record(bytes, at).filter(|read| read.sequence == self.expected)
            else {
                break;
            };
            self.highest_synced = self.highest_synced.max(read.synced);
            if read.sequence > self.applied {
                let event =
                    LedgerEvent::decode(read.payload).map_err(|error| WalError::Unreadable {
                        segment: header.name.clone(),
                        sequence: read.sequence,
                        reason: error.to_string(),
                    })?;
                self.found
                    .replay
                    .events
                    .push((read.sequence, Arc::new(event)));
            }
            at += read.length;
            if self.expected <= self.applied {
                from = at;
            }
            self.expected += 1;
        }
        Ok(from..at)
    }
}

/// The command that takes a segment and all later ones out of the log: without the first, the others would be a gap.
fn moving_away(disk: &dyn Disk, from: u32) -> Result<String, WalError> {
    let mut moves: Vec<(u32, String)> = Vec::new();
    for name in disk.names(FOLDER)? {
        if let Some(number) = number_of(&name).filter(|number| *number >= from) {
            moves.push((
                number,
                format!("mv {FOLDER}/{name} {FOLDER}/{name}.damaged"),
            ));
        }
    }
    moves.sort();
    Ok(moves
        .into_iter()
        .map(|(_, command)| command)
        .collect::<Vec<_>>()
        .join(" && "))
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(".log")?.parse().ok()
}

/// The heads of all segments in order. The files that have none are named apart.
fn headers(
    disk: &dyn Disk,
    identity: &Identity,
    headless: &mut Vec<(u32, String)>,
) -> Result<Vec<Header>, WalError> {
    let mut headers = Vec::new();
    for name in disk.names(FOLDER)? {
        let Some(number) = number_of(&name) else {
            continue;
        };
        let path = format!("{FOLDER}/{name}");
        let file = disk.open(&path)?;
        let mut bytes = [0; SEGMENT_HEADER as usize];
        if file.size()? >= SEGMENT_HEADER {
            file.read_at(0, &mut bytes)?;
        }
        match read_header(&bytes, identity) {
            HeaderState::Unused => headless.push((number, path)),
            HeaderState::Corrupt => {
                let (sequence, repair) = (identity.applied + 1, moving_away(disk, number)?);
                return Err(WalError::Corrupt {
                    segment: path,
                    offset: 0,
                    sequence,
                    repair,
                });
            }
            HeaderState::Foreign => return Err(WalError::Foreign { segment: path }),
            HeaderState::Ours { first_sequence } => headers.push(Header {
                number,
                name: path,
                first_sequence,
                until: u64::MAX,
            }),
        }
    }
    headers.sort_by_key(|header| header.number);
    Ok(headers)
}

/// The highest synced mark in any sound record past an unreadable place: what it covers was on disk once.
fn synced_beyond(
    disk: &dyn Disk,
    bytes: &[u8],
    at: usize,
    later: &[Header],
) -> Result<u64, WalError> {
    let mut highest = traces(bytes, at).synced;
    for header in later {
        let (_, bytes) = whole(disk, &header.name)?;
        highest = highest.max(traces(&bytes, SEGMENT_HEADER as usize).synced);
    }
    Ok(highest)
}

fn whole(disk: &dyn Disk, name: &str) -> Result<(Arc<dyn DiskFile>, Vec<u8>), WalError> {
    let file = disk.open(name)?;
    let mut bytes = vec![0; file.size()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok((file, bytes))
}

fn traces(bytes: &[u8], from: usize) -> HighMarks {
    let mut highest = HighMarks::default();
    let mut at = from;
    while at + RECORD_HEADER <= bytes.len() {
        match read_record(bytes, at) {
            Some(read) => {
                highest = HighMarks {
                    sequence: highest.sequence.max(read.sequence),
                    synced: highest.synced.max(read.synced),
                };
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
) -> Result<(), WalError> {
    if let Some(last) = bytes[at..].iter().rposition(|byte| *byte != 0) {
        file.write_at(at as u64, &vec![0; last + 1])?;
        file.sync_data()?;
        remarks.push(format!(
            "{name}: a torn tail of {} bytes at byte {at} was cut; it had never been synced",
            last + 1
        ));
    }
    for header in later {
        disk.remove(&header.name)?;
        remarks.push(format!(
            "{}: removed; nothing in it had ever been synced",
            header.name
        ));
    }
    if !later.is_empty() {
        // a power cut that brought one back would put its records in the place of those that are written now
        disk.sync_folder(FOLDER)?;
    }
    Ok(())
}
