//! Monotonic watermark with asynchronous waiters. When the mark rises, one waiter of each thread is woken, which wakes the others of
//! its thread whose number is reached: a wake from another thread costs a system call, one from the own thread does not. A cancelled
//! waiter leaves nothing behind.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

/// The mark and its waiters.
#[derive(Default)]
pub(in crate::store) struct Watermark {
    mark: AtomicU64,
    waiters: Mutex<Waiters>,
}

/// Place of a waiter: the awaited number, then the order of arrival.
type Place = (u64, u64);

#[derive(Default)]
struct Waiters {
    threads: Vec<ThreadWaiters>,
    arrivals: u64,
}

/// Waiters that were first polled by one thread.
struct ThreadWaiters {
    thread: ThreadId,
    wakers: BTreeMap<Place, Waker>,
}

impl Watermark {
    pub(in crate::store) fn from(mark: u64) -> Watermark {
        Watermark {
            mark: mark.into(),
            waiters: Mutex::default(),
        }
    }

    /// Raises the mark and wakes the first waiter of each thread whose number it has reached, outside the lock.
    pub(in crate::store) fn advance(&self, to: u64) {
        let due: Vec<Waker> = {
            let mut waiters = self.lock();
            self.mark.fetch_max(to, Ordering::AcqRel);
            let threads = waiters.threads.iter_mut();
            let due = threads.filter_map(|thread| thread.pop_due(to)).collect();
            waiters.threads.retain(|thread| !thread.wakers.is_empty());
            due
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the mark is at least `number`.
    pub(in crate::store) fn reached(&self, number: u64) -> WatermarkWait<'_> {
        WatermarkWait {
            watermark: self,
            number,
            registered: None,
        }
    }

    fn is_at_least(&self, number: u64) -> bool {
        self.mark.load(Ordering::Acquire) >= number
    }

    /// Removes a waiter, and wakes those of its thread whose number is reached: it may be the one that was woken for all of them.
    fn leave(&self, thread: ThreadId, place: Place) {
        let due = {
            let mut waiters = self.lock();
            let mark = self.mark.load(Ordering::Acquire);
            let own = waiters
                .threads
                .iter_mut()
                .find(|waiting| waiting.thread == thread);
            own.map_or_else(BTreeMap::new, |own| {
                own.wakers.remove(&place);
                own.take_due(mark)
            })
        };
        due.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    fn of(&mut self, thread: ThreadId) -> &mut ThreadWaiters {
        let known = self
            .threads
            .iter()
            .position(|waiting| waiting.thread == thread);
        let index = known.unwrap_or_else(|| {
            self.threads.push(ThreadWaiters {
                thread,
                wakers: BTreeMap::new(),
            });
            self.threads.len() - 1
        });
        &mut self.threads[index]
    }
}

impl ThreadWaiters {
    /// The first waiter, if the mark has reached its number.
    fn pop_due(&mut self, mark: u64) -> Option<Waker> {
        let first = self.wakers.first_entry()?;
        (first.key().0 <= mark).then(|| first.remove())
    }

    /// All waiters whose number the mark has reached.
    fn take_due(&mut self, mark: u64) -> BTreeMap<Place, Waker> {
        let later = self.wakers.split_off(&(mark, u64::MAX));
        std::mem::replace(&mut self.wakers, later)
    }
}

/// Future of one waiter.
pub(in crate::store) struct WatermarkWait<'a> {
    watermark: &'a Watermark,
    number: u64,
    /// thread and place under which it waits
    registered: Option<(ThreadId, Place)>,
}

impl Future for WatermarkWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.watermark.is_at_least(self.number) {
            self.leave();
            return Poll::Ready(());
        }
        let mut waiters = self.watermark.lock();
        // the mark is raised under this lock: a waiter registered now is woken
        if self.watermark.is_at_least(self.number) {
            drop(waiters);
            self.leave();
            return Poll::Ready(());
        }
        let (thread, place) = self.registered.unwrap_or_else(|| {
            waiters.arrivals += 1;
            let place = (self.number, waiters.arrivals);
            (std::thread::current().id(), place)
        });
        waiters
            .of(thread)
            .wakers
            .entry(place)
            .or_insert_with(|| context.waker().clone())
            .clone_from(context.waker());
        drop(waiters);
        self.registered = Some((thread, place));
        Poll::Pending
    }
}

impl WatermarkWait<'_> {
    fn leave(&mut self) {
        if let Some((thread, place)) = self.registered.take() {
            self.watermark.leave(thread, place);
        }
    }
}

impl Drop for WatermarkWait<'_> {
    fn drop(&mut self) {
        self.leave();
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

    impl Watermark {
        fn is_unwaited(&self) -> bool {
            let waiters = self.lock();
            waiters
                .threads
                .iter()
                .all(|thread| thread.wakers.is_empty())
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
        assert!(watermark.is_unwaited());
    }

    #[test]
    fn watermark_waiters_of_one_thread_are_woken_by_the_first_of_them() {
        let watermark = Watermark::default();
        let wakes: Vec<Arc<WakeCount>> = (0..4).map(|_| Arc::default()).collect();
        let mut waits: Vec<WatermarkWait> = [1, 2, 3, 9]
            .into_iter()
            .map(|number| watermark.reached(number))
            .collect();
        for (wait, wakes) in waits.iter_mut().zip(&wakes) {
            assert!(!poll_ready(wait, wakes));
        }
        let other = Arc::<WakeCount>::default();
        std::thread::scope(|scope| {
            let wait = scope.spawn(|| {
                let mut wait = watermark.reached(2);
                assert!(!poll_ready(&mut wait, &other));
                wait
            });
            let _wait = wait.join().expect("the thread ends");
            watermark.advance(3);
        });
        let times = || -> Vec<usize> {
            let counts = wakes.iter().map(|wakes| wakes.0.load(Ordering::SeqCst));
            counts.collect()
        };
        assert_eq!(times(), [1, 0, 0, 0], "one of this thread");
        assert_eq!(other.0.load(Ordering::SeqCst), 1, "one of the other");
        assert!(poll_ready(&mut waits[0], &wakes[0]));
        assert_eq!(times(), [1, 1, 1, 0], "it wakes those that are due");
        drop(waits.drain(1..3));
        watermark.advance(9);
        assert_eq!(times(), [1, 1, 1, 1]);
    }

    #[test]
    fn watermark_woken_waiter_that_is_cancelled_wakes_the_others_of_its_thread() {
        let watermark = Watermark::default();
        let wakes: Vec<Arc<WakeCount>> = (0..2).map(|_| Arc::default()).collect();
        let (mut first, mut second) = (watermark.reached(1), watermark.reached(1));
        assert!(!poll_ready(&mut first, &wakes[0]) && !poll_ready(&mut second, &wakes[1]));
        watermark.advance(1);
        assert_eq!(wakes[1].0.load(Ordering::SeqCst), 0);
        drop(first);
        assert_eq!(wakes[1].0.load(Ordering::SeqCst), 1);
        assert!(poll_ready(&mut second, &wakes[1]));
        assert!(watermark.is_unwaited());
    }

    #[test]
    fn watermark_cancelled_waiter_is_removed() {
        let watermark = Watermark::default();
        let wakes = Arc::<WakeCount>::default();
        let mut wait = watermark.reached(5);
        assert!(!poll_ready(&mut wait, &wakes));
        drop(wait);
        assert!(watermark.is_unwaited());
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
