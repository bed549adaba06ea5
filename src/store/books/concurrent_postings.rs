//! Settlements posted while a verification runs, by sequence number. The writer collects them before its commit; the verification adds
//! them to what it has read. Bounded: one more than the limit makes the verification fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::event::LedgerEvent;

/// Settlements that may be posted while a verification runs: some 50 MB.
pub(super) const POSTINGS_MAX: usize = 100_000;

/// `None` while no verification runs.
#[derive(Default)]
pub(in crate::store) struct ConcurrentPostings(Mutex<Option<BTreeMap<u64, Arc<LedgerEvent>>>>);

impl ConcurrentPostings {
    pub(super) fn start(&self) {
        *self.lock() = Some(BTreeMap::new());
    }

    /// Ends collecting and returns what was collected.
    pub(super) fn stop(&self) -> BTreeMap<u64, Arc<LedgerEvent>> {
        self.lock().take().unwrap_or_default()
    }

    /// True while a verification runs.
    pub(super) fn is_collecting(&self) -> bool {
        self.lock().is_some()
    }

    pub(super) fn collect(&self, batch: &[(u64, Arc<LedgerEvent>)]) {
        if let Some(collected) = &mut *self.lock() {
            let settled = batch
                .iter()
                .filter(|(_, event)| matches!(**event, LedgerEvent::Settle(_)));
            let free = (POSTINGS_MAX + 1).saturating_sub(collected.len());
            collected.extend(
                settled
                    .take(free)
                    .map(|(sequence, event)| (*sequence, event.clone())),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Arc<LedgerEvent>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
