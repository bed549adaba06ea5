//! `ReasoningMemory`, the handle: stores and finds entries by team and call id, purges and closes. Only `purge` waits for the disk.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use ring::hmac;

use crate::domain::id::TeamId;
use crate::domain::time::Time;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::reasoning_memory::file::{Bounds, FILE, MemoryState};
use crate::store::reasoning_memory::pending::{Id, PendingEntry, PendingWrites};
use crate::store::reasoning_memory::writer::Writer;
use crate::store::seal::{Seal, SealKey};

/// A larger entry is dropped.
pub(super) const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// Open reasoning memory.
pub struct ReasoningMemory {
    pub(super) shared: Arc<MemoryState>,
    /// key of the ids, so that the file does not reveal call ids
    names: hmac::Key,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl ReasoningMemory {
    /// Opens the file, replaces an unreadable one, and starts the writer.
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bounds: Bounds,
    ) -> ReasoningMemory {
        let shared = Arc::new(MemoryState {
            disk,
            time,
            bounds,
            seal: Seal::new(key.for_purpose("reasoning memory: entries")),
            database: RwLock::new(None),
            pending: Mutex::new(PendingWrites::default()),
            wake: Condvar::new(),
        });
        let size = shared.reopen();
        let names = hmac::Key::new(
            hmac::HMAC_SHA256,
            &key.for_purpose("reasoning memory: names"),
        );
        let writer = Writer::new(shared.clone(), size.ok())
            .start()
            .map_err(|error| {
                tracing::error!(%error, "failed to start the writer of the reasoning memory")
            })
            .ok();
        ReasoningMemory {
            shared,
            names,
            writer: Mutex::new(writer),
        }
    }

    /// Removes the file of an earlier start, because the memory is turned off.
    pub fn remove_file(disk: &dyn Disk) {
        if disk.exists(FILE)
            && let Err(error) = disk.remove(FILE)
        {
            tracing::error!(%error, file = FILE, "failed to remove the file of the disabled reasoning memory");
        }
    }

    fn id(&self, team: TeamId, call: &str) -> Id {
        let name = format!("{team}\n{call}");
        let mut id = Id::default();
        id.copy_from_slice(&hmac::sign(&self.names, name.as_bytes()).as_ref()[..16]);
        id
    }

    /// Stores the entry of a team's call without waiting; it is dropped if too many are pending.
    pub fn store(&self, team: TeamId, call: &str, plain: Vec<u8>) {
        if plain.len() > ENTRY_BYTES_MAX {
            return;
        }
        let (id, at_ms) = (self.id(team, call), self.shared.time.now_ms());
        let mut pending = self.shared.pending();
        if pending.stopping || !pending.has_room(plain.len()) {
            return;
        }
        let plain = plain.into();
        pending.put(id, PendingEntry { at_ms, plain });
        drop(pending);
        self.shared.wake.notify_one();
    }

    /// Finds the entry of a team's call.
    pub fn find(&self, team: TeamId, call: &str) -> Option<Vec<u8>> {
        let id = self.id(team, call);
        let pending = self.shared.pending().entries.get(&id).cloned();
        match pending {
            Some(entry) => self
                .shared
                .is_fresh(entry.at_ms)
                .then(|| entry.plain.to_vec()),
            None => self.shared.find(&id),
        }
    }

    /// Deletes everything and returns the number of entries. Waits for the disk.
    pub fn purge(&self) -> Result<u64, StoreError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let mut pending = self.shared.pending();
        if pending.stopping {
            return Err(StoreError::Closed);
        }
        pending.purges.push(sender);
        drop(pending);
        self.shared.wake.notify_one();
        receiver.recv().unwrap_or(Err(StoreError::Closed))
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
            tracing::error!("writer of the reasoning memory panicked");
        }
    }
}
