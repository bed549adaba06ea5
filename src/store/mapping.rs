//! Shared mapping of a log segment: a record is a store into pages that the kernel already owns, so an append calls nothing, and a
//! process that is killed loses nothing. `fdatasync` makes it durable, as after a write.
//!
//! Invariants of the unsafe code:
//! - The mapping is shared and covers the file as long as this value lives; nobody shortens a segment of a locked data folder, and one
//!   that was replaced is noticed within a second.
//! - Stores stay inside the window whose pages `MADV_POPULATE_WRITE` has made present and writable: a page that cannot be had is an
//!   error of that call. Only files without a hole are mapped, on file systems that allocate nothing when such a page is written (ext4,
//!   xfs, tmpfs). A page that was written back, evicted and cannot be read again would still end the process with SIGBUS: recovery then
//!   reads the log as after a kill.
//! - One thread at a time stores, under the lock of the log; no reference into the mapping is ever made, and readers use the file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::{SeekFrom, fstatfs, seek};
use rustix::io::Errno;

/// File as memory. Offsets are multiples of 8.
pub trait MappedRecords: Send + Sync {
    /// Copies a record to an offset: all but its first 8 bytes, then these in one store, so that a record cut off by a kill reads as
    /// none. `false`, and nothing is stored, outside the window.
    fn store(&self, offset: u64, record: &[u8]) -> bool;
    /// End of the window in which records can be stored.
    fn window_end(&self) -> u64;
    /// Moves the window: its pages are made present, and those before `from` are given back.
    fn move_window(&self, from: u64, to: u64) -> io::Result<()>;
}

const PAGE: u64 = 4096;
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const TMPFS: u64 = 0x0102_1994;

struct MappedFile {
    mapping: MmapRaw,
    window_from: AtomicU64,
    window_end: AtomicU64,
}

/// Maps a file, whose window is empty; `None` if it has a hole, or its file system or the kernel does not allow it.
pub(in crate::store) fn map(file: &File) -> Option<Arc<dyn MappedRecords>> {
    let size = file.metadata().ok()?.len();
    if size == 0 || !on_known_file_system(file) || !holes(file).ok()?.is_empty() {
        return None;
    }
    let mapping = MmapOptions::new().map_raw(file).ok()?;
    let file = MappedFile {
        mapping,
        window_from: AtomicU64::new(0),
        window_end: AtomicU64::new(0),
    };
    // a kernel before 5.14 does not know the advice
    file.populate(0, PAGE.min(size)).ok()?;
    Some(Arc::new(file))
}

/// Ranges of a file that its file system keeps no pages of zeros for; none on a file system whose files are not mapped anyway. Pages
/// that were read count as kept on ext4 and xfs, so a file is asked before it is read.
pub(in crate::store) fn holes(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut holes = Vec::new();
    if !on_known_file_system(file) {
        return Ok(holes);
    }
    let size = file.metadata()?.len();
    let mut at = 0;
    while at < size {
        let hole = seek(file, SeekFrom::Hole(at))?;
        at = match seek(file, SeekFrom::Data(hole)) {
            Err(Errno::NXIO) => size,
            data => data?,
        };
        if hole < at {
            holes.push(hole..at);
        }
    }
    Ok(holes)
}

fn on_known_file_system(file: &File) -> bool {
    fstatfs(file).is_ok_and(|stats| [EXT4, XFS, TMPFS].contains(&(stats.f_type as u64)))
}

impl MappedFile {
    fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        let length = (to - from) as usize;
        self.mapping
            .advise_range(Advice::PopulateWrite, from as usize, length)
    }
}

impl MappedRecords for MappedFile {
    #[allow(unsafe_code, reason = "stores into the mapping")]
    fn store(&self, offset: u64, record: &[u8]) -> bool {
        let Some((first, rest)) = record.split_first_chunk::<8>() else {
            return false;
        };
        let end = offset.saturating_add(record.len() as u64);
        let inside = offset >= self.window_from.load(Ordering::Acquire)
            && end <= self.window_end.load(Ordering::Acquire);
        if !inside || !offset.is_multiple_of(8) {
            return false;
        }
        // SAFETY: offset..end lies inside the window, which is part of the mapping and present; the mapping begins at a page and the
        // offset is a multiple of 8, so the word is aligned; nothing else refers to these bytes
        unsafe {
            let at = self.mapping.as_mut_ptr().add(offset as usize);
            std::ptr::copy_nonoverlapping(rest.as_ptr(), at.add(8), rest.len());
            AtomicU64::from_ptr(at.cast()).store(u64::from_ne_bytes(*first), Ordering::Release);
        }
        true
    }

    fn window_end(&self) -> u64 {
        self.window_end.load(Ordering::Acquire)
    }

    #[allow(unsafe_code, reason = "gives pages back to the kernel")]
    fn move_window(&self, from: u64, to: u64) -> io::Result<()> {
        let size = self.mapping.len() as u64;
        let (from, to) = (from / PAGE * PAGE, to.next_multiple_of(PAGE).min(size));
        let (old_from, old_end) = (self.window_from.load(Ordering::Acquire), self.window_end());
        self.populate(from.max(old_end.min(to)), to)?;
        self.window_end.store(to.max(old_end), Ordering::Release);
        if from > old_from {
            self.window_from.store(from, Ordering::Release);
            // SAFETY: the mapping is shared, so the bytes stay in the file's cache; no record is stored before the window
            unsafe {
                self.mapping.unchecked_advise_range(
                    UncheckedAdvice::DontNeed,
                    old_from as usize,
                    (from - old_from) as usize,
                )?;
            }
        }
        Ok(())
    }
}
