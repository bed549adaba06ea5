//! Health of one deployment, shared by all routes that lead to it: circuit breaker, calls in flight, and the time to first content.
//! Time is passed in; changes are returned, and the caller logs them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::FailureClass;
use crate::route::breaker::{Breaker, BreakerAdmission, BreakerState};

/// Time after which a latency without new samples counts for a third.
const LATENCY_DECAY_MS: f64 = 30_000.0;
/// Time in which new samples replace old ones.
const LATENCY_TAU_MS: f64 = 10_000.0;

#[derive(Debug)]
pub struct Health {
    /// `provider/model`, or the target of a route with `*`
    pub name: String,
    in_flight: AtomicU32,
    opened: AtomicU64,
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    breaker: Breaker,
    latency: Option<Latency>,
}

/// Peak-sensitive moving average: a slower call counts at once, faster ones gradually.
#[derive(Clone, Copy, Debug)]
struct Latency {
    ms: f64,
    at_ms: u64,
}

/// Figures of a deployment at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthStatus {
    pub state: BreakerState,
    pub cooldown_ms: u64,
    pub in_flight: u32,
    /// `None` before the first answer
    pub first_content_ms: Option<u64>,
    /// cooldowns since the start
    pub opened: u64,
}

/// Change of the state, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    pub deployment: String,
    pub state: BreakerState,
    pub cooldown_ms: u64,
}

/// A call to a deployment; counted as in flight until dropped.
#[derive(Debug)]
pub struct RunningCall {
    health: Arc<Health>,
    is_probe: bool,
}

impl Health {
    pub fn new(name: String) -> Health {
        Health {
            name,
            in_flight: AtomicU32::new(0),
            opened: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub fn status(&self, now_ms: u64) -> HealthStatus {
        let state = self.lock();
        HealthStatus {
            state: state.breaker.state(now_ms),
            cooldown_ms: state.breaker.cooldown_ms(now_ms),
            in_flight: self.in_flight(),
            first_content_ms: state.latency.map(|latency| latency.ms as u64),
            opened: self.opened.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_available(&self, now_ms: u64) -> bool {
        self.lock().breaker.admission(now_ms) != BreakerAdmission::Cooling
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Expected time to first content; `None` before the first answer.
    pub(super) fn latency_ms(&self, now_ms: u64) -> Option<f64> {
        self.lock().latency.map(|latency| latency.decayed(now_ms))
    }

    /// Counts a call from now on; during a cooldown that is over it is the probe.
    pub(super) fn begin(self: &Arc<Health>, now_ms: u64) -> RunningCall {
        let mut state = self.lock();
        let is_probe = state.breaker.admission(now_ms) == BreakerAdmission::Probe;
        if is_probe {
            state.breaker.begin_probe();
        }
        drop(state);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        RunningCall {
            health: self.clone(),
            is_probe,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCall {
    /// The deployment answered; `first_content_ms` is unknown for an answer without content.
    pub fn succeeded(
        &mut self,
        now_ms: u64,
        first_content_ms: Option<u64>,
    ) -> Option<HealthChange> {
        let mut state = self.health.lock();
        self.is_probe = false;
        if let Some(sample_ms) = first_content_ms {
            state.latency = Some(Latency::with_sample(
                state.latency,
                sample_ms as f64,
                now_ms,
            ));
        }
        let has_closed = state.breaker.succeeded(now_ms);
        has_closed.then(|| self.change(BreakerState::Closed, 0))
    }

    /// The deployment failed. A failure that is the request's own counts as an answer.
    pub fn failed(
        &mut self,
        now_ms: u64,
        class: FailureClass,
        retry_after_s: Option<u64>,
    ) -> Option<HealthChange> {
        match class {
            FailureClass::Gateway => return None,
            FailureClass::BadRequest
            | FailureClass::ContextTooLong
            | FailureClass::ContentFiltered => return self.succeeded(now_ms, None),
            _ => {}
        }
        let mut state = self.health.lock();
        self.is_probe = false;
        if !state.breaker.failed(now_ms, class, retry_after_s) {
            return None;
        }
        self.health.opened.fetch_add(1, Ordering::Relaxed);
        let cooldown_ms = state.breaker.cooldown_ms(now_ms);
        Some(self.change(BreakerState::Open, cooldown_ms))
    }

    fn change(&self, state: BreakerState, cooldown_ms: u64) -> HealthChange {
        HealthChange {
            deployment: self.health.name.clone(),
            state,
            cooldown_ms,
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.is_probe {
            self.health.lock().breaker.cancel_probe();
        }
    }
}

impl Latency {
    fn with_sample(before: Option<Latency>, sample_ms: f64, now_ms: u64) -> Latency {
        let ms = match before {
            Some(before) if before.decayed(now_ms) > sample_ms => {
                let elapsed_ms = now_ms.saturating_sub(before.at_ms) as f64;
                // at least a tenth, so that a burst of calls is not judged by its first
                let share = (-elapsed_ms / LATENCY_TAU_MS).exp().min(0.9);
                before.decayed(now_ms) * share + sample_ms * (1.0 - share)
            }
            _ => sample_ms,
        };
        Latency { ms, at_ms: now_ms }
    }

    fn decayed(&self, now_ms: u64) -> f64 {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms) as f64;
        self.ms * (-elapsed_ms / LATENCY_DECAY_MS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_calls_are_counted_and_a_dropped_probe_leaves_the_breaker_half_open() {
        let health = Arc::new(Health::new("a/m".into()));
        let mut call = health.begin(0);
        assert_eq!(health.status(0).in_flight, 1);
        let change = call.failed(0, FailureClass::BadCredential, None);
        assert_eq!(change.map(|change| change.state), Some(BreakerState::Open));
        drop(call);
        assert_eq!(health.status(0).in_flight, 0);
        assert!(!health.is_available(0) && health.is_available(60_000));
        drop(health.begin(60_000));
        assert!(health.is_available(60_000), "the next call is the probe");
        let mut probe = health.begin(60_000);
        assert!(!health.is_available(60_000));
        let change = probe.succeeded(60_000, Some(3));
        assert_eq!(
            change.map(|change| change.state),
            Some(BreakerState::Closed)
        );
        assert!(health.is_available(60_000));
    }

    #[test]
    fn latency_rises_at_once_falls_gradually_and_fades_without_samples() {
        let health = Arc::new(Health::new("a/m".into()));
        let sample = |ms, now_ms| drop(health.begin(now_ms).succeeded(now_ms, Some(ms)));
        assert_eq!(health.latency_ms(0), None);
        sample(100, 0);
        sample(2_000, 0);
        assert_eq!(health.latency_ms(0), Some(2_000.0));
        sample(100, 0);
        assert!(
            health
                .latency_ms(0)
                .is_some_and(|ms| (1_500.0..2_000.0).contains(&ms))
        );
        assert!(health.latency_ms(300_000).is_some_and(|ms| ms < 1.0));
    }
}
