//! Flag of a call that is drained: its client is gone, so nothing that is read reaches anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the client of a call that is drained has disconnected; never set for another call.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct DisconnectFlag(Option<Arc<AtomicBool>>);

impl DisconnectFlag {
    pub fn new(is_drained: bool) -> DisconnectFlag {
        DisconnectFlag(is_drained.then(Arc::default))
    }

    pub fn is_set(&self) -> bool {
        let flag = self.0.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub fn set(&self) {
        if let Some(flag) = &self.0 {
            flag.store(true, Ordering::Relaxed);
        }
    }
}
