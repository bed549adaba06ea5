//! Flag of a call that is drained: its client is gone, so nothing that is read reaches anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the client of a call that is drained has disconnected.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct DisconnectFlag(Arc<AtomicBool>);

impl DisconnectFlag {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
