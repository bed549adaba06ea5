//! A number that only rises, and everybody who waits until it is as high as theirs. Each is woken once, when it is, and
//! not at every sync in vain.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub(crate) struct Watermark {
    number: AtomicU64,
    waiting: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    /// by the number that is waited for, then by who came first
    wakers: BTreeMap<(u64, u64), Waker>,
    comers: u64,
}

impl Watermark {
    pub(crate) fn from(number: u64) -> Watermark {
        Watermark {
            number: number.into(),
            waiting: Mutex::default(),
        }
    }

    /// Sets the number and wakes those who waited for it, outside the lock.
    pub(crate) fn raise(&self, to: u64) {
        let due = {
            let mut waiting = self.lock();
            self.number.fetch_max(to, Ordering::AcqRel);
            let later = waiting.wakers.split_off(&(to, u64::MAX));
            std::mem::replace(&mut waiting.wakers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Ends once the number is as high as this.
    pub(crate) fn reached(&self, number: u64) -> WatermarkWait<'_> {
        WatermarkWait {
            reach: self,
            number,
            place: None,
        }
    }

    fn has(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) >= number
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct WatermarkWait<'a> {
    reach: &'a Watermark,
    number: u64,
    /// among those who wait
    place: Option<u64>,
}

impl Future for WatermarkWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.reach.has(self.number) {
            return Poll::Ready(());
        }
        let mut waiting = self.reach.lock();
        // it is raised under the lock: who finds it too low here is in time to be woken
        if self.reach.has(self.number) {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or(waiting.comers);
        waiting.comers += u64::from(self.place.is_none());
        waiting
            .wakers
            .entry((self.number, place))
            .or_insert_with(|| context.waker().clone())
            .clone_from(context.waker());
        drop(waiting);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for WatermarkWait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && !self.reach.has(self.number)
        {
            self.reach.lock().wakers.remove(&(self.number, place));
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
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn polled(reached: &mut WatermarkWait<'_>, woken: &Arc<Woken>) -> bool {
        Pin::new(reached)
            .poll(&mut Context::from_waker(&woken.clone().into()))
            .is_ready()
    }

    #[test]
    fn each_is_woken_once_and_only_when_its_number_is_reached() {
        let reach = Watermark::from(10);
        let woken: Vec<Arc<Woken>> = (0..4).map(|_| Arc::default()).collect();
        let mut waits: Vec<WatermarkWait> = [10, 11, 13, 13]
            .into_iter()
            .map(|number| reach.reached(number))
            .collect();
        let ready: Vec<bool> = waits
            .iter_mut()
            .zip(&woken)
            .map(|(wait, woken)| polled(wait, woken))
            .collect();
        assert_eq!(ready, [true, false, false, false]);
        let times = || {
            woken
                .iter()
                .map(|woken| woken.0.load(Ordering::SeqCst))
                .collect::<Vec<_>>()
        };
        reach.raise(12);
        assert_eq!(times(), [0, 1, 0, 0]);
        // polled again for another reason: still woken once
        assert!(!polled(&mut waits[2], &woken[2]));
        reach.raise(13);
        reach.raise(20);
        assert_eq!(times(), [0, 1, 1, 1]);
        assert!(
            waits[1..]
                .iter_mut()
                .zip(&woken[1..])
                .all(|(wait, woken)| polled(wait, woken))
        );
        assert!(reach.lock().wakers.is_empty());
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let reach = Watermark::default();
        let woken = Arc::<Woken>::default();
        let mut wait = reach.reached(5);
        assert!(!polled(&mut wait, &woken));
        drop(wait);
        assert!(reach.lock().wakers.is_empty());
        reach.raise(5);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn nobody_is_missed_by_a_number_that_rises_meanwhile() {
        let reach = Arc::new(Watermark::default());
        let rising = reach.clone();
        let hand = std::thread::spawn(move || (1..=20_000).for_each(|number| rising.raise(number)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for number in (1..=20_000).step_by(7) {
                tokio::time::timeout(std::time::Duration::from_secs(20), reach.reached(number))
                    .await
                    .expect("it is woken");
            }
        });
        hand.join().expect("it rises to the end");
    }
}
