//! Adopting wall time: by itself once it has run steadily, or by an audited command. Windows follow adopted time, so
//! nothing else in the program may move them.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::owner_limits::AffectedLimits;
use crate::control::{ChangeOutcome, Control, beside};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::time::{Adoption, ClockStatus, STEADY_MS};
use crate::domain::zone::Zone;

/// How long adopting an earlier time waits until all that was logged before is in the books.
const BOOKED_WAIT: Duration = Duration::from_secs(5);
/// How long an adoption waits for another to end.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// How long adopting an earlier time waits for a correction or a verification to end.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// How often the clocks are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a start or an end waits for time to be noted; a disk that stalls holds neither up.
const NOTE_WAIT: Duration = Duration::from_secs(2);

/// Why a wall clock may be adopted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// it has run steadily
    Steady,
    /// somebody says that it is right
    Given,
}

impl Control {
    /// How the clocks stand to each other, after a look at them.
    pub async fn clock(&self, _grant: &Grant<may::ReadClock>) -> ClockStatus {
        self.look_at_clock().await;
        self.time.status()
    }

    /// Adopts the wall clock as it is now. Returns what that did.
    pub async fn accept_clock(
        &self,
        grant: &Grant<may::AcceptClock>,
    ) -> Result<Adoption, ApiError> {
        let adopted = self.adopt(grant.actor().clone(), Leave::Given).await?;
        adopted.ok_or_else(|| {
            ApiError::new(
                ErrorCode::Internal,
                "the wall clock was not adopted; try again",
            )
        })
    }

    /// Adopts the wall clock if it has run steadily for long enough. What cannot be stored now is due again at the next
    /// look.
    async fn look_at_clock(&self) {
        if self.time.poll_adoption().is_some()
            && let Err(problem) = self.adopt(Actor::Process, Leave::Steady).await
        {
            tracing::debug!(%problem, "the wall clock has run steadily but is not adopted yet");
        }
    }

    async fn note_time(&self) -> Result<(), ApiError> {
        let anchor = self.time.anchor();
        self.store
            .write(move |books| books.put_anchor(&anchor).map_err(ApiError::from))
            .await
    }

    /// One at a time, and carried to its end even if the caller hangs up: what is committed must also be in force.
    async fn adopt(&self, actor: Actor, leave: Leave) -> Result<Option<Adoption>, ApiError> {
        let turn = tokio::time::timeout(TURN_WAIT, self.adopting.clone().lock_owned()).await;
        let turn = turn.map_err(|_| busy("it is being adopted already"))?;
        let control = self.clone();
        let task = tokio::spawn(async move {
            let _turn = turn;
            control.adopt_alone(&actor, leave).await
        });
        task.await.unwrap_or_else(|error| {
            Err(ApiError::new(
                ErrorCode::Internal,
                format!("the adoption broke off: {error}"),
            ))
        })
    }

    async fn adopt_alone(&self, actor: &Actor, leave: Leave) -> Result<Option<Adoption>, ApiError> {
        let adoption = match leave {
            Leave::Steady => self.time.poll_adoption(),
            Leave::Given => Some(self.time.adoption()),
        };
        let Some(adoption) = adoption else {
            return Ok(None);
        };
        if leave == Leave::Steady && adoption.in_step() {
            // a step that is no jump: nobody needs to hear of it
            self.store
                .write(move |books| books.put_anchor(&adoption.anchor).map_err(ApiError::from))
                .await?;
            self.time.adopt(&adoption);
            return Ok(Some(adoption));
        }
        let action = if leave == Leave::Steady {
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
            "time was {} and is {}",
            instant(adoption.from_ms),
            instant(adoption.anchor.now_ms)
        );
        Ok(Some(adoption))
    }

    /// Windows that the ledger has forgotten come back with what was spent in them; nobody may correct that meanwhile.
    async fn set_back(
        &self,
        actor: &Actor,
        action: &'static str,
        adoption: Adoption,
    ) -> Result<(), ApiError> {
        let quiet = tokio::time::timeout(QUIET_WAIT, self.books_still.lock()).await;
        let _quiet = quiet.map_err(|_| busy("the books are being corrected or verified"))?;
        let windows = self.ledger.prepare_set_back(adoption.anchor.now_ms);
        let booked = tokio::time::timeout(BOOKED_WAIT, self.ledger.wal().wait_posted()).await;
        booked.map_err(|_| busy("the books are behind the log"))?;
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
        self.apply(actor, action, move |books, _| {
            books.put_anchor(&adoption.anchor)?;
            Ok(ChangeOutcome {
                answer: (),
                subject: "clock".to_owned(),
                detail,
                touched: AffectedLimits::default(),
            })
        })
        .await
    }
}

/// Looks at the clocks until it is told to end.
pub(super) async fn watch(control: Control, mut told: watch::Receiver<bool>) {
    let mut was_in_step = true;
    loop {
        control.look_at_clock().await;
        let standing = control.time.status();
        if was_in_step && !standing.in_step() {
            tracing::warn!(
                "the wall clock is {} s off adopted time, by which budgets, keys and reports go until it has run steadily for \
                 {} minutes; `gatekeeper clock` shows both, `gatekeeper clock accept` adopts it at once",
                standing.ahead_ms() / 1_000,
                STEADY_MS / 60_000
            );
        }
        was_in_step = standing.in_step();
        tokio::select! {
            _ = told.wait_for(|ends| *ends) => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    note(&control).await;
}

/// Notes where time goes on from after a restart, if that can be done now.
pub(super) async fn note(control: &Control) {
    match tokio::time::timeout(NOTE_WAIT, control.note_time()).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => {
            tracing::warn!(%problem, "the time could not be noted for the next start")
        }
        Err(_) => tracing::warn!(
            "the time could not be noted for the next start: the disk does not answer"
        ),
    }
}

fn busy(why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::LedgerUnavailable,
        format!("the wall clock was not adopted: {why}; try again in a moment"),
    )
    .with_retry_after(1)
}

fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
