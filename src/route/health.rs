//! Health of one deployment, shared by all routes that lead to it: circuit breaker, calls in flight, calls and tokens of the last minute
//! against their bounds, and the time to first content.
//! Time is passed in; changes are returned, and the caller logs them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::FailureClass;
use crate::domain::provider_key::DeploymentLimits;
use crate::route::breaker::{
    Breaker, BreakerAdmission, BreakerEffect, BreakerState, BreakerTicket,
};
use crate::route::minute::{CountedCall, MinuteWindow};

/// Time after which a latency without new samples counts for a third.
const LATENCY_DECAY_MS: f64 = 30_000.0;
/// Time in which new samples replace old ones.
const LATENCY_TAU_MS: f64 = 10_000.0;
/// Time in which a deployment that fails and recovers again and again is one alert.
const ALERT_PAUSE_MS: u64 = 300_000;

#[derive(Debug)]
pub struct Health {
    /// `provider/model`, or the target of a route with `*`
    pub name: String,
    /// name of its API key, if its provider has several
    pub key: Option<String>,
    in_flight: AtomicU32,
    opened: AtomicU64,
    state: Mutex<HealthState>,
}

#[derive(Debug)]
struct HealthState {
    breaker: Breaker,
    latency: Option<Latency>,
    /// `None` without bounds
    minute: Option<Box<MinuteWindow>>,
    /// time of the last alert of a cooldown
    alerted_ms: Option<u64>,
    /// the end of the present cooldown is an alert too
    is_alerted: bool,
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
    /// cooldowns since the start, failed probes included
    pub opened: u64,
    pub limits: DeploymentLimits,
    /// of the last minute; counted where there are bounds
    pub requests: u64,
    pub tokens: u64,
}

/// Change of the state, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    pub deployment: String,
    /// name of its API key, if its provider has several
    pub key: Option<String>,
    pub state: BreakerState,
    pub cooldown_ms: u64,
    /// failure that opened the breaker
    pub class: Option<FailureClass>,
    /// worth a message: the deployment left the rotation or returned to it, and does not do so every few minutes
    pub is_alert: bool,
}

/// A call to a deployment; counted as in flight until dropped.
#[derive(Debug)]
pub struct RunningCall {
    health: Arc<Health>,
    ticket: BreakerTicket,
    has_verdict: bool,
    has_answered: bool,
    /// the vendor may have received it
    is_sent: bool,
    counted: Option<CountedCall>,
    /// usage, once it is known
    tokens: Option<u64>,
}

impl Health {
    pub fn new(name: String, key: Option<String>, probe_interval_ms: u64) -> Health {
        Health {
            name,
            key,
            in_flight: AtomicU32::new(0),
            opened: AtomicU64::new(0),
            state: Mutex::new(HealthState {
                breaker: Breaker::new(probe_interval_ms),
                latency: None,
                minute: None,
                alerted_ms: None,
                is_alerted: false,
            }),
        }
    }

    /// Adds bounds; of several the smallest holds.
    pub(super) fn tighten(&self, limits: DeploymentLimits) {
        if !limits.is_bounded() {
            return;
        }
        let mut state = self.lock();
        match &mut state.minute {
            Some(minute) => minute.tighten(limits),
            none => *none = Some(Box::new(MinuteWindow::new(limits))),
        }
    }

