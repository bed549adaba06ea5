//! Which requests are running, so that a stopping process can wait for them, and then tell the rest to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::domain::api_error::{ApiError, ErrorCode};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// nothing new is taken, what runs may finish
    Draining,
    /// what still runs ends now
    Ending,
}

/// The count of running requests and the phase of the process.
pub struct Inflight {
    phase: watch::Sender<Phase>,
    running: Arc<Count>,
}

#[derive(Default)]
struct Count {
    running: AtomicUsize,
    none_left: Notify,
}

impl Default for Inflight {
    fn default() -> Inflight {
        Inflight {
            phase: watch::channel(Phase::Open).0,
            running: Arc::default(),
        }
    }
}

/// One running request; counts until it is dropped.
pub struct InflightGuard {
    phase: watch::Receiver<Phase>,
    running: Arc<Count>,
}

impl Inflight {
    pub(super) fn still_open(&self) -> Result<(), ApiError> {
        if self.is_open() {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::ShuttingDown,
            "the gateway is stopping; try again in a moment",
        )
        .with_retry_after(5))
    }

    pub(super) fn begin(&self) -> Result<InflightGuard, ApiError> {
        self.still_open()?;
        self.running.running.fetch_add(1, Ordering::SeqCst);
        Ok(InflightGuard {
            phase: self.phase.subscribe(),
            running: self.running.clone(),
        })
    }

    pub fn running(&self) -> usize {
        self.running.running.load(Ordering::SeqCst)
    }

    pub fn is_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// Takes nothing new, lets what runs finish for `drain_ms`, then tells the rest to end and gives it two seconds.
    pub async fn drain(&self, drain_ms: u64) {
        self.phase.send_replace(Phase::Draining);
        self.idle_within(drain_ms).await;
        self.phase.send_replace(Phase::Ending);
        self.idle_within(2_000).await;
    }

    async fn idle_within(&self, wait_ms: u64) {
        let none_left = async {
            loop {
                // asked for before the count is read, so that the last one's word is not missed
                let word = self.running.none_left.notified();
                if self.running() == 0 {
                    return;
                }
                word.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), none_left).await;
    }
}

impl InflightGuard {
    /// Returns when the process can wait no longer.
    pub(super) async fn shutdown_deadline(&mut self) {
        if self
            .phase
            .wait_for(|phase| *phase == Phase::Ending)
            .await
            .is_err()
        {
            // the gateway itself is gone: nobody is left to tell
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        if self.running.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.running.none_left.notify_waiters();
        }
    }
}
