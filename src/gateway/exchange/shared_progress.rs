//! Progress of a request through its route, shared by the flow, which makes the attempts, and the hold of the current attempt, which
//! notes the decision about the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::Decision;
use crate::domain::time::Time;
use crate::gateway::exchange::early_reply::EarlyReply;
use crate::route::{FailedAttempt, Moment, Plan, RouteProgress, Step, mix};

#[derive(Clone)]
pub(in crate::gateway) struct SharedProgress {
    progress: Arc<Mutex<RouteProgress>>,
    time: Arc<Time>,
    /// seed of the jitter
    seed: u64,
    /// estimate of the input
    tokens: u64,
    /// present for a stream of which one attempt may replace another
    early: Option<EarlyReply>,
}

impl SharedProgress {
    /// Starts with the choice of the first target at this moment.
    pub fn new(plan: Plan, moment: Moment, time: Arc<Time>, seed: u64) -> SharedProgress {
        SharedProgress {
            progress: Arc::new(Mutex::new(RouteProgress::new(plan, moment))),
            time,
            seed,
            tokens: moment.tokens,
            early: None,
        }
    }

    /// The reply whose head may go out before an attempt has content.
    pub(super) fn early(&self) -> Option<EarlyReply> {
        self.early.clone()
    }

    /// The same progress with a reply whose head may go out early.
    #[must_use]
    pub fn with_early(&self, early: EarlyReply) -> SharedProgress {
        SharedProgress {
            early: Some(early),
            ..self.clone()
        }
    }

    /// Returns `true` if a failed attempt may be followed by another.
    pub fn has_attempts(&self) -> bool {
        self.lock().has_attempts()
    }

    /// Time until the bounds of a target leave room for the request; `None` if no bound is in the way.
    pub fn limited_ms(&self) -> Option<u64> {
        let moment = self.moment();
        self.lock().limited_ms(moment)
    }

    /// The next attempt, if there is one.
    pub fn take_next(&self) -> Option<Step> {
        self.lock().take_next()
    }

    /// Counts the attempt of the current step as made.
    pub fn begin(&self) {
        self.lock().begin();
    }

    /// Skips the current step without an attempt.
    pub fn skip(&self) {
        let moment = self.moment();
        self.lock().skip(moment);
    }

    /// Number of attempts made.
    pub fn attempts(&self) -> u8 {
        self.lock().attempts()
    }

    pub fn decide(&self, failed: FailedAttempt) -> (Decision, String) {
        let moment = self.moment();
        self.lock().decide(failed, moment)
    }

    pub fn boot_ms(&self) -> u64 {
        self.time.boot_ms()
    }

    /// Later choices do not depend on the conversation: its own target has failed.
    fn moment(&self) -> Moment {
        Moment {
            boot_ms: self.time.boot_ms(),
            random: mix(self.seed ^ u64::from(self.attempts())),
            conversation: None,
            tokens: self.tokens,
        }
    }

    fn lock(&self) -> MutexGuard<'_, RouteProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