    pub fn status(&self, now_ms: u64) -> HealthStatus {
        let mut state = self.lock();
        let minute = state.minute.as_mut();
        let (limits, (requests, tokens)) = minute.map_or_else(Default::default, |minute| {
            (minute.limits(), minute.usage(now_ms))
        });
        HealthStatus {
            limits,
            requests,
            tokens,
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

    pub(super) fn has_room(&self, now_ms: u64, tokens: u64) -> bool {
        let minute = &mut self.lock().minute;
        let mut minutes = minute.iter_mut();
        minutes.all(|minute| minute.has_room(now_ms, tokens))
    }

    pub(super) fn wait_ms(&self, now_ms: u64, tokens: u64) -> u64 {
        let minute = &mut self.lock().minute;
        let mut minutes = minute.iter_mut();
        minutes
            .next()
            .map_or(0, |minute| minute.wait_ms(now_ms, tokens))
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Expected time to first content; `None` before the first answer.
    pub(super) fn latency_ms(&self, now_ms: u64) -> Option<f64> {
        self.lock().latency.map(|latency| latency.decayed(now_ms))
    }

    /// Counts a call from now on; once a cooldown is over it is the probe. `None` if the bounds leave no room.
    pub(super) fn begin(self: &Arc<Health>, now_ms: u64, tokens: u64) -> Option<RunningCall> {
        let mut state = self.lock();
        let counted = match &mut state.minute {
            Some(minute) => Some(minute.take(now_ms, tokens)?),
            None => None,
        };
        let ticket = state.breaker.begin(now_ms);
        drop(state);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(RunningCall {
            health: self.clone(),
            ticket,
            has_verdict: false,
            has_answered: false,
            is_sent: false,
            counted,
            tokens: None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCall {
    /// The request goes to the vendor.
    pub fn mark_sent(&mut self) {
        self.is_sent = true;
    }

    /// Usage of the call, input and output together.
    pub fn note_tokens(&mut self, tokens: u64) {
        self.tokens = Some(tokens);
    }

    /// The first content of the answer is there: a deployment that cooled down is back, before the answer ends.
    pub fn answered(&mut self, now_ms: u64, first_content_ms: u64) -> Option<HealthChange> {
        self.has_answered = true;
        let mut state = self.health.lock();
        let (latency, sample_ms) = (state.latency, first_content_ms as f64);
        state.latency = Some(Latency::with_sample(latency, sample_ms, now_ms));
        let has_closed = state.breaker.answered(&mut self.ticket);
        self.closed(has_closed, &mut state)
    }

    /// The answer is complete; `first_content_ms` is unknown for an answer without content.
    pub fn succeeded(
        &mut self,
        now_ms: u64,
        first_content_ms: Option<u64>,
    ) -> Option<HealthChange> {
        let mut state = self.health.lock();
        self.has_verdict = true;
        if let Some(sample_ms) = first_content_ms.filter(|_| !self.has_answered) {
            let (latency, sample_ms) = (state.latency, sample_ms as f64);
            state.latency = Some(Latency::with_sample(latency, sample_ms, now_ms));
        }
        let has_closed = state.breaker.succeeded(now_ms, &mut self.ticket);
        self.closed(has_closed, &mut state)
    }

    fn closed(&self, has_closed: bool, state: &mut HealthState) -> Option<HealthChange> {
        has_closed.then(|| HealthChange {
            is_alert: std::mem::take(&mut state.is_alerted),
            ..self.change(BreakerState::Closed)
        })
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
        self.has_verdict = true;
        let failure = (class, retry_after_s);
        let effect = state.breaker.failed(now_ms, failure, self.ticket);
        if effect != BreakerEffect::None {
            self.health.opened.fetch_add(1, Ordering::Relaxed);
        }
        if effect != BreakerEffect::Opened {
            return None;
        }
        let is_alert = state
            .alerted_ms
            .is_none_or(|alerted_ms| now_ms.saturating_sub(alerted_ms) >= ALERT_PAUSE_MS);
        if is_alert {
            state.alerted_ms = Some(now_ms);
            state.is_alerted = true;
        }
        Some(HealthChange {
            cooldown_ms: state.breaker.cooldown_ms(now_ms),
            class: Some(class),
            is_alert,
            ..self.change(BreakerState::Open)
        })
    }

    fn change(&self, state: BreakerState) -> HealthChange {
        HealthChange {
            deployment: self.health.name.clone(),
            key: self.health.key.clone(),
            state,
            cooldown_ms: 0,
            class: None,
            is_alert: false,
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.has_verdict && !self.has_answered {
            self.health.lock().breaker.cancel(self.ticket);
        }
        if let Some(call) = self.counted.take()
            && let Some(minute) = &mut self.health.lock().minute
        {
            let used = self.is_sent.then(|| self.tokens.unwrap_or(0));
            minute.end(call, used);
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

    fn health() -> Arc<Health> {
        Arc::new(Health::new("a/m".into(), None, 5_000))
    }

    #[test]
    fn running_calls_are_counted_and_a_dropped_probe_leaves_the_breaker_half_open() {
        let health = health();
        let mut call = health.begin(0, 0).expect("no bounds");
        assert_eq!(health.status(0).in_flight, 1);
        let change = call.failed(0, FailureClass::BadCredential, None);
        assert_eq!(change.map(|change| change.state), Some(BreakerState::Open));
        drop(call);
        assert_eq!(health.status(0).in_flight, 0);
        assert!(!health.is_available(0) && health.is_available(5_000));
        drop(health.begin(5_000, 0));
        assert!(health.is_available(5_000), "the next call is the probe");
        let mut probe = health.begin(5_000, 0).expect("no bounds");
        assert!(!health.is_available(5_000));
        let change = probe.succeeded(5_000, Some(3));
        assert_eq!(
            change.map(|change| change.state),
            Some(BreakerState::Closed)
        );
        assert!(health.is_available(5_000));
    }

    #[test]
    fn deployment_that_flaps_is_one_alert_in_five_minutes() {
        let health = health();
        let alerts = (0..60).flat_map(|round| {
            let now_ms = round * 10_000;
            let call = |at_ms| health.begin(at_ms, 0).expect("no bounds");
            let down = call(now_ms).failed(now_ms, FailureClass::RateLimited, Some(5));
            let up = call(now_ms + 5_000).succeeded(now_ms + 5_000, None);
            let changes = [down, up].map(|change| change.expect("a change"));
            changes.map(|change| (round, change.state, change.is_alert))
        });
        let alerts: Vec<_> = alerts.filter(|(_, _, is_alert)| *is_alert).collect();
        let (open, closed) = (BreakerState::Open, BreakerState::Closed);
        let expected = [(0, open), (0, closed), (30, open), (30, closed)];
        assert_eq!(alerts, expected.map(|(round, state)| (round, state, true)));
    }

    #[test]
    fn latency_rises_at_once_falls_gradually_and_fades_without_samples() {
        let health = health();
        let sample = |ms, now_ms| {
            let mut call = health.begin(now_ms, 0).expect("no bounds");
            drop(call.succeeded(now_ms, Some(ms)));
        };
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
