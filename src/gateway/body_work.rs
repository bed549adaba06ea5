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
pub(super) struct BodyWork {
    places: Arc<Semaphore>,
    return_memory: fn(),
}

impl BodyWork {
    /// `return_memory` gives the free memory of its thread back to the system, where work on a large body took much of it.
    pub fn new(return_memory: fn()) -> BodyWork {
        BodyWork {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            return_memory,
        }
    }

    /// Runs work on a body of so many bytes.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match bytes {
            ..=LARGE_BYTES => work(),
            // boxed, so that the requests with small bodies do not carry the size of these waits
            _ => Box::pin(self.run_beside(work)).await,
        }
    }

    /// Runs work beside the worker's loop.
    async fn run_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let defect = || ApiError::defect("the work on a body was lost");
        let place = self.places.clone().acquire_owned().await;
        let (place, return_memory) = (place.map_err(|_| defect())?, self.return_memory);
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            return_memory();
            drop(place);
            result
        });
        work.await.unwrap_or_else(|_| Err(defect()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// Waits in the work for another task of the loop.
    fn wait_for(signal: &mpsc::Receiver<()>) -> Result<(), ApiError> {
        let received = signal.recv_timeout(TIMEOUT);
        received.map_err(|_| ApiError::defect("no other task ran"))
    }

    #[tokio::test]
    async fn work_on_a_large_body_leaves_the_loop_to_other_tasks() {
        let (send, signal) = mpsc::channel();
        let work = BodyWork::new(|| {});
        let large = work.run(LARGE_BYTES + 1, move || wait_for(&signal));
        let other = async { send.send(()).expect("the work waits") };
        let (result, ()) = tokio::join!(large, other);
        result.expect("a task of the loop ran beside the work");
    }

    #[tokio::test]
    async fn third_large_body_waits_until_one_of_two_is_done() {
        let work = BodyWork::new(|| {});
        let (first_send, first) = mpsc::channel();
        let (second_send, second) = mpsc::channel();
        let (third_send, third) = mpsc::channel();
        let started = async {
            tokio::task::yield_now().await;
            let early = third.recv_timeout(Duration::from_millis(20)).is_ok();
            first_send.send(()).expect("the first waits");
            second_send.send(()).expect("the second waits");
            early
        };
        let (one, two, three, early) = tokio::join!(
            work.run(LARGE_BYTES + 1, move || wait_for(&first)),
            work.run(LARGE_BYTES + 1, move || wait_for(&second)),
            work.run(LARGE_BYTES + 1, move || {
                let _ = third_send.send(());
                Ok(())
            }),
            started,
        );
        assert!(!early, "the third ran beside the first two");
        one.and(two).and(three).expect("all are done");
    }

    #[tokio::test]
    async fn work_on_a_small_body_stays_on_its_thread() {
        let here = thread::current().id();
        let work = BodyWork::new(|| {});
        let there = work.run(LARGE_BYTES, || Ok(thread::current().id()));
        assert_eq!(there.await.expect("done"), here);
    }

    #[tokio::test]
    async fn memory_is_returned_after_work_on_a_large_body_alone() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        let work = BodyWork::new(|| {
            TIMES.fetch_add(1, Ordering::SeqCst);
        });
        for (bytes, times) in [(LARGE_BYTES, 0), (LARGE_BYTES + 1, 1)] {
            work.run(bytes, || Ok(())).await.expect("done");
            assert_eq!(TIMES.load(Ordering::SeqCst), times);
        }
    }
}
