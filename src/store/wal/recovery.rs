//! Recovery scan of the log: returns the records that the books lack, and the position at which appending continues. A torn tail is
//! truncated; it differs from corruption by the synced marks in the records: a record at or below such a mark must be readable. Marks
//! in skipped files count too, so a segment whose header was lost is not mistaken for an unused one. On an error nothing is written.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::event::LedgerEvent;
use crate::store::codec::StoredValue;
use crate::store::disk::{Disk, DiskFile};
use crate::store::identity::Identity;
use crate::store::wal::error::WalError;
use crate::store::wal::open_subjects::OpenSubjects;
use crate::store::wal::segment::{
    ALIGN, FOLDER, HeaderState, RECORD_HEADER, SEGMENT_HEADER, Segment, read_header,
};
use crate::store::wal::segment_window::{HighMarks, PART, SegmentWindow};

/// Result for the caller of `open`: the records after `applied`, and remarks on repairs for the start log.
#[derive(Default)]
pub(in crate::store) struct Replay {
    pub events: Vec<(u64, Arc<LedgerEvent>)>,
    pub remarks: Vec<String>,
}

/// Segment that takes no further record.
pub(in crate::store) struct ClosedSegment {
    pub number: u32,
    pub last_sequence: u64,
}

/// File that may be in the page cache only.
pub(in crate::store) struct UnverifiedFile {
    file: Arc<dyn DiskFile>,
    /// byte range of the records that the books lack
    records: Range<usize>,
}

impl UnverifiedFile {
    /// Writes the bytes read from the file once more and returns the file for the next fsync. After a failed fsync of an earlier
    /// process the pages are clean but not durable, and no later fsync would write them.
    pub(in crate::store) fn rewrite(self) -> io::Result<Arc<dyn DiskFile>> {
        // the size may be in memory only, like the bytes
        self.file.set_size(self.file.size()?)?;
        let records = self.records.clone().step_by(PART);
        let records = records.map(|from| from..self.records.end.min(from + PART));
        for part in std::iter::once(0..SEGMENT_HEADER as usize).chain(records) {
            let mut bytes = vec![0; part.len()];
            self.file.read_at(part.start as u64, &mut bytes)?;
            self.file.write_at(part.start as u64, &bytes)?;
        }
        Ok(self.file)
    }
}

/// Content of the log folder, read once from start to end.
pub(in crate::store) struct ScanResult {
    pub segments: Vec<ClosedSegment>,
    /// segment to continue; `None`: a new one must begin
    pub tail: Option<Segment>,
    pub last_sequence: u64,
    /// files with records that the books lack, the tail last: never synced, or by an fsync that may have failed
    pub unverified: Vec<UnverifiedFile>,
    /// files without a header: never used, or nothing in them was ever synced
    pub unused: Vec<String>,
    pub replay: Replay,
}

struct Header {
    number: u32,
    name: String,
    first_sequence: u64,
    /// end of the records to read from it: a later segment holds this one
    until: u64,
}

/// File that is not read in order: it has no header, or its records are in the books or in a later segment.
struct SkippedSegment {
    number: u32,
    name: String,
    marks: HighMarks,
}

/// State of the scan across segments.
struct Reader<'a> {
    disk: &'a dyn Disk,
    applied: u64,
    expected: u64,
    /// highest synced mark found anywhere
    highest_synced: u64,
    skipped: Vec<SkippedSegment>,
    subjects: OpenSubjects,
    result: ScanResult,
}

/// Result of reading one segment.
enum ScanStep {
    /// complete; the next one continues
    Next,
    /// end of the log; `None`: a new segment must begin
    Tail(Option<Segment>),
}

