//! Wait for orders that end calls, shared by the calls of a thread: each call leaves its waker here, and one of them registers all with
//! what orders come from. Orders are rare and calls are many, so that a call must not register by itself.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Parts, among which threads are spread so that they do not wait for each other.
const PARTS: usize = 16;

/// Future that never ends: it is woken by each order, and waits for the next one when it is polled.
type NextOrder = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct OrderBell {
    parts: [Part; PARTS],
}

struct Part {
    orders: Mutex<NextOrder>,
    waiting: Arc<WaitList>,
}

/// Calls of some threads that wait.
struct WaitList {
    /// the next poll registers with the source of orders
    is_due: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Place of one call among the waiting, from its first wait on.
struct Place<'b> {
    part: &'b Part,
    number: Option<usize>,
}

impl OrderBell {
    /// `orders` makes a future as [`NextOrder`] describes it.
    pub fn new<F: Future<Output = ()> + Send + 'static>(orders: impl Fn() -> F) -> OrderBell {
        OrderBell {
            parts: std::array::from_fn(|_| Part {
                orders: Mutex::new(Box::pin(orders())),
                waiting: Arc::new(WaitList {
                    is_due: AtomicBool::new(true),
                    places: Mutex::default(),
                }),
            }),
        }
    }

    /// Returns once `is_ordered` holds, which is asked at first and after each order.
    pub async fn wait(&self, is_ordered: impl Fn() -> bool) {
        let mut place = Place {
            part: &self.parts[own_part()],
            number: None,
        };
        // the place first: an order that comes after the question wakes it
        let wait = poll_fn(|context| {
            place.take(context.waker());
            place.part.register();
            match is_ordered() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        wait.await;
    }
}

impl Part {
    /// Sees to it that the next order wakes all that wait.
    fn register(&self) {
        if !self.waiting.is_due.load(Ordering::Acquire) {
            return;
        }
        let mut orders = lock(&self.orders);
        // before the poll: an order that comes during it counts
        self.waiting.is_due.store(false, Ordering::Release);
        let waker = Waker::from(self.waiting.clone());
        let _never_ready = orders.as_mut().poll(&mut Context::from_waker(&waker));
    }
}

impl Place<'_> {
    fn take(&mut self, waker: &Waker) {
        let mut places = lock(&self.part.waiting.places);
        match self.number {
            Some(number) => places.wakers[number] = Some(waker.clone()),
            None => self.number = Some(places.add(waker.clone())),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut places = lock(&self.part.waiting.places);
            places.wakers[number] = None;
            places.free.push(number);
        }
    }
}

impl Places {
    fn add(&mut self, waker: Waker) -> usize {
        let number = self.free.pop().unwrap_or(self.wakers.len());
        match self.wakers.get_mut(number) {
            Some(free) => *free = Some(waker),
            None => self.wakers.push(Some(waker)),
        }
        number
    }
}

impl Wake for WaitList {
    fn wake(self: Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        let waiting: Vec<Waker> = lock(&self.places)
            .wakers
            .iter()
            .flatten()
            .cloned()
            .collect();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Part of the present thread.
fn own_part() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % PARTS);
    }
    PART.get()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::watch;

    use super::*;

    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn bell(orders: &watch::Sender<u32>) -> OrderBell {
        OrderBell::new(|| {
            let mut orders = orders.subscribe();
            async move { while orders.changed().await.is_ok() {} }
        })
    }

    #[test]
    fn order_wakes_every_call_that_waits_and_none_that_has_ended() {
        let orders = watch::Sender::new(0);
        let bell = bell(&orders);
        let tasks: [Arc<CountingWaker>; 3] =
            std::array::from_fn(|_| Arc::new(CountingWaker(AtomicUsize::new(0))));
        let wakes = || tasks.each_ref().map(|task| task.0.load(Ordering::SeqCst));
        let wakers = tasks.each_ref().map(|task| Waker::from(task.clone()));
        let mut first = pin!(bell.wait(|| *orders.borrow() >= 2));
        let mut second = pin!(bell.wait(|| *orders.borrow() >= 1));
        {
            let mut ended = pin!(bell.wait(|| false));
            let polled = ended.as_mut().poll(&mut Context::from_waker(&wakers[2]));
            assert!(polled.is_pending());
        }
        let mut poll = |first_too: bool| {
            let mut ready = second.as_mut().poll(&mut Context::from_waker(&wakers[1]));
            if first_too {
                ready = first.as_mut().poll(&mut Context::from_waker(&wakers[0]));
            }
            ready.is_ready()
        };
        assert!(!poll(true));
        orders.send_replace(1);
        assert_eq!(wakes(), [1, 1, 0]);
        assert!(poll(false));
        // the second call, which has ended, registered the first one too
        orders.send_replace(2);
        assert_eq!(wakes()[0], 2);
        assert!(
            first
                .as_mut()
                .poll(&mut Context::from_waker(&wakers[0]))
                .is_ready()
        );
    }

    #[test]
    fn order_before_the_wait_is_seen() {
        let orders = watch::Sender::new(0);
        let bell = bell(&orders);
        orders.send_replace(1);
        let mut wait = pin!(bell.wait(|| *orders.borrow() == 1));
        let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }
}
