//! The file of the reasoning memory: two tables, opened lazily, shared by readers and the writer. An unreadable file is discarded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::domain::time::Time;
use crate::store::backend::{Backend, catch_panic};
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::reasoning_memory::pending::{Id, PendingWrites};
use crate::store::seal::Seal;

/// File below the data folder.
pub const FILE: &str = "memory.redb";
/// Raised with every change of the entries; a file of another number is discarded.
const SCHEMA: u64 = 1;
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// id → time of storing (ms, big-endian), then the sealed bytes
pub(super) const ENTRIES: TableDefinition<&Id, &[u8]> = TableDefinition::new("entries");
/// time of storing (ms, big-endian), id → size
pub(super) const AGES: TableDefinition<&[u8; 24], u64> = TableDefinition::new("ages");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Limits of the memory; the oldest entries beyond them are deleted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries_max: u64,
    pub bytes_max: u64,
    pub keep_ms: u64,
}

/// Number and size of the entries in the file.
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

    pub(super) fn is_within(&self, bounds: &Bounds) -> bool {
        self.entries <= bounds.entries_max && self.bytes <= bounds.bytes_max
    }
}

/// State shared by callers and the writer.
pub(super) struct MemoryState {
    pub disk: Arc<dyn Disk>,
    pub time: Arc<Time>,
    pub bounds: Bounds,
    pub seal: Seal,
    pub database: RwLock<Option<Arc<Database>>>,
    pub pending: Mutex<PendingWrites>,
    /// wakes the writer
    pub wake: Condvar,
}

impl MemoryState {
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

    pub(super) fn is_fresh(&self, at_ms: u64) -> bool {
        self.time.now_ms().saturating_sub(at_ms) <= self.bounds.keep_ms
    }

    /// Reads and opens an entry of the file.
    pub(super) fn find(&self, id: &Id) -> Option<Vec<u8>> {
        let database = self.database()?;
        let stored = catch_panic(|| read_entry(&database, id)).unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to read the reasoning memory");
            self.pending().damaged = true;
            self.wake.notify_one();
            None
        })?;
        let (at_ms, sealed) = stored.split_first_chunk::<8>()?;
        if !self.is_fresh(u64::from_be_bytes(*at_ms)) {
            return None;
        }
        self.seal.open(&age_key(*at_ms, id), sealed)
    }

    /// Opens the file, at the start and again after a failure; an unreadable one is discarded.
    pub(super) fn reopen(&self) -> Result<StoredSize, StoreError> {
        self.put(None);
        let opened = catch_panic(|| self.open_file()).or_else(|error| {
            tracing::warn!(%error, file = FILE, "reasoning memory unreadable and discarded; only reasoning blocks are lost");
            self.discard()?;
            catch_panic(|| self.open_file())
        });
        let (database, size) = opened?;
        self.put(Some(Arc::new(database)));
        Ok(size)
    }

    /// Removes the file.
    pub(super) fn discard(&self) -> Result<(), StoreError> {
        self.put(None);
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
            for row in transaction.open_table(AGES)?.iter()? {
                size.add(row?.1.value());
            }
        }
        transaction.commit()?;
        Ok((database, size))
    }
}

fn read_entry(database: &Database, id: &Id) -> Result<Option<Vec<u8>>, StoreError> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries.get(id)?.map(|entry| entry.value().to_vec()))
}

/// Key in `ages`, and associated data of the sealed entry: an entry cannot be moved to another id or made younger.
pub(super) fn age_key(at_ms: [u8; 8], id: &Id) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&at_ms);
    key[8..].copy_from_slice(id);
    key
}