/// Reads the log folder; `identity.applied` is the last record in the books.
pub(in crate::store) fn scan(disk: &dyn Disk, identity: &Identity) -> Result<ScanResult, WalError> {
    let applied = identity.applied;
    let mut result = ScanResult {
        segments: Vec::new(),
        tail: None,
        last_sequence: 0,
        unverified: Vec::new(),
        unused: Vec::new(),
        replay: Replay::default(),
    };
    let mut headless = Vec::new();
    let (headers, overtaken) = select(
        headers(disk, identity, &mut headless)?,
        applied,
        &mut result.segments,
    );
    result
        .unused
        .extend(headless.iter().map(|(_, name)| name.clone()));
    let mut skipped = Vec::new();
    for (number, name) in headless.into_iter().chain(overtaken) {
        let marks = marks_of(disk, &name)?;
        skipped.push(SkippedSegment {
            number,
            name,
            marks,
        });
    }
    let highest_synced = skipped
        .iter()
        .map(|file| file.marks.synced)
        .fold(applied, u64::max);
    let mut reader = Reader {
        disk,
        applied,
        expected: applied + 1,
        highest_synced,
        skipped,
        subjects: OpenSubjects::default(),
        result,
    };
    match headers.first() {
        Some(first) if first.first_sequence <= applied + 1 => {
            reader.read(first.first_sequence, &headers)?
        }
        None if highest_synced <= applied => {}
        first => return Err(reader.missing(first)?),
    }
    reader.remark_unused();
    Ok(reader.result)
}

