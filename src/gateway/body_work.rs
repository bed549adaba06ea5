//! Work on large bodies (reading, translation, encoding) leaves the worker's loop, few at once in the process, so that other requests of the
//! worker wait for none of it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::domain::api_error::ApiError;

/// A shorter body takes less than a millisecond.
const LARGE_BYTES: usize = 256 * 1024;
/// Works at once.
const AT_ONCE: usize = 2;

#[derive(Clone)]
pub(super) struct BodyWork(Arc<Semaphore>);

impl Default for BodyWork {
    fn default() -> BodyWork {
        BodyWork(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl BodyWork {
    /// Runs work on a body of so many bytes.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        if bytes <= LARGE_BYTES {
            return work();
        }
        let defect = || ApiError::defect("the work on a body was lost");
        let permit = self.0.clone().acquire_owned().await.map_err(|_| defect())?;
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        work.await.unwrap_or_else(|_| Err(defect()))
    }
}
