//! redb on the store's `Disk`. Notes the first failed operation, because redb refuses everything after it until it is reopened, and
//! counts the pages read.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::store::disk::DiskFile;
use crate::store::error::StoreError;

/// Page of a database file, in bytes.
const PAGE: u64 = 4096;

/// I/O seen below redb, shared with the owner of the database.
#[derive(Default)]
pub(super) struct IoState {
    /// an operation has failed: the handle is unusable
    pub failed: AtomicBool,
    /// pages that were not in redb's cache
    pub pages_read: AtomicU64,
}

/// Storage backend on a file of the `Disk`.
pub(super) struct Backend {
    file: Arc<dyn DiskFile>,
    io_state: Arc<IoState>,
}

impl Backend {
    pub(super) fn on(file: Arc<dyn DiskFile>, io_state: Arc<IoState>) -> Backend {
        Backend { file, io_state }
    }

    fn track<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.is_err() {
            self.io_state.failed.store(true, Ordering::Release);
        }
        outcome
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.track(self.file.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.io_state
            .pages_read
            .fetch_add((out.len() as u64).div_ceil(PAGE), Ordering::Relaxed);
        self.track(self.file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.track(self.file.set_size(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.track(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.track(self.file.write_at(offset, data))
    }
}

/// Turns a panic into an error: redb panics on damaged pages.
pub(super) fn catch_panic<T>(
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(StoreError::Database("damaged pages".into())))
}
