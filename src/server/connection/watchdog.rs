//! Runs the future of a connection until it ends, its deadline passes, or the registry displaces it. Then the future is dropped:
//! its socket closes, and a call in it ends as if the client had disconnected.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use super::registry::EndReason;
use super::watch::Watch;

pub(in crate::server) struct Watchdog<F> {
    /// `None` once it has ended
    connection: Option<Pin<Box<F>>>,
    watch: Rc<Watch>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Watchdog<F> {
    pub fn new(connection: F, watch: Rc<Watch>) -> Watchdog<F> {
        Watchdog {
            connection: Some(Box::pin(connection)),
            watch,
            alarm: None,
        }
    }

    /// Reason why the connection must end now; else the task is woken when there may be one.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Option<EndReason> {
        if let Some(entry) = self.watch.entry() {
            entry.displacement().register(context.waker());
            if entry.displacement().is_set() {
                return Some(EndReason::Displaced);
            }
        }
        let (by, reason) = self.watch.deadline()?;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(by.into())));
        // an alarm that is too early is set anew when it rings, since most deadlines only move later
        if alarm.deadline() > by.into() {
            alarm.as_mut().reset(by.into());
        }
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= by {
                return Some(reason);
            }
            alarm.as_mut().reset(by.into());
        }
        None
    }
}

impl<F: Future> Future for Watchdog<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = self.connection.as_mut() else {
            return Poll::Ready(());
        };
        if connection.as_mut().poll(context).is_ready() {
            self.connection = None;
            return Poll::Ready(());
        }
        if self.watch.is_poll_due() {
            context.waker().wake_by_ref();
        }
        match self.poll_end(context) {
            None => Poll::Pending,
            Some(reason) => {
                self.watch.count(reason);
                self.connection = None;
                Poll::Ready(())
            }
        }
    }
}
