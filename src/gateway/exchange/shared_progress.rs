//! Progress of a request through its route, shared by the flow, which makes the attempts, and the hold of the current attempt, which
//! notes the decision about the next one.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::domain::attempt::Decision;
use crate::domain::time::Time;
use crate::gateway::exchange::early_reply::EarlyReply;
use crate::meter::RunningRetry;
use crate::route::{FailedAttempt, Moment, Plan, RouteProgress, Step, mix};
use crate::trace::RequestTrace;

#[derive(Clone)]
pub(in crate::gateway) struct SharedProgress {
    shared: Arc<RequestProgress>,
    time: Arc<Time>,
    /// seed of the jitter
    seed: u64,
    /// estimate of the input
    tokens: u64,
    /// present for a stream of which one attempt may replace another
    early: Option<EarlyReply>,
}

/// Parts of a request that live until its last attempt has ended.
struct RequestProgress {
    progress: Mutex<RouteProgress>,
    trace: Option<Arc<RequestTrace>>,
    /// present once a further attempt was decided on
    retry: OnceLock<RunningRetry>,
}

impl SharedProgress {
    /// Starts with the choice of the first target at this moment.
    pub fn new(
        plan: Plan,
        moment: Moment,
        time: Arc<Time>,
        seed: u64,
        trace: Option<Arc<RequestTrace>>,
    ) -> SharedProgress {
        SharedProgress {
            shared: Arc::new(RequestProgress {
                progress: Mutex::new(RouteProgress::new(plan, moment)),
                trace,
                retry: OnceLock::new(),
            }),
            time,
            seed,
            tokens: moment.tokens,
            early: None,
        }
    }

    /// Progress of another request, which is not traced, with the same clock and jitter.
    pub fn with_plan(&self, plan: Plan) -> SharedProgress {
        let moment = Moment {
            boot_ms: self.boot_ms(),
            ..Moment::default()
        };
        SharedProgress::new(plan, moment, self.time.clone(), self.seed, None)
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

    /// Wait before the next attempt, if there is one.
    pub fn next_wait(&self) -> Option<Duration> {
        self.lock().next_wait()
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

    /// Trace of the request, if it is recorded.
    pub fn trace(&self) -> Option<&RequestTrace> {
        self.shared.trace.as_deref()
    }

    /// Keeps the request among those that have not ended, until its last part is dropped: a further attempt has no hold yet.
    pub fn begin_retry(&self, retry: impl FnOnce() -> RunningRetry) {
        self.shared.retry.get_or_init(retry);
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
        self.shared
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
