//! Entries that wait for the writer, bounded in number and bytes. They are found here until they are written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::cache::CacheEntryId;
use crate::store::answer_cache::entry::{NewEntry, Selection};
use crate::store::error::StoreError;

/// Pending entries; further ones are dropped.
const ENTRIES_MAX: usize = 1_024;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries of one commit.
pub(super) const BATCH_MAX: usize = 256;

/// A purge, and the channel on which its caller awaits the number of deleted entries.
pub(super) struct Purge {
    pub selection: Selection,
    pub reply: std::sync::mpsc::SyncSender<Result<u64, StoreError>>,
}

/// Requests of callers to the writer.
#[derive(Default)]
pub(super) struct PendingWrites {
    pub order: VecDeque<CacheEntryId>,
    pub entries: HashMap<CacheEntryId, Arc<NewEntry>>,
    pub bytes: usize,
    pub purges: Vec<Purge>,
    /// a page was unreadable: the file must be discarded
    pub damaged: bool,
    pub stopping: bool,
}

impl PendingWrites {
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.order.len() < ENTRIES_MAX && self.bytes + bytes <= BYTES_MAX
    }

    pub(super) fn is_idle(&self) -> bool {
        self.order.is_empty() && self.purges.is_empty() && !self.stopping && !self.damaged
    }

    pub(super) fn put(&mut self, entry: NewEntry) {
        let (id, bytes) = (entry.id, entry.plain.len());
        self.bytes += bytes;
        match self.entries.insert(id, Arc::new(entry)) {
            Some(before) => self.bytes -= before.plain.len(),
            None => self.order.push_back(id),
        }
    }

    /// The oldest entries; they stay here until `remove_written`.
    pub(super) fn batch(&self) -> Vec<Arc<NewEntry>> {
        let entry = |id: &CacheEntryId| self.entries.get(id).cloned();
        self.order
            .iter()
            .take(BATCH_MAX)
            .filter_map(entry)
            .collect()
    }

    /// Removes written entries, unless they were replaced meanwhile.
    pub(super) fn remove_written(&mut self, batch: &[Arc<NewEntry>]) {
        for written in batch {
            let is_same = |now: &Arc<NewEntry>| Arc::ptr_eq(now, written);
            if self.entries.get(&written.id).is_some_and(is_same) {
                self.remove(written.id);
            }
        }
    }

    /// Removes what a purge selects; returns the number of entries.
    pub(super) fn purge(&mut self, selection: &Selection) -> u64 {
        let selected: Vec<CacheEntryId> = self
            .entries
            .values()
            .filter(|entry| selection.contains(entry.id, &entry.head.tags))
            .map(|entry| entry.id)
            .collect();
        selected.iter().for_each(|id| self.remove(*id));
        selected.len() as u64
    }

    fn remove(&mut self, id: CacheEntryId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.plain.len();
            self.order.retain(|pending| *pending != id);
        }
    }
}
