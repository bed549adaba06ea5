//! Progress of a request through its route, shared by the flow, which makes the attempts, and the hold of the current attempt, which
//! notes the decision about the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::Decision;
use crate::domain::time::Time;
use crate::route::{FailedAttempt, Moment, RouteProgress, Step, mix};

#[derive(Clone)]
pub(in crate::gateway) struct SharedProgress {
    progress: Arc<Mutex<RouteProgress>>,
    time: Arc<Time>,
    /// seed of the jitter
    seed: u64,
}

impl SharedProgress {
    pub fn new(progress: RouteProgress, time: Arc<Time>, seed: u64) -> SharedProgress {
        SharedProgress {
            progress: Arc::new(Mutex::new(progress)),
            time,
            seed,
        }
    }

    /// Progress of another request with the same clock and jitter.
    pub fn with_plan(&self, progress: RouteProgress) -> SharedProgress {
        SharedProgress::new(progress, self.time.clone(), self.seed)
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
        }
    }

    fn lock(&self) -> MutexGuard<'_, RouteProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
