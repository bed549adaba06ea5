//! `AnswerCache`, the handle: stores and finds entries, purges and closes. Only `purge` waits for the disk.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::domain::cache::CacheEntryId;
use crate::domain::time::Time;
use crate::store::answer_cache::entry::{NewEntry, Selection, StoredEntry};
use crate::store::answer_cache::file::{CacheState, FILE, StoredSize};
use crate::store::answer_cache::pending::{PendingWrites, Purge};
use crate::store::answer_cache::writer::Writer;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::seal::{Seal, SealKey};

/// Bound of the file.
#[derive(Clone, Copy, Debug)]
pub struct CacheBounds {
    pub bytes_max: u64,
}

/// Number of the entries, the bytes that they take, and those of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheSize {
    pub entries: u64,
    pub bytes: u64,
    pub file_bytes: u64,
}

/// Open answer cache.
pub struct AnswerCache {
    shared: Arc<CacheState>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AnswerCache {
    /// Opens the file, replaces an unreadable one, and starts the writer. `deleted` is told every entry that expires, is evicted or purged.
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bounds: CacheBounds,
        deleted: impl Fn(&[CacheEntryId]) + Send + Sync + 'static,
    ) -> AnswerCache {
        let shared = Arc::new(CacheState {
            disk,
            time,
            bytes_max: bounds.bytes_max,
            seal: Seal::new(key.for_purpose("answer cache: entries")),
            database: RwLock::new(None),
            file: Mutex::new(None),
            size: Mutex::new(StoredSize::default()),
            pending: Mutex::new(PendingWrites::default()),
            wake: Condvar::new(),
            deleted: Box::new(deleted),
        });
        let size = shared
            .reopen()
            .inspect_err(|error| tracing::error!(%error, file = FILE, "failed to open the cache; nothing is stored until it opens"));
        let writer = Writer::new(shared.clone(), size.ok())
            .start()
            .map_err(|error| tracing::error!(%error, "failed to start the writer of the cache"))
            .ok();
        AnswerCache {
            shared,
            writer: Mutex::new(writer),
        }
    }

    /// Removes the file of an earlier start, because the cache is turned off.
    pub fn remove_file(disk: &dyn Disk) {
        if disk.exists(FILE)
            && let Err(error) = disk.remove(FILE)
        {
            tracing::error!(%error, file = FILE, "failed to remove the file of the disabled cache");
        }
    }

    /// Stores an entry without waiting; it is dropped if too many are pending.
    pub fn store(&self, entry: NewEntry) {
        let mut pending = self.shared.pending();
        if pending.stopping || !pending.has_room(entry.plain.len()) {
            return;
        }
        pending.put(entry);
        drop(pending);
        self.shared.wake.notify_one();
    }

    /// Finds an entry that has not expired.
    pub fn find(&self, id: CacheEntryId) -> Option<StoredEntry> {
        let pending = self.shared.pending().entries.get(&id).cloned();
        match pending {
            Some(entry) => entry
                .head
                .is_live(self.shared.time.now_ms())
                .then(|| StoredEntry {
                    head: entry.head,
                    plain: entry.plain.clone(),
                }),
            None => self.shared.find(id),
        }
    }

    /// Visits every entry of the file that has not expired.
    pub fn visit(&self, visit: impl FnMut(CacheEntryId, StoredEntry)) -> Result<(), StoreError> {
        self.shared.visit(visit)
    }

    /// Deletes the selected entries and returns their number. Waits for the disk.
    pub fn purge(&self, selection: Selection) -> Result<u64, StoreError> {
        let (reply, receiver) = std::sync::mpsc::sync_channel(1);
        let mut pending = self.shared.pending();
        if pending.stopping {
            return Err(StoreError::Closed);
        }
        pending.purges.push(Purge { selection, reply });
        drop(pending);
        self.shared.wake.notify_one();
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    pub fn size(&self) -> CacheSize {
        let stored = *self
            .shared
            .size
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pending = self.shared.pending().order.len() as u64;
        CacheSize {
            entries: stored.entries + pending,
            bytes: stored.bytes,
            file_bytes: self.shared.file_bytes(),
        }
    }

    #[cfg(test)]
    pub(in crate::store) fn has_pending(&self) -> bool {
        !self.shared.pending().order.is_empty()
    }

    /// Writes the pending entries and ends the writer.
    pub fn close(&self) {
        self.shared.pending().stopping = true;
        self.shared.wake.notify_one();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("writer of the cache panicked");
        }
    }
}
