//! Progress of a request through its route, shared by the flow, which makes the attempts, and the hold of the current attempt, which
//! notes the decision about the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::Decision;
use crate::domain::time::Time;
use crate::route::{FailedAttempt, RouteProgress, Step};

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
        self.lock().skip();
    }

    /// Number of attempts made.
    pub fn attempts(&self) -> u8 {
        self.lock().attempts()
    }

    pub fn decide(&self, failed: FailedAttempt) -> (Decision, String) {
        let mut progress = self.lock();
        let random = mix(self.seed ^ u64::from(progress.attempts()));
        progress.decide(failed, self.time.boot_ms(), random)
    }

    fn lock(&self) -> MutexGuard<'_, RouteProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mixes the bits of a number (splitmix64).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
