//! The file of the answer cache: two tables, shared by readers and the writer. An unreadable file is discarded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::domain::cache::CacheEntryId;
use crate::domain::time::Time;
use crate::store::answer_cache::entry::{EntryHead, HEAD_BYTES, StoredEntry};
use crate::store::answer_cache::pending::PendingWrites;
use crate::store::backend::Backend;
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StoreError;
use crate::store::seal::Seal;

/// File below the data folder.
pub const FILE: &str = "cache.redb";
/// Raised with every change of the entries; a file of another number is discarded.
const SCHEMA: u64 = 1;
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// A page of the file; a longer entry takes a power of two of them.
const PAGE: u64 = 4_096;
/// Bytes of a row beside its value.
const ROW_BYTES: u64 = 160;

pub(super) type Id = [u8; 16];

/// id → head, then the sealed content
pub(super) const ENTRIES: TableDefinition<&Id, &[u8]> = TableDefinition::new("entries");
/// time of expiry (ms, big-endian), id → bytes that the entry takes
pub(super) const EXPIRIES: TableDefinition<&[u8; 24], u64> = TableDefinition::new("expiries");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Number of the entries in the file, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoredSize {
    pub entries: u64,
    pub bytes: u64,
}

impl StoredSize {
    pub(super) fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Receiver of the ids of deleted entries.
pub(super) type DeletionListener = dyn Fn(&[CacheEntryId]) + Send + Sync;

/// State shared by callers and the writer.
pub(super) struct CacheState {
    pub disk: Arc<dyn Disk>,
    pub time: Arc<Time>,
    pub bytes_max: u64,
    pub seal: Seal,
    pub database: RwLock<Option<Arc<Database>>>,
    pub file: Mutex<Option<Arc<dyn DiskFile>>>,
    pub size: Mutex<StoredSize>,
    pub pending: Mutex<PendingWrites>,
    /// wakes the writer
    pub wake: Condvar,
    /// is told the entries that were deleted
    pub deleted: Box<DeletionListener>,
}

impl CacheState {
    pub(super) fn pending(&self) -> MutexGuard<'_, PendingWrites> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open database; `None` after a failure.
    pub(super) fn database(&self) -> Option<Arc<Database>> {
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads and opens an entry of the file.
    pub(super) fn find(&self, id: CacheEntryId) -> Option<StoredEntry> {
        let database = self.database()?;
        let stored = catch_panic(|| read_entry(&database, &id.0)).unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to read the cache");
            self.pending().damaged = true;
            self.wake.notify_one();
            None
        })?;
        self.open_entry(id, &stored)
    }

    /// Opens a row that is still to be served.
    pub(super) fn open_entry(&self, id: CacheEntryId, stored: &[u8]) -> Option<StoredEntry> {
        let (head, sealed) = stored.split_first_chunk::<HEAD_BYTES>()?;
        let about = associated(head, &id.0);
        let head = EntryHead::of_bytes(head);
        if !head.is_live(self.time.now_ms()) {
            return None;
        }
        let plain = self.seal.open(&about, sealed)?.into();
        Some(StoredEntry { head, plain })
    }

    /// Opens the file, at the start and again after a failure; an unreadable one is discarded.
    pub(super) fn reopen(&self) -> Result<StoredSize, StoreError> {
        self.put(None);
        let opened = catch_panic(|| self.open_file()).or_else(|error| {
            tracing::warn!(%error, file = FILE, "cache unreadable and discarded; only stored answers are lost");
            self.discard()?;
            catch_panic(|| self.open_file())
        });
        let (database, size) = opened?;
        self.put(Some(Arc::new(database)));
        self.note_size(size);
        Ok(size)
    }

    pub(super) fn note_size(&self, size: StoredSize) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().and_then(|file| file.size().ok()).unwrap_or(0)
    }

    /// Removes the file.
    pub(super) fn discard(&self) -> Result<(), StoreError> {
        self.put(None);
        self.note_size(StoredSize::default());
        if self.disk.exists(FILE) {
            self.disk.remove(FILE)?;
        }
        Ok(())
    }

    pub(super) fn put(&self, database: Option<Arc<Database>>) {
        let before = std::mem::replace(
            &mut *self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner),
            database,
        );
        // closing a damaged file can panic like reading it
        let _ = catch_panic(|| {
            drop(before);
            Ok(())
        });
    }

    fn open_file(&self) -> Result<(Database, StoredSize), StoreError> {
        let file = self.disk.open(FILE)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.clone());
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Backend::on(file, Arc::default()))?;
        let transaction = database.begin_write()?;
        let mut size = StoredSize::default();
        {
            let mut meta = transaction.open_table(META)?;
            let schema = meta.get("schema")?.map(|schema| schema.value());
            if schema.is_some_and(|schema| schema != SCHEMA) {
                return Err(StoreError::Database("written by another release".into()));
            }
            meta.insert("schema", SCHEMA)?;
            transaction.open_table(ENTRIES)?;
            for row in transaction.open_table(EXPIRIES)?.iter()? {
                size.add(row?.1.value());
            }
        }
        transaction.commit()?;
        Ok((database, size))
    }

    /// Visits every entry that can still be served.
    pub(super) fn visit(
        &self,
        mut visit: impl FnMut(CacheEntryId, StoredEntry),
    ) -> Result<(), StoreError> {
        let Some(database) = self.database() else {
            return Ok(());
        };
        catch_panic(|| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            for row in entries.iter()? {
                let (id, stored) = row?;
                let id = CacheEntryId(*id.value());
                if let Some(entry) = self.open_entry(id, stored.value()) {
                    visit(id, entry);
                }
            }
            Ok(())
        })
    }
}

/// Turns a panic into an error: redb panics on damaged pages.
pub(super) fn catch_panic<T>(
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(StoreError::Database("damaged pages".into())))
}

fn read_entry(database: &Database, id: &Id) -> Result<Option<Vec<u8>>, StoreError> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries.get(id)?.map(|entry| entry.value().to_vec()))
}

/// Associated data of the sealed content: it cannot be moved to another entry, nor get other times or tags.
pub(super) fn associated(head: &[u8; HEAD_BYTES], id: &Id) -> [u8; HEAD_BYTES + 16] {
    let mut about = [0; HEAD_BYTES + 16];
    about[..HEAD_BYTES].copy_from_slice(head);
    about[HEAD_BYTES..].copy_from_slice(id);
    about
}

/// Key in `expiries`.
pub(super) fn expiry_key(expires_ms: u64, id: &Id) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&expires_ms.to_be_bytes());
    key[8..].copy_from_slice(id);
    key
}

/// Bytes that a row takes in the file: a long value has pages of its own, a power of two of them.
pub(super) fn taken(stored_bytes: usize) -> u64 {
    let bytes = stored_bytes as u64 + ROW_BYTES;
    if bytes <= PAGE / 2 {
        bytes
    } else {
        PAGE * bytes.div_ceil(PAGE).next_power_of_two()
    }
}
