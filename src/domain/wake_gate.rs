//! Future that is polled again only after it was woken itself, however often the task around it is polled. For waits on signals that
//! all tasks share and that seldom come, where each poll would take a lock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

pub struct WakeGate<F> {
    future: F,
    /// `None` until the first poll
    signal: Option<Arc<Signal>>,
}

struct Signal {
    woken: AtomicBool,
    task: Waker,
}

impl<F> WakeGate<F> {
    pub fn new(future: F) -> WakeGate<F> {
        WakeGate {
            future,
            signal: None,
        }
    }
}

impl<F: Future + Unpin> Future for WakeGate<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let known = self.signal.take();
        let known = known.filter(|signal| signal.task.will_wake(context.waker()));
        let signal = match known {
            Some(signal) if !signal.woken.load(Ordering::Acquire) => {
                self.signal = Some(signal);
                return Poll::Pending;
            }
            Some(signal) => signal,
            None => Arc::new(Signal {
                woken: AtomicBool::new(false),
                task: context.waker().clone(),
            }),
        };
        // before the poll: a signal that comes during it counts
        signal.woken.store(false, Ordering::Release);
        let waker = Waker::from(signal.clone());
        self.signal = Some(signal);
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;

    use super::*;

    struct CountingWaker(AtomicBool);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    fn task() -> (Arc<CountingWaker>, Waker) {
        let task = Arc::new(CountingWaker(AtomicBool::new(false)));
        (task.clone(), Waker::from(task))
    }

    #[test]
    fn wake_gate_polls_again_after_its_own_wake_or_in_another_task() {
        let (polls, waiting) = (Cell::new(0), RefCell::new(None::<Waker>));
        let mut gate = WakeGate::new(poll_fn(|context| {
            polls.set(polls.get() + 1);
            *waiting.borrow_mut() = Some(context.waker().clone());
            match polls.get() {
                4 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        let mut poll = |waker: &Waker| Pin::new(&mut gate).poll(&mut Context::from_waker(waker));
        let wake = || waiting.take().expect("it was polled").wake();
        let (task_of_first, first) = task();
        for _ in 0..3 {
            assert!(poll(&first).is_pending());
        }
        assert_eq!(polls.get(), 1);
        wake();
        assert!(task_of_first.0.load(Ordering::Acquire));
        assert!(poll(&first).is_pending());
        assert!(poll(&first).is_pending());
        assert_eq!(polls.get(), 2);
        let (task_of_second, second) = task();
        assert!(poll(&second).is_pending());
        assert_eq!(polls.get(), 3);
        wake();
        assert!(task_of_second.0.load(Ordering::Acquire));
        assert!(poll(&second).is_ready());
    }
}
