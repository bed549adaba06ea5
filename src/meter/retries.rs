//! Requests between two attempts: their next hold is not open yet, and the one before is settled. A list of the ended
//! requests must not contain them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::RequestId;

/// Requests that have decided on a further attempt and have not ended.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<BTreeMap<RequestId, u32>>);

/// A request with a further attempt; it counts until this value is dropped.
#[derive(Debug)]
pub struct RunningRetry {
    retries: Arc<Retries>,
    request: RequestId,
}

impl Retries {
    pub(super) fn begin(self: &Arc<Retries>, request: RequestId) -> RunningRetry {
        *self.lock().entry(request).or_default() += 1;
        RunningRetry {
            retries: self.clone(),
            request,
        }
    }

    /// The oldest request.
    pub(super) fn oldest(&self) -> Option<RequestId> {
        self.lock().keys().next().copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RequestId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningRetry {
    fn drop(&mut self) {
        let mut running = self.retries.lock();
        if let Some(count) = running.get_mut(&self.request) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.request);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_counts_until_its_last_retry_is_dropped() {
        let retries = Arc::new(Retries::default());
        let (late, early) = (retries.begin(RequestId(9)), retries.begin(RequestId(3)));
        let again = retries.begin(RequestId(3));
        assert_eq!(retries.oldest(), Some(RequestId(3)));
        drop(early);
        assert_eq!(retries.oldest(), Some(RequestId(3)));
        drop(again);
        assert_eq!(retries.oldest(), Some(RequestId(9)));
        drop(late);
        assert_eq!(retries.oldest(), None);
    }
}
