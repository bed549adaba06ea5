//! Window over a segment file that is read from front to back: a part of the file is in memory at a time, never the whole file.
//! Offsets are those of the file.

use std::io;

use crate::store::disk::DiskFile;
use crate::store::wal::segment::{ALIGN, RECORD_BYTES_MAX, RECORD_HEADER, RawRecord, read_record};

/// Bytes read, written or zeroed at once; far more than a record.
pub(in crate::store) const PART: usize = 1 << 20;
/// Bytes compared with zero at once: a segment is zeros to its end, and a start reads all of them.
const ZEROS_AT_ONCE: usize = 256;
/// Bytes that the longest record needs.
const RECORD_MAX: usize = RECORD_HEADER + RECORD_BYTES_MAX;

pub(in crate::store) struct SegmentWindow<'a> {
    file: &'a dyn DiskFile,
    size: usize,
    /// offset of the first byte in memory
    from: usize,
    bytes: Vec<u8>,
}

/// Highest numbers in the intact records of a file, at any offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct HighMarks {
    pub sequence: u64,
    pub synced: u64,
}

impl<'a> SegmentWindow<'a> {
    pub(in crate::store) fn new(file: &'a dyn DiskFile) -> io::Result<SegmentWindow<'a>> {
        Ok(SegmentWindow {
            file,
            size: file.size()? as usize,
            from: 0,
            bytes: Vec::new(),
        })
    }

    pub(in crate::store) fn size(&self) -> usize {
        self.size
    }

    /// Returns the record at an offset if it is intact.
    pub(in crate::store) fn record(&mut self, at: usize) -> io::Result<Option<RawRecord<'_>>> {
        let wanted = at.saturating_add(RECORD_MAX).min(self.size);
        if at < self.from || wanted > self.from + self.bytes.len() {
            self.load(at)?;
        }
        Ok(read_record(&self.bytes, at - self.from))
    }

    /// Highest numbers in the intact records after an offset; bytes that are no record are passed over.
    pub(in crate::store) fn high_marks(&mut self, from: usize) -> io::Result<HighMarks> {
        let mut highest = HighMarks::default();
        let mut at = from;
        while at + RECORD_HEADER <= self.size {
            at += match self.record(at)? {
                Some(read) => {
                    highest.sequence = highest.sequence.max(read.sequence);
                    highest.synced = highest.synced.max(read.synced);
                    read.length
                }
                None => self.zeros_at(at).saturating_sub(RECORD_HEADER).max(ALIGN) / ALIGN * ALIGN,
            };
        }
        Ok(highest)
    }

    /// Zero bytes in memory from an offset on. A header has at least one other byte, so a record begins less than a header before it.
    fn zeros_at(&self, at: usize) -> usize {
        let bytes = &self.bytes[at - self.from..];
        let blocks = bytes
            .chunks(ZEROS_AT_ONCE)
            .take_while(|block| is_zero(block));
        let zeros = (blocks.count() * ZEROS_AT_ONCE).min(bytes.len());
        let rest = &bytes[zeros..];
        zeros + rest.iter().take_while(|byte| **byte == 0).count()
    }

    /// Offset of the last byte after `from` that is not zero.
    pub(in crate::store) fn last_nonzero(&mut self, from: usize) -> io::Result<Option<usize>> {
        let mut last = None;
        let mut at = from;
        while at < self.size {
            self.load(at)?;
            let mut blocks = self.bytes.chunks(ZEROS_AT_ONCE).enumerate();
            if let Some((number, block)) = blocks.rfind(|(_, block)| !is_zero(block)) {
                let position = block.iter().rposition(|byte| *byte != 0);
                last = position.map(|position| at + number * ZEROS_AT_ONCE + position);
            }
            at += self.bytes.len();
        }
        Ok(last)
    }

    fn load(&mut self, at: usize) -> io::Result<()> {
        self.from = at;
        self.bytes.resize(PART.min(self.size.saturating_sub(at)), 0);
        self.file.read_at(at as u64, &mut self.bytes)
    }
}

fn is_zero(block: &[u8]) -> bool {
    // without an early end, which would make it a loop over bytes
    block.iter().fold(0, |all, byte| all | byte) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::Disk;
    use crate::store::tests::memory_disk::MemoryDisk;
    use crate::store::wal::segment::record;

    #[test]
    fn record_behind_zeros_is_found_wherever_it_begins() {
        for zeros in (0..3 * ZEROS_AT_ONCE)
            .step_by(ALIGN)
            .chain([PART - ALIGN, PART, PART + ALIGN])
        {
            let disk = MemoryDisk::default();
            let file = disk.open("ledger/000001.log").expect("a file");
            let mut bytes = vec![0; zeros];
            bytes.extend(record(9, 4, &[0, 0, 7]));
            let last = bytes.iter().rposition(|byte| *byte != 0);
            bytes.resize(bytes.len() + 3 * ZEROS_AT_ONCE, 0);
            file.write_at(0, &bytes).expect("written");
            let mut window = SegmentWindow::new(file.as_ref()).expect("a size");
            let marks = window.high_marks(0).expect("readable");
            assert_eq!((marks.sequence, marks.synced), (9, 4), "{zeros} zeros");
            assert_eq!(window.last_nonzero(0).expect("readable"), last);
        }
    }

    /// Records of 60,000 bytes: every part ends within one.
    #[test]
    fn segment_window_returns_the_records_across_the_ends_of_its_parts() {
        let disk = MemoryDisk::default();
        let file = disk.open("ledger/000001.log").expect("a file");
        let mut bytes = Vec::new();
        for sequence in 1..=40 {
            bytes.extend(record(sequence, sequence / 2, &[7; 60_000]));
        }
        let end = bytes.len();
        bytes.resize(end + PART + 12, 0);
        file.write_at(0, &bytes).expect("written");
        let mut window = SegmentWindow::new(file.as_ref()).expect("a size");
        let mut at = 0;
        for sequence in 1..=40 {
            let read = window.record(at).expect("readable").expect("intact");
            assert_eq!((read.sequence, read.payload), (sequence, &[7; 60_000][..]));
            at += read.length;
        }
        assert_eq!(at, end);
        assert!(window.record(at).expect("readable").is_none());
        assert!(window.bytes.capacity() <= PART);
        let marks = HighMarks {
            sequence: 40,
            synced: 20,
        };
        assert_eq!(window.high_marks(0).expect("readable"), marks);
        let record_bytes = end / 40;
        assert_eq!(window.last_nonzero(0).expect("readable"), Some(end - 1));
        assert_eq!(window.last_nonzero(end).expect("readable"), None);
        // damage in one record hides that record only
        file.write_at(record_bytes as u64 + 100, &[1])
            .expect("written");
        let mut window = SegmentWindow::new(file.as_ref()).expect("a size");
        assert!(window.record(record_bytes).expect("readable").is_none());
        assert_eq!(window.high_marks(record_bytes).expect("readable"), marks);
    }
}
