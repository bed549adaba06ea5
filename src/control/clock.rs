//! Adoption of wall time: automatic once it has run steadily, or by an audited command. Budget windows follow adopted time, so
//! nothing else in the program may move it.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::change::Change;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::time::{Adoption, ClockStatus, STEADY_MS};
use crate::domain::zone::Zone;

/// Longest wait, before an earlier time is adopted, until everything logged is applied to the books.
const APPLIED_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for another adoption to finish.
const ADOPTION_LOCK_WAIT: Duration = Duration::from_secs(10);
/// Longest wait, before an earlier time is adopted, for a correction or verification to finish.
const BOOKS_LOCK_WAIT: Duration = Duration::from_secs(2);

/// Interval between two comparisons of the clocks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait of start and shutdown for the time to be stored; a stalled disk holds up neither.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// Reason to adopt the wall clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AdoptionReason {
    /// it has run steadily
    Steady,
    /// an operator accepted it
    Accepted,
}

impl Control {
    /// Adopted and wall time, after an automatic adoption where one is due.
    pub async fn clock(&self, _grant: &Grant<may::ReadClock>) -> ClockStatus {
        self.adopt_if_steady().await;
        self.time.status()
    }

    /// Adopts the wall clock as it is now.
    pub async fn accept_clock(
        &self,
        grant: &Grant<may::AcceptClock>,
    ) -> Result<Adoption, ApiError> {
        let adopted = self
            .adopt(grant.actor().clone(), AdoptionReason::Accepted)
            .await?;
        adopted
            .ok_or_else(|| ApiError::new(ErrorCode::Internal, "wall clock not adopted; try again"))
    }

    /// Adopts the wall clock if it has run steadily for long enough. If that fails, the next check tries again.
    async fn adopt_if_steady(&self) {
        if self.time.poll_adoption().is_some()
            && let Err(error) = self.adopt(Actor::Process, AdoptionReason::Steady).await
        {
            tracing::debug!(%error, "adoption of the wall clock failed; the next check retries");
        }
    }

    async fn store_anchor(&self) -> Result<(), ApiError> {
        let anchor = self.time.anchor();
        self.store
            .write(move |books| books.put_anchor(&anchor).map_err(ApiError::from))
            .await
    }

    /// One adoption at a time; completes even if the caller hangs up: a committed adoption must also be in force.
    async fn adopt(
        &self,
        actor: Actor,
        reason: AdoptionReason,
    ) -> Result<Option<Adoption>, ApiError> {
        let lock =
            tokio::time::timeout(ADOPTION_LOCK_WAIT, self.adoption_lock.clone().lock_owned()).await;
        let lock = lock.map_err(|_| busy("another adoption is running"))?;
        let control = self.clone();
        let task = tokio::spawn(async move {
            let _lock = lock;
            control.adopt_locked(&actor, reason).await
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("adoption failed: {error}"),
            ))
        })
    }

    async fn adopt_locked(
        &self,
        actor: &Actor,
        reason: AdoptionReason,
    ) -> Result<Option<Adoption>, ApiError> {
        let adoption = match reason {
            AdoptionReason::Steady => self.time.poll_adoption(),
            AdoptionReason::Accepted => Some(self.time.adoption()),
        };
        let Some(adoption) = adoption else {
            return Ok(None);
        };
        if reason == AdoptionReason::Steady && adoption.in_step() {
            // a step within tolerance is not audited
            self.store
                .write(move |books| books.put_anchor(&adoption.anchor).map_err(ApiError::from))
                .await?;
            self.time.adopt(&adoption);
            return Ok(Some(adoption));
        }
        let action = if reason == AdoptionReason::Steady {
            "clock.adopt"
        } else {
            "clock.accept"
        };
        if adoption.by_ms() >= 0 || adoption.in_step() {
            self.commit(actor, action, adoption).await?;
            self.time.adopt(&adoption);
        } else {
            self.set_back(actor, action, adoption)
                .await
                .inspect_err(|_| self.ledger.cancel_set_back())?;
        }
        tracing::warn!(
            from = instant(adoption.from_ms),
            to = instant(adoption.anchor.now_ms),
            "wall clock adopted"
        );
        Ok(Some(adoption))
    }

    /// Adopts an earlier time: windows that the ledger has dropped return with their spend, which no correction may change
    /// meanwhile.
    async fn set_back(
        &self,
        actor: &Actor,
        action: &'static str,
        adoption: Adoption,
    ) -> Result<(), ApiError> {
        let lock = tokio::time::timeout(BOOKS_LOCK_WAIT, self.books_lock.lock()).await;
        let _lock = lock.map_err(|_| busy("the books are being corrected or verified"))?;
        let windows = self.ledger.prepare_set_back(adoption.anchor.now_ms);
        let applied = tokio::time::timeout(APPLIED_WAIT, self.ledger.wal().wait_posted()).await;
        applied.map_err(|_| busy("the books are behind the log"))?;
        let store = self.store.clone();
        let known = blocking(move || store.known_windows(&windows)).await?;
        self.commit(actor, action, adoption).await?;
        self.ledger.set_back(&adoption, known);
        Ok(())
    }

    async fn commit(
        &self,
        actor: &Actor,
        action: &'static str,
        adoption: Adoption,
    ) -> Result<(), ApiError> {
        let detail =
            json!({ "from": instant(adoption.from_ms), "to": instant(adoption.anchor.now_ms) });
        self.apply(actor, move |change: &mut Change<'_, '_>| {
            change.books.put_anchor(&adoption.anchor)?;
            change.audit(action, "clock", &detail)
        })
        .await
    }
}

/// Background task: compares the clocks until shutdown.
pub(super) async fn watch(control: Control, mut shutdown: watch::Receiver<bool>) {
    let mut was_in_step = true;
    loop {
        control.adopt_if_steady().await;
        let status = control.time.status();
        if was_in_step && !status.in_step() {
            tracing::warn!(
                ahead_ms = status.ahead_ms(),
                adopted_after_ms = STEADY_MS,
                "wall clock differs from adopted time, which budgets, keys and reports follow; `gatekeeper clock` shows both, \
                 `gatekeeper clock accept` adopts the wall clock now"
            );
        }
        was_in_step = status.in_step();
        tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => break,
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
    }
    store_time(&control).await;
}

/// Stores the anchor from which time continues after a restart; only logs a failure.
pub(super) async fn store_time(control: &Control) {
    match tokio::time::timeout(STORE_WAIT, control.store_anchor()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "failed to store the time for the next start"),
        Err(_) => tracing::warn!("timeout while storing the time for the next start"),
    }
}

fn busy(reason: &str) -> ApiError {
    ApiError::new(
        ErrorCode::LedgerUnavailable,
        format!("wall clock not adopted: {reason}; try again in a moment"),
    )
    .with_retry_after(1)
}

fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
