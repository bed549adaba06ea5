//! Settlement of holds: logs the result of a call in the ledger, wakes waiters whose budgets have room again, hands alerts
//! over and teaches the token estimates. Holds no request and no connection.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::event::{CallResult, HoldId, Progress};
use crate::domain::id::RequestId;
use crate::gateway::admission::queue::Queue;
use crate::gateway::alert_outbox::AlertOutbox;
use crate::gateway::metrics::Metrics;
use crate::gateway::mirror_stats::MirrorStats;
use crate::meter::estimates::Estimates;
use crate::meter::{Ceilings, Ledger, Receipt};
use crate::route::{HealthChange, RouteCell};
use crate::store::AppendError;

/// Longest wait of a record for the disk with `ledger.sync = "disk"`.
const DISK_WAIT: Duration = Duration::from_secs(10);

pub(in crate::gateway) struct Settler {
    pub ledger: Arc<Ledger>,
    pub ceilings: Arc<Ceilings>,
    pub queue: Arc<Queue>,
    pub estimates: Arc<Estimates>,
    pub alerts: AlertOutbox,
    pub metrics: Metrics,
    pub mirrors: Arc<MirrorStats>,
    /// prices of models that ran inside a call
    pub routes: Arc<RouteCell>,
}

impl Settler {
    /// A settler whose counters and estimates are at their start.
    pub fn new(
        alerts: AlertOutbox,
        ceilings: Arc<Ceilings>,
        queue: Arc<Queue>,
        routes: Arc<RouteCell>,
    ) -> Settler {
        Settler {
            ledger: alerts.ledger.clone(),
            ceilings,
            queue,
            estimates: Arc::default(),
            alerts,
            metrics: Metrics::default(),
            mirrors: Arc::default(),
            routes,
        }
    }

    /// Settles a hold. On an error the ledger keeps the result and retries; the reply must not be finished. `first` is false
    /// for a retry, which counts in no metric.
    pub fn settle(
        &self,
        id: HoldId,
        result: CallResult,
        first: bool,
    ) -> Result<Receipt, AppendError> {
        let (status, first_content_ms) = (result.status, result.first_content_ms);
        let mut receipt = self.ledger.settle(id, result).inspect_err(|error| {
            if first {
                tracing::error!(error = %error, request = %id.request, "settlement not logged, hold kept");
                self.metrics.ended(status.if_undelivered());
            }
        })?;
        self.queue.wake(&receipt.freed);
        self.alerts.send(std::mem::take(&mut receipt.alerts));
        if first {
            self.metrics.ended(status);
            first_content_ms
                .into_iter()
                .for_each(|ms| self.metrics.began_content(ms));
        }
        Ok(receipt)
    }

    /// Waits until a record is as durable as `ledger.sync` promises.
    pub async fn wait_until_durable(&self, sequence: u64) -> Result<(), ApiError> {
        let mut wait = pin!(self.ledger.wal().wait_committed(sequence));
        // a record that is committed already needs no timer
        let first = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context)));
        if first.await.is_ready() {
            return Ok(());
        }
        let waited = Box::pin(tokio::time::timeout(DISK_WAIT, wait)).await;
        waited.map_err(|_| {
            let waited_s = DISK_WAIT.as_secs();
            let message = format!(
                "the disk under the ledger has not answered for {waited_s} s; try again in a moment"
            );
            ApiError::new(ErrorCode::LedgerUnavailable, message).with_retry_after(5)
        })
    }

    /// Returns a hold without a record: nothing was sent. `counted`: the request stays counted by its rate limits.
    pub fn release(&self, id: HoldId, counted: bool) {
        let released = if counted {
            self.ledger.release_counted(id)
        } else {
            self.ledger.release(id)
        };
        match released {
            Ok(freed) => self.queue.wake(&freed),
            Err(error) => log_unreleased(id.request, &error),
        }
    }

    /// Logs a change of a deployment's health, one line per change, and hands the alerts among them over.
    pub fn note_health(&self, change: Option<HealthChange>) {
        let Some(change) = change else {
            return;
        };
        tracing::warn!(
            deployment = change.deployment.as_str(),
            key = change.key.as_deref(),
            state = change.state.as_str(),
            class = change.class.map(FailureClass::as_str),
            cooldown_ms = change.cooldown_ms,
            "deployment health changed"
        );
        // a full queue leaves the line in the log
        if change.is_alert {
            let _is_queued = self.alerts.deployments.try_send(change);
        }
    }

    /// Logs how far a call has come.
    pub fn log_progress(&self, id: HoldId, progress: Progress) {
        self.ledger.progress(id, progress);
    }
}

fn log_unreleased(request: RequestId, error: &AppendError) {
    tracing::error!(error = %error, request = %request, "hold not released yet");
}
