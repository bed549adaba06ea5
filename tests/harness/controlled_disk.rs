//! The data folder's disk with a hand on it: every write and sync is counted, syncs can be slow, syncs and writes can fail,
//! and it can say that it is full. What it stores is stored in the real folder.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatekeeper::store::disk::{Disk, DiskFile, FolderDisk};

/// The records of a log segment begin here; what is written before is its head.
const LOG_HEAD_BYTES: u64 = 64;
/// Longer writes to a segment fill it with zeros before it is used.
const LOG_RECORD_BYTES_MAX: usize = 64 * 1024;

/// What a test can turn while the gateway runs, and what was counted.
#[derive(Debug, Default)]
pub struct DiskControl {
    sync_ms: AtomicU64,
    syncs_to_fail: AtomicUsize,
    /// log records that can still be written; `None`: any number
    log_writes_left: Mutex<Option<usize>>,
    writes_fail: AtomicBool,
    /// 0: what is really free
    free_mb: AtomicU64,
    counts: Mutex<DiskCounts>,
}

/// Since the start or the last `counts_anew`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// records appended to the log
    pub log_writes: usize,
    pub log_syncs: usize,
    pub book_syncs: usize,
    /// syncs by another thread than the store's two: a request would have waited for them
    pub syncs_elsewhere: usize,
    pub failed_syncs: usize,
    pub failed_log_writes: usize,
}

impl DiskControl {
    /// Every sync takes so long from now on.
    pub fn set_sync_delay_ms(&self, ms: u64) {
        self.sync_ms.store(ms, Ordering::SeqCst);
    }

    /// The next syncs fail.
    pub fn fail_next_syncs(&self, count: usize) {
        self.syncs_to_fail.store(count, Ordering::SeqCst);
    }

    /// So many records can still be written to the log, then every write to it fails.
    pub fn fail_after_log_writes(&self, count: usize) {
        *self
            .log_writes_left
            .lock()
            .expect("no panic while writes are counted") = Some(count);
    }

    /// Whether writes fail from now on.
    pub fn set_writes_failing(&self, fail: bool) {
        self.writes_fail.store(fail, Ordering::SeqCst);
    }

    /// Says that so much is free; 0 is the truth again.
    pub fn set_free_mb(&self, mb: u64) {
        self.free_mb.store(mb, Ordering::SeqCst);
    }

    pub fn reset_counts(&self) {
        *self.lock() = DiskCounts::default();
    }

    pub fn counts(&self) -> DiskCounts {
        self.lock().clone()
    }

    /// Lets the disk be as it is.
    pub fn heal(&self) {
        self.set_sync_delay_ms(0);
        self.fail_next_syncs(0);
        self.set_writes_failing(false);
        self.set_free_mb(0);
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

    fn syncs(&self, of_log: bool) -> io::Result<()> {
        let by_the_store = matches!(
            std::thread::current().name(),
            Some("gk-writer" | "gk-syncer")
        );
        {
            let mut counts = self.lock();
            counts.log_syncs += usize::from(of_log);
            counts.book_syncs += usize::from(!of_log);
            counts.syncs_elsewhere += usize::from(!by_the_store);
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
        Err(io::Error::other("the test's disk failed a sync"))
    }
}

/// A locked data folder under a hand.
pub struct ControlledDisk {
    folder: FolderDisk,
    hand: Arc<DiskControl>,
}

impl ControlledDisk {
    pub fn lock(folder: &Path, hand: &Arc<DiskControl>) -> ControlledDisk {
        let folder = FolderDisk::lock(folder).expect("nobody else uses the test's data folder");
        ControlledDisk {
            folder,
            hand: Arc::clone(hand),
        }
    }
}

impl Disk for ControlledDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.folder.open(name)?;
        Ok(Arc::new(ControlledFile {
            file,
            of_log: name.starts_with("ledger/"),
            hand: Arc::clone(&self.hand),
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
        match self.hand.free_mb.load(Ordering::SeqCst) {
            0 => self.folder.free_mb(),
            said => Ok(said),
        }
    }
}

struct ControlledFile {
    file: Arc<dyn DiskFile>,
    of_log: bool,
    hand: Arc<DiskControl>,
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
        if self.hand.writes_fail.load(Ordering::SeqCst)
            || (self.of_log && !self.hand.may_write_log())
        {
            self.hand.lock().failed_log_writes += usize::from(self.of_log);
            return Err(io::Error::other("the test's disk failed a write"));
        }
        if self.of_log && offset >= LOG_HEAD_BYTES && bytes.len() <= LOG_RECORD_BYTES_MAX {
            self.hand.lock().log_writes += 1;
        }
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hand.syncs(self.of_log)?;
        self.file.sync_data()
    }
}
