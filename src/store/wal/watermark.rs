//! Monotonic watermark with asynchronous waiters: each waiter is woken once, when the mark reaches its number, and not at every
//! fsync. A cancelled waiter leaves nothing behind.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The mark and its waiters.
#[derive(Default)]
pub(in crate::store) struct Watermark {
    mark: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    /// by awaited number, then by order of arrival
    wakers: BTreeMap<(u64, u64), Waker>,
    arrivals: u64,
}

impl Watermark {
    pub(in crate::store) fn from(mark: u64) -> Watermark {
        Watermark {
            mark: mark.into(),
            waiters: Mutex::default(),
        }
    }

    /// Raises the mark and wakes the waiters that it has reached, outside the lock.
    pub(in crate::store) fn advance(&self, to: u64) {
        let due = {
            let mut waiters = self.lock();
            self.mark.fetch_max(to, Ordering::AcqRel);
            let later = waiters.wakers.split_off(&(to, u64::MAX));
            std::mem::replace(&mut waiters.wakers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Resolves once the mark is at least `number`.
    pub(in crate::store) fn reached(&self, number: u64) -> WatermarkWait<'_> {
        WatermarkWait {
            watermark: self,
            number,
            arrival: None,
        }
    }

    fn is_at_least(&self, number: u64) -> bool {
        self.mark.load(Ordering::Acquire) >= number
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Future of one waiter.
pub(in crate::store) struct WatermarkWait<'a> {
    watermark: &'a Watermark,
    number: u64,
    /// set once it is registered
    arrival: Option<u64>,
}

impl Future for WatermarkWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.watermark.is_at_least(self.number) {
            return Poll::Ready(());
        }
        let mut waiters = self.watermark.lock();
        // the mark is raised under this lock: a waiter registered now is woken
        if self.watermark.is_at_least(self.number) {
            return Poll::Ready(());
        }
        let arrival = self.arrival.unwrap_or(waiters.arrivals);
        waiters.arrivals += u64::from(self.arrival.is_none());
        waiters
            .wakers
            .entry((self.number, arrival))
            .or_insert_with(|| context.waker().clone())
            .clone_from(context.waker());
        drop(waiters);
        self.arrival = Some(arrival);
        Poll::Pending
    }
}

impl Drop for WatermarkWait<'_> {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival
            && !self.watermark.is_at_least(self.number)
        {
            self.watermark.lock().wakers.remove(&(self.number, arrival));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll_ready(wait: &mut WatermarkWait<'_>, wakes: &Arc<WakeCount>) -> bool {
        Pin::new(wait)
            .poll(&mut Context::from_waker(&wakes.clone().into()))
            .is_ready()
    }

    #[test]
    fn watermark_waiter_is_woken_once_when_its_number_is_reached() {
        let watermark = Watermark::from(10);
        let wakes: Vec<Arc<WakeCount>> = (0..4).map(|_| Arc::default()).collect();
        let mut waits: Vec<WatermarkWait> = [10, 11, 13, 13]
            .into_iter()
            .map(|number| watermark.reached(number))
            .collect();
        let ready: Vec<bool> = waits
            .iter_mut()
            .zip(&wakes)
            .map(|(wait, wakes)| poll_ready(wait, wakes))
            .collect();
        assert_eq!(ready, [true, false, false, false]);
        let times = || {
            wakes
                .iter()
                .map(|wakes| wakes.0.load(Ordering::SeqCst))
                .collect::<Vec<_>>()
        };
        watermark.advance(12);
        assert_eq!(times(), [0, 1, 0, 0]);
        // a second poll must not register a second waker
        assert!(!poll_ready(&mut waits[2], &wakes[2]));
        watermark.advance(13);
        watermark.advance(20);
        assert_eq!(times(), [0, 1, 1, 1]);
        assert!(
            waits[1..]
                .iter_mut()
                .zip(&wakes[1..])
                .all(|(wait, wakes)| poll_ready(wait, wakes))
        );
        assert!(watermark.lock().wakers.is_empty());
    }

    #[test]
    fn watermark_cancelled_waiter_is_removed() {
        let watermark = Watermark::default();
        let wakes = Arc::<WakeCount>::default();
        let mut wait = watermark.reached(5);
        assert!(!poll_ready(&mut wait, &wakes));
        drop(wait);
        assert!(watermark.lock().wakers.is_empty());
        watermark.advance(5);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn watermark_concurrent_advance_misses_no_waiter() {
        let watermark = Arc::new(Watermark::default());
        let shared = watermark.clone();
        let thread =
            std::thread::spawn(move || (1..=20_000).for_each(|number| shared.advance(number)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for number in (1..=20_000).step_by(7) {
                tokio::time::timeout(
                    std::time::Duration::from_secs(20),
                    watermark.reached(number),
                )
                .await
                .expect("the waiter is woken");
            }
        });
        thread.join().expect("the thread advances to the end");
    }
}
