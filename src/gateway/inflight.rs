//! Requests in flight: a stopping process waits for them, then ends the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::auth::directory::{Caller, EndedCalls};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::gateway::order_wait_list::OrderWaitList;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// new requests are refused, running ones may finish
    Draining,
    /// running requests end now
    Ending,
}

/// Count of running requests and phase of the process.
pub struct Inflight(Arc<InflightState>);

struct InflightState {
    phase: watch::Sender<Phase>,
    running: AtomicUsize,
    none_left: Notify,
    /// orders that end the calls of a key
    ended: watch::Receiver<EndedCalls>,
    /// calls that wait for a change of the phase or for one of those orders
    waiting: OrderWaitList,
}

/// One running request; counted until its last clone is dropped.
#[derive(Clone)]
pub struct InflightGuard {
    counted: Arc<CountedRequest>,
    /// last order before the call began
    since: u64,
    /// owner of the call's key and its ancestors
    caller: Option<Arc<Caller>>,
}

struct CountedRequest(Arc<InflightState>);

impl Inflight {
    pub fn new(ended: watch::Receiver<EndedCalls>) -> Inflight {
        let phase = watch::channel(Phase::Open).0;
        let waiting = OrderWaitList::new(|| next_orders(phase.subscribe(), ended.clone()));
        Inflight(Arc::new(InflightState {
            phase,
            running: AtomicUsize::new(0),
            none_left: Notify::new(),
            ended,
            waiting,
        }))
    }

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
        self.0.running.fetch_add(1, Ordering::SeqCst);
        Ok(InflightGuard {
            counted: Arc::new(CountedRequest(self.0.clone())),
            since: self.0.ended.borrow().orders(),
            caller: None,
        })
    }

    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    pub fn is_open(&self) -> bool {
        *self.0.phase.borrow() == Phase::Open
    }

    /// Refuses new requests, lets running ones finish for `drain_ms`, then ends the rest within two seconds.
    pub async fn drain(&self, drain_ms: u64) {
        self.0.phase.send_replace(Phase::Draining);
        self.idle_within(drain_ms).await;
        self.0.phase.send_replace(Phase::Ending);
        self.idle_within(2_000).await;
    }

    async fn idle_within(&self, wait_ms: u64) {
        let none_left = async {
            loop {
                // registered before the count is read, so that the last notification is not missed
                let notified = self.0.none_left.notified();
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
    /// Lets orders for the caller's key, or for a key above it, end the call.
    pub(super) fn belong_to(&mut self, caller: &Arc<Caller>) {
        self.caller = Some(caller.clone());
    }

    /// Returns when the call must end: the process waits no longer, or the key was revoked with its running calls.
    pub(super) async fn end_ordered(&self) {
        let waiting = &self.state().waiting;
        waiting.wait(|| self.is_end_ordered()).await;
    }

    /// True if the call must end: what [`InflightGuard::end_ordered`] waits for.
    pub(super) fn is_end_ordered(&self) -> bool {
        *self.state().phase.borrow() == Phase::Ending || self.is_revoked()
    }

    /// True if the call must end because its key was revoked.
    pub(super) fn is_revoked(&self) -> bool {
        let ended = self.state().ended.borrow();
        has_ended(&ended, self.caller.as_deref(), self.since)
    }

    fn state(&self) -> &InflightState {
        &self.counted.0
    }
}

/// Waits for orders as long as any can come.
async fn next_orders(mut phase: watch::Receiver<Phase>, mut ended: watch::Receiver<EndedCalls>) {
    loop {
        tokio::select! {
            Ok(()) = phase.changed() => {}
            Ok(()) = ended.changed() => {}
            else => return std::future::pending().await,
        }
    }
}

/// True if an order after `since` ended the calls of the caller's key or of one above it.
fn has_ended(ended: &EndedCalls, caller: Option<&Caller>, since: u64) -> bool {
    let mut keys = caller.into_iter().flat_map(Caller::keys);
    keys.any(|key| ended.has_ended(key.id, since))
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
