//! Wait for orders that end calls, shared by the calls of a thread: each call leaves its waker here, and one of them registers all with
//! what orders come from. Orders are rare and calls are many, so that a call must not register by itself.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Parts, among which threads are spread so that they do not wait for each other.
const PARTS: usize = 16;

/// Future that never ends: it is woken by each order, and waits for the next one when it is polled.
type NextOrder = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct OrderWaitList {
    parts: [Part; PARTS],
}

/// Calls of some threads, and their common registration.
struct Part {
    orders: Mutex<NextOrder>,
    waiting: Arc<WaitingCalls>,
}

struct WaitingCalls {
    /// one of the three states below
    registration: AtomicU8,
    places: Mutex<Places>,
}

/// No order would wake a call: the next one that is polled registers.
const DUE: u8 = 0;
/// A call holds the lock of `orders` and registers; others wait for it.
const REGISTERING: u8 = 1;
/// The next order wakes all calls.
const REGISTERED: u8 = 2;

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

impl OrderWaitList {
    /// `orders` makes a future as [`NextOrder`] describes it.
    pub fn new<F: Future<Output = ()> + Send + 'static>(orders: impl Fn() -> F) -> OrderWaitList {
        OrderWaitList {
            parts: std::array::from_fn(|_| Part::new(orders())),
        }
    }

    /// Returns once `is_ordered` holds, which is asked at first and after each order.
    pub async fn wait(&self, is_ordered: impl Fn() -> bool) {
        self.parts[own_part()].wait(is_ordered).await;
    }
}

impl Part {
    fn new(orders: impl Future<Output = ()> + Send + 'static) -> Part {
        Part {
            orders: Mutex::new(Box::pin(orders)),
            waiting: Arc::new(WaitingCalls {
                registration: AtomicU8::new(DUE),
                places: Mutex::default(),
            }),
        }
    }

    async fn wait(&self, is_ordered: impl Fn() -> bool) {
        let mut place = Place {
            part: self,
            number: None,
        };
        // the place first: an order that comes after the question wakes it
        let wait = poll_fn(|context| {
            place.take(context.waker());
            self.register();
            match is_ordered() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        wait.await;
    }

    /// Sees to it that the next order wakes all calls that wait.
    fn register(&self) {
        let registration = &self.waiting.registration;
        if registration.load(Ordering::Acquire) == REGISTERED {
            return;
        }
        let mut orders = lock(&self.orders);
        if registration.load(Ordering::Acquire) == REGISTERED {
            return;
        }
        registration.store(REGISTERING, Ordering::Release);
        let waker = Waker::from(self.waiting.clone());
        let _never_ready = orders.as_mut().poll(&mut Context::from_waker(&waker));
        // fails if an order came during the poll: it has woken all calls, and the first that is polled registers anew
        let _due = registration.compare_exchange(
            REGISTERING,
            REGISTERED,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
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

impl Wake for WaitingCalls {
    fn wake(self: Arc<Self>) {
        self.registration.store(DUE, Ordering::Release);
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
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;

    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn wait_list(orders: &watch::Sender<u32>) -> OrderWaitList {
        OrderWaitList::new(|| {
            let mut orders = orders.subscribe();
            async move { while orders.changed().await.is_ok() {} }
        })
    }

    #[test]
    fn order_wakes_every_call_that_waits_and_none_that_has_ended() {
        let orders = watch::Sender::new(0);
        let list = wait_list(&orders);
        let tasks: [Arc<CountingWaker>; 3] =
            std::array::from_fn(|_| Arc::new(CountingWaker(AtomicUsize::new(0))));
        let wakes = || tasks.each_ref().map(|task| task.0.load(Ordering::SeqCst));
        let wakers = tasks.each_ref().map(|task| Waker::from(task.clone()));
        let mut first = pin!(list.wait(|| *orders.borrow() >= 2));
        let mut second = pin!(list.wait(|| *orders.borrow() >= 1));
        {
            let mut ended = pin!(list.wait(|| false));
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
        let list = wait_list(&orders);
        orders.send_replace(1);
        let mut wait = pin!(list.wait(|| *orders.borrow() == 1));
        let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }

    #[test]
    fn order_during_a_registration_is_followed_by_another_registration() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let part = Part::new(poll_fn(move |context| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        let mut wait = pin!(part.wait(|| false));
        for registrations in [1, 2, 2] {
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), registrations);
        }
    }

    /// A call of a second thread that asks while the first thread is still about to register.
    #[test]
    fn call_that_asks_while_another_thread_registers_is_woken_by_the_next_order() {
        let orders = watch::Sender::new(0);
        let (entered, registering) = mpsc::channel();
        let (proceed, halted) = mpsc::channel::<()>();
        let mut next = orders.subscribe();
        let part = Part::new(async move {
            entered.send(()).expect("the test waits for it");
            halted.recv().expect("the test lets it proceed");
            while next.changed().await.is_ok() {}
        });
        let task = Arc::new(CountingWaker(AtomicUsize::new(0)));
        let wait_pending = |waker: &Waker| {
            let mut wait = Box::pin(part.wait(|| false));
            let polled = wait.as_mut().poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending());
            wait
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| wait_pending(Waker::noop()));
            registering.recv().expect("the first call registers");
            let (done, second) = mpsc::channel();
            let (waker, wait_pending) = (Waker::from(task.clone()), &wait_pending);
            scope.spawn(move || done.send(wait_pending(&waker)));
            // it waits for the first one; if it did not, an order that comes now would have to wake it
            let early = second.recv_timeout(Duration::from_millis(50)).ok();
            if early.is_some() {
                orders.send_replace(1);
            }
            proceed.send(()).expect("the first call waits for it");
            let _first = first.join().expect("the first call is pending");
            let _second = early.unwrap_or_else(|| {
                let second = second.recv().expect("the second call is pending");
                orders.send_replace(1);
                second
            });
            assert_eq!(task.0.load(Ordering::SeqCst), 1, "woken by the order");
        });
    }
}
