//! A real folder whose fsyncs of the log, or writes to the books, fail on demand.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::store::disk::{Disk, DiskFile, FolderDisk};

/// Switches and counters of a `FailingDisk`.
#[derive(Default)]
pub(super) struct Faults {
    /// the next fsync of a log file fails
    pub log_sync: AtomicBool,
    /// every write to the books fails
    pub books_write: AtomicBool,
    /// how often the books were opened
    pub books_opened: AtomicUsize,
}

pub(super) struct FailingDisk {
    pub real: FolderDisk,
    pub faults: Arc<Faults>,
}

struct FailingFile {
    file: Arc<dyn DiskFile>,
    is_log: bool,
    faults: Arc<Faults>,
}

impl Disk for FailingDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.real.open(name)?;
        let is_log = name.ends_with(".log");
        if !is_log && name != "gatekeeper.redb" {
            return Ok(file);
        }
        if !is_log {
            self.faults.books_opened.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Arc::new(FailingFile {
            file,
            is_log,
            faults: self.faults.clone(),
        }))
    }
    fn exists(&self, name: &str) -> bool {
        self.real.exists(name)
    }
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        self.real.names(folder)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.real.sync_folder(folder)
    }
    fn free_mb(&self) -> io::Result<u64> {
        self.real.free_mb()
    }
    fn lost(&self, names: &[&str]) -> Option<std::path::PathBuf> {
        self.real.lost(names)
    }
}

impl DiskFile for FailingFile {
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
        if !self.is_log && self.faults.books_write.load(Ordering::SeqCst) {
            return Err(io::Error::other("the books cannot be written"));
        }
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.is_log && self.faults.log_sync.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("the disk lost it"));
        }
        self.file.sync_data()
    }
}
