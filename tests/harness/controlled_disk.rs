//! Disk of the data folder under the control of the test: it counts writes and syncs, delays or fails them, and reports
//! any free space. Files are stored in the real folder.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gatekeeper::store::disk::{Disk, DiskFile, FolderDisk};

/// Size of a segment header; records follow it.
const SEGMENT_HEADER_BYTES: u64 = 64;
/// Longest write counted as records; longer writes fill a new segment with zeros.
const LOG_RECORD_BYTES_MAX: usize = 64 * 1024;

/// Controls and counters, shared by the test and the disk.
#[derive(Debug, Default)]
pub struct DiskControl {
    sync_ms: AtomicU64,
    syncs_to_fail: AtomicUsize,
    /// WAL writes before all further ones fail; `None`: no limit
    log_writes_left: Mutex<Option<usize>>,
    writes_fail: AtomicBool,
    /// reported free space; 0: the real one
    free_mb: AtomicU64,
    counts: Mutex<DiskCounts>,
    /// writes to this file wait
    stalled: Mutex<Option<&'static str>>,
    goes_on: Condvar,
}

/// Counts since the start or the last `reset_counts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// record writes to the WAL
    pub log_writes: usize,
    pub log_syncs: usize,
    pub book_syncs: usize,
    /// of the cache of answers, by its own thread
    pub cache_syncs: usize,
    /// syncs outside the store's two threads: a request would wait for them
    pub syncs_elsewhere: usize,
    pub failed_syncs: usize,
    pub failed_log_writes: usize,
}

impl DiskControl {
    /// Delays every sync from now on.
    pub fn set_sync_delay_ms(&self, ms: u64) {
        self.sync_ms.store(ms, Ordering::SeqCst);
    }

    /// Fails the next `count` syncs.
    pub fn fail_next_syncs(&self, count: usize) {
        self.syncs_to_fail.store(count, Ordering::SeqCst);
    }

    /// Lets `count` WAL writes pass, then fails all further ones.
    pub fn fail_after_log_writes(&self, count: usize) {
        *self
            .log_writes_left
            .lock()
            .expect("no panic while writes are counted") = Some(count);
    }

    /// Fails all writes, or none again.
    pub fn set_writes_failing(&self, fail: bool) {
        self.writes_fail.store(fail, Ordering::SeqCst);
    }

    /// Reports this much free space; 0 restores the real value.
    pub fn set_free_mb(&self, mb: u64) {
        self.free_mb.store(mb, Ordering::SeqCst);
    }

    /// Lets writes to a file wait, or all go on.
    pub fn stall_writes(&self, file: Option<&'static str>) {
        *self.stalled.lock().expect("no panic while writes wait") = file;
        self.goes_on.notify_all();
    }

    fn wait_for(&self, file: &str) {
        let stalled = self.stalled.lock().expect("no panic while writes wait");
        let is_stalled = |stalled: &mut Option<&str>| *stalled == Some(file);
        let waited = self.goes_on.wait_while(stalled, is_stalled);
        drop(waited.expect("no panic while writes wait"));
    }

    pub fn reset_counts(&self) {
        *self.lock() = DiskCounts::default();
    }

    pub fn counts(&self) -> DiskCounts {
        self.lock().clone()
    }

    /// Removes all delays and failures.
    pub fn heal(&self) {
        self.set_sync_delay_ms(0);
        self.fail_next_syncs(0);
        self.set_writes_failing(false);
        self.set_free_mb(0);
        self.stall_writes(None);
        *self
            .log_writes_left
            .lock()
            .expect("no panic while writes are counted") = None;
    }

    fn may_write_log(&self) -> bool {
        match &mut *self
            .log_writes_left
            .lock()
            .expect("no panic while writes are counted")
        {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DiskCounts> {
        self.counts
            .lock()
            .expect("no panic while something is counted")
    }

    fn sync(&self, is_wal: bool, is_cache: bool) -> io::Result<()> {
        let thread = std::thread::current();
        let by_cache = is_cache && thread.name() == Some("gk-cache");
        let by_store = matches!(thread.name(), Some("gk-writer" | "gk-syncer"));
        {
            let mut counts = self.lock();
            counts.log_syncs += usize::from(is_wal);
            counts.book_syncs += usize::from(!is_wal && !is_cache);
            counts.cache_syncs += usize::from(by_cache);
            counts.syncs_elsewhere += usize::from(!by_store && !by_cache);
        }
        std::thread::sleep(Duration::from_millis(self.sync_ms.load(Ordering::SeqCst)));
        let left = self
            .syncs_to_fail
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if left.is_err() {
            return Ok(());
        }
        self.lock().failed_syncs += 1;
        Err(io::Error::other("sync failed by the test"))
    }
}

/// Locked data folder under control.
pub struct ControlledDisk {
    folder: FolderDisk,
    control: Arc<DiskControl>,
}

impl ControlledDisk {
    pub fn lock(folder: &Path, control: &Arc<DiskControl>) -> ControlledDisk {
        let folder = FolderDisk::lock(folder).expect("the test's data folder is not locked");
        ControlledDisk {
            folder,
            control: Arc::clone(control),
        }
    }
}

impl Disk for ControlledDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.folder.open(name)?;
        Ok(Arc::new(ControlledFile {
            file,
            is_wal: name.starts_with("ledger/"),
            is_cache: name == "cache.redb",
            name: name.to_owned(),
            control: Arc::clone(&self.control),
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
        match self.control.free_mb.load(Ordering::SeqCst) {
            0 => self.folder.free_mb(),
            reported => Ok(reported),
        }
    }
}

struct ControlledFile {
    file: Arc<dyn DiskFile>,
    is_wal: bool,
    is_cache: bool,
    name: String,
    control: Arc<DiskControl>,
}

impl DiskFile for ControlledFile {
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
        self.control.wait_for(&self.name);
        if self.control.writes_fail.load(Ordering::SeqCst)
            || (self.is_wal && !self.control.may_write_log())
        {
            self.control.lock().failed_log_writes += usize::from(self.is_wal);
            return Err(io::Error::other("write failed by the test"));
        }
        if self.is_wal && offset >= SEGMENT_HEADER_BYTES && bytes.len() <= LOG_RECORD_BYTES_MAX {
            self.control.lock().log_writes += 1;
        }
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.control.sync(self.is_wal, self.is_cache)?;
        self.file.sync_data()
    }
}
