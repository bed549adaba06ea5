//! Disk of the data folder with counters: writes, bytes and syncs of the WAL and of the accounting database.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gatekeeper::store::disk::{Disk, DiskFile, FolderDisk};

/// Longer writes, and writes to the header, prepare a segment and are not records.
const RECORD_BYTES_MAX: usize = 64 * 1024;
const SEGMENT_HEADER_BYTES: u64 = 64;

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub log_writes: u64,
    pub log_bytes: u64,
    pub log_syncs: u64,
    pub book_bytes: u64,
    pub book_syncs: u64,
}

#[derive(Debug, Default)]
pub struct Counters {
    log_writes: AtomicU64,
    log_bytes: AtomicU64,
    log_syncs: AtomicU64,
    book_bytes: AtomicU64,
    book_syncs: AtomicU64,
}

impl Counters {
    /// Returns the counts since the last call.
    pub fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            log_writes: take(&self.log_writes),
            log_bytes: take(&self.log_bytes),
            log_syncs: take(&self.log_syncs),
            book_bytes: take(&self.book_bytes),
            book_syncs: take(&self.book_syncs),
        }
    }
}

pub struct CountedDisk {
    folder: FolderDisk,
    counters: Arc<Counters>,
}

impl CountedDisk {
    pub fn lock(folder: &Path, counters: &Arc<Counters>) -> CountedDisk {
        CountedDisk {
            folder: FolderDisk::lock(folder).expect("the folder is not in use"),
            counters: Arc::clone(counters),
        }
    }
}

impl Disk for CountedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.folder.open(name)?;
        Ok(Arc::new(CountedFile {
            file,
            is_wal: name.starts_with("ledger/"),
            counters: Arc::clone(&self.counters),
        }))
    }

    fn exists(&self, name: &str) -> bool {
        self.folder.exists(name)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        self.folder.names(folder)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.folder.sync_folder(folder)
    }

    fn free_mb(&self) -> io::Result<u64> {
        self.folder.free_mb()
    }
}

struct CountedFile {
    file: Arc<dyn DiskFile>,
    is_wal: bool,
    counters: Arc<Counters>,
}

impl DiskFile for CountedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.file.allocate(size)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (counters, length) = (&self.counters, bytes.len() as u64);
        if !self.is_wal {
            counters.book_bytes.fetch_add(length, Ordering::Relaxed);
        } else if offset >= SEGMENT_HEADER_BYTES
            && bytes.len() <= RECORD_BYTES_MAX
            && bytes.iter().any(|byte| *byte != 0)
        {
            counters.log_writes.fetch_add(1, Ordering::Relaxed);
            counters.log_bytes.fetch_add(length, Ordering::Relaxed);
        }
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let syncs = if self.is_wal {
            &self.counters.log_syncs
        } else {
            &self.counters.book_syncs
        };
        syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
}