/// Splits segments into those to read and the others, which are listed in `others`. A posted segment may not be removed yet, or a power
/// cut may have undone the removal; and after a failed fsync a later segment repeats the records.
fn select(
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
                self.result.tail = tail;
                break;
            }
        }
        self.result.last_sequence = self.expected - 1;
        Ok(())
    }

    fn segment(&mut self, header: &Header, later: &[Header]) -> Result<ScanStep, WalError> {
        let file = self.disk.open(&header.name)?;
        let holes = file.holes()?;
        let mut window = SegmentWindow::new(file.as_ref())?;
        let records = self.records(header, &mut window)?;
        let at = records.end;
        self.result.segments.push(ClosedSegment {
            number: header.number,
            last_sequence: self.expected - 1,
        });
        if self.expected == header.until {
            if self.expected > self.applied + 1 {
                self.result
                    .unverified
                    .push(UnverifiedFile { file, records });
            }
            return Ok(ScanStep::Next);
        }
        let last_nonzero = window.last_nonzero(at)?;
        let beyond = last_nonzero.map(|_| at);
        let synced_beyond = synced_beyond(self.disk, &mut window, beyond, later)?;
        if self.expected <= self.highest_synced.max(synced_beyond) {
            let ends_cleanly = last_nonzero.is_none();
            if ends_cleanly && later.is_empty() && self.highest_synced == self.applied {
                // everything that was in this log is in the books
                return Ok(ScanStep::Tail(None));
            }
            let damaged = if ends_cleanly { self.holder() } else { None };
            let (number, name, at) = damaged.map_or((header.number, &header.name, at), |file| {
                (file.number, &file.name, 0)
            });
            return Err(self.corrupt(number, name, at)?);
        }
        truncate(
            self.disk,
            file.as_ref(),
            &header.name,
            at..last_nonzero.map_or(at, |last| last + 1),
            later,
            &mut self.result.replay.remarks,
        )?;
        let capacity = window.size() as u64;
        self.result.unverified.push(UnverifiedFile {
            file: file.clone(),
            records,
        });
        Ok(ScanStep::Tail(Some(Segment {
            number: header.number,
            first_sequence: header.first_sequence,
            file,
            end: at as u64,
            capacity,
            holes,
            mapping: None,
            mapped_at: 0,
        })))
    }

    /// Error for a log without a segment that continues the books: its header was lost, or the file is gone.
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

    /// First skipped file that may hold the expected record: it holds that one or a later one.
    fn holder(&self) -> Option<&SkippedSegment> {
        self.skipped
            .iter()
            .filter(|file| file.marks.sequence >= self.expected)
            .min_by_key(|file| file.number)
    }

    fn corrupt(&self, number: u32, name: &str, at: usize) -> Result<WalError, WalError> {
        let (segment, repair) = (name.to_owned(), repair_command(self.disk, number)?);
        Ok(WalError::Corrupt {
            segment,
            offset: at as u64,
            sequence: self.expected,
            repair,
        })
    }

    /// Adds a remark for each removed file that held records not read elsewhere: its header was not durable, so none of its records
    /// was ever acknowledged as durable.
    fn remark_unused(&mut self) {
        let read = self.result.last_sequence.max(self.applied);
        for file in self
            .skipped
            .iter()
            .filter(|file| self.result.unused.contains(&file.name) && file.marks.sequence > read)
        {
            let remark = format!(
                "{}: removed; it has no header, and nothing in it had ever been synced",
                file.name
            );
            self.result.replay.remarks.push(remark);
        }
    }

    /// Reads intact records in order; returns the byte range of those that the books lack.
    fn records(
        &mut self,
        header: &Header,
        window: &mut SegmentWindow<'_>,
    ) -> Result<Range<usize>, WalError> {
        let mut at = SEGMENT_HEADER as usize;
        let mut from = at;
        while self.expected < header.until {
            let read = window.record(at)?;
            let Some(read) = read.filter(|read| read.sequence == self.expected) else {
                break;
            };
            self.highest_synced = self.highest_synced.max(read.synced);
            if read.sequence > self.applied {
                let mut event =
                    LedgerEvent::decode(read.payload).map_err(|error| WalError::Unreadable {
                        segment: header.name.clone(),
                        sequence: read.sequence,
                        reason: error.to_string(),
                    })?;
                self.subjects.share(&mut event);
                self.result
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

/// Shell command that moves a segment and all later ones away: without the first, the later ones would follow a gap.
fn repair_command(disk: &dyn Disk, from: u32) -> Result<String, WalError> {
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

/// Headers of all segments in order; files without one are added to `headless`.
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
                let (sequence, repair) = (identity.applied + 1, repair_command(disk, number)?);
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

/// Highest synced mark in any intact record after an unreadable offset, if anything follows it: what it covers was durable once.
fn synced_beyond(
    disk: &dyn Disk,
    window: &mut SegmentWindow<'_>,
    at: Option<usize>,
    later: &[Header],
) -> Result<u64, WalError> {
    let mut highest = match at {
        Some(at) => window.high_marks(at)?.synced,
        None => 0,
    };
    for header in later {
        highest = highest.max(marks_of(disk, &header.name)?.synced);
    }
    Ok(highest)
}

fn marks_of(disk: &dyn Disk, name: &str) -> Result<HighMarks, WalError> {
    let file = disk.open(name)?;
    let mut window = SegmentWindow::new(file.as_ref())?;
    Ok(window.high_marks(SEGMENT_HEADER as usize)?)
}

/// Intact records of one file of this instance and generation, wherever they are; none of a foreign or unused file.
pub(in crate::store) fn intact_events(
    disk: &dyn Disk,
    name: &str,
    identity: &Identity,
) -> Result<Vec<(u64, Arc<LedgerEvent>)>, io::Error> {
    let file = disk.open(name)?;
    let mut window = SegmentWindow::new(file.as_ref())?;
    let mut events = Vec::new();
    let mut head = [0; SEGMENT_HEADER as usize];
    if window.size() < head.len() {
        return Ok(events);
    }
    file.read_at(0, &mut head)?;
    if !matches!(read_header(&head, identity), HeaderState::Ours { .. }) {
        return Ok(events);
    }
    let mut at = SEGMENT_HEADER as usize;
    while at + RECORD_HEADER <= window.size() {
        let Some(read) = window.record(at)? else {
            at += ALIGN;
            continue;
        };
        at += read.length;
        if let Ok(event) = LedgerEvent::decode(read.payload) {
            events.push((read.sequence, Arc::new(event)));
        }
    }
    Ok(events)
}

/// Truncates a torn tail: zeroes the bytes after the last intact record and removes later segments, none of which was ever durable.
fn truncate(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    name: &str,
    torn: Range<usize>,
    later: &[Header],
    remarks: &mut Vec<String>,
) -> Result<(), WalError> {
    if !torn.is_empty() {
        for at in torn.clone().step_by(PART) {
            let zeros = vec![0; PART.min(torn.end - at)];
            file.write_at(at as u64, &zeros)?;
        }
        file.sync_data()?;
        remarks.push(format!(
            "{name}: a torn tail of {} bytes at byte {} was cut; it had never been synced",
            torn.len(),
            torn.start
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
        // a removed segment restored by a power cut would replace the records written from now on
        disk.sync_folder(FOLDER)?;
    }
    Ok(())
}
