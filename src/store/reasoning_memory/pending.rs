//! Entries that wait for the writer, bounded in number and bytes. They stay readable here until they are written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::store::error::StoreError;

/// Keyed hash of team and call id.
pub(super) type Id = [u8; 16];

/// Pending entries; further ones are dropped.
const ENTRIES_MAX: usize = 1_024;
pub(super) const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Entries of one commit.
pub(super) const BATCH_MAX: usize = 256;

/// Channel on which the caller of a purge awaits the number of deleted entries.
pub(super) type PurgeReply = std::sync::mpsc::SyncSender<Result<u64, StoreError>>;

/// Requests of callers to the writer.
#[derive(Default)]
pub(super) struct PendingWrites {
    pub order: VecDeque<Id>,
    pub entries: HashMap<Id, PendingEntry>,
    pub bytes: usize,
    pub purges: Vec<PurgeReply>,
    /// a page was unreadable: the file must be discarded
    pub damaged: bool,
    pub stopping: bool,
}

#[derive(Clone)]
pub(super) struct PendingEntry {
    pub at_ms: u64,
    pub plain: Arc<[u8]>,
}

impl PendingWrites {
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.order.len() < ENTRIES_MAX && self.bytes + bytes <= BYTES_MAX
    }

    pub(super) fn is_idle(&self) -> bool {
        self.order.is_empty() && self.purges.is_empty() && !self.stopping && !self.damaged
    }

    pub(super) fn put(&mut self, id: Id, entry: PendingEntry) {
        self.bytes += entry.plain.len();
        match self.entries.insert(id, entry) {
            Some(before) => self.bytes -= before.plain.len(),
            None => self.order.push_back(id),
        }
    }

    /// Copies the oldest entries; they stay here until `remove_written`.
    pub(super) fn batch(&self) -> Vec<(Id, PendingEntry)> {
        let entry = |id: &Id| self.entries.get(id).map(|entry| (*id, entry.clone()));
        self.order
            .iter()
            .take(BATCH_MAX)
            .filter_map(entry)
            .collect()
    }

    /// Removes written entries, unless they were replaced meanwhile.
    pub(super) fn remove_written(&mut self, batch: &[(Id, PendingEntry)]) {
        for (id, entry) in batch {
            self.order.pop_front();
            match self.entries.get(id) {
                Some(now) if !Arc::ptr_eq(&now.plain, &entry.plain) => self.order.push_back(*id),
                _ => {
                    self.entries.remove(id);
                    self.bytes -= entry.plain.len();
                }
            }
        }
    }

    /// Removes all entries; returns their number.
    pub(super) fn clear(&mut self) -> u64 {
        let cleared = self.order.len() as u64;
        (self.order, self.entries, self.bytes) = Default::default();
        cleared
    }
}
