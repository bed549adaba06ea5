//! Requests in flight: a stopping process waits for them, then ends the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::domain::api_error::{ApiError, ErrorCode};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// new requests are refused, running ones may finish
    Draining,
    /// running requests end now
    Ending,
}

/// Count of running requests and phase of the process.
pub struct Inflight {
    phase: watch::Sender<Phase>,
    running: Arc<Counter>,
}

#[derive(Default)]
struct Counter {
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

/// One running request; counted until its last clone is dropped.
#[derive(Clone)]
pub struct InflightGuard {
    phase: watch::Receiver<Phase>,
    _counted: Arc<CountedRequest>,
}

struct CountedRequest(Arc<Counter>);

impl Inflight {
    pub(super) fn check_open(&self) -> Result<(), ApiError> {
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
        self.check_open()?;
        self.running.running.fetch_add(1, Ordering::SeqCst);
        Ok(InflightGuard {
            phase: self.phase.subscribe(),
            _counted: Arc::new(CountedRequest(self.running.clone())),
        })
    }

    pub fn running(&self) -> usize {
        self.running.running.load(Ordering::SeqCst)
    }

    pub fn is_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// Refuses new requests, lets running ones finish for `drain_ms`, then ends the rest within two seconds.
    pub async fn drain(&self, drain_ms: u64) {
        self.phase.send_replace(Phase::Draining);
        self.idle_within(drain_ms).await;
        self.phase.send_replace(Phase::Ending);
        self.idle_within(2_000).await;
    }

    async fn idle_within(&self, wait_ms: u64) {
        let none_left = async {
            loop {
                // registered before the count is read, so that the last notification is not missed
                let notified = self.running.none_left.notified();
                if self.running() == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), none_left).await;
    }
}

impl InflightGuard {
    /// Returns when the process waits no longer.
    pub(super) async fn shutdown_deadline(&mut self) {
        if self
            .phase
            .wait_for(|phase| *phase == Phase::Ending)
            .await
            .is_err()
        {
            // the gateway itself is gone: no deadline will come
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
