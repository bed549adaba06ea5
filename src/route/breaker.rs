//! Circuit breaker of one deployment, as a pure state machine over passed-in time. It opens by consecutive failures, by the share of
//! failures in a sliding window, or at once where the vendor says for how long it takes no calls; then one probe at a time decides.

use crate::domain::attempt::FailureClass;

const CONSECUTIVE_MAX: u32 = 5;
/// The share counts from so many calls in the window.
const WINDOW_CALLS_MIN: u32 = 20;
const WINDOW_FAILED_PERCENT: u32 = 50;
const BUCKET_MS: u64 = 5_000;
const BUCKETS: usize = 6;
const COOLDOWN_FIRST_MS: u64 = 5_000;
const COOLDOWN_MAX_MS: u64 = 60_000;

/// State as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    /// one probe decides
    HalfOpen,
}

impl BreakerState {
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// Admission of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerAdmission {
    Normal,
    Probe,
    Cooling,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    number: u64,
    calls: u32,
    failed: u32,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// end of the cooldown; `None` while closed
    open_until_ms: Option<u64>,
    probing: bool,
    consecutive: u32,
    /// cooldowns since the last success
    opened: u32,
    buckets: [Bucket; BUCKETS],
}

impl Breaker {
    pub fn admission(&self, now_ms: u64) -> BreakerAdmission {
        match self.open_until_ms {
            None => BreakerAdmission::Normal,
            Some(until_ms) if now_ms < until_ms || self.probing => BreakerAdmission::Cooling,
            Some(_) => BreakerAdmission::Probe,
        }
    }

    pub fn state(&self, now_ms: u64) -> BreakerState {
        match self.open_until_ms {
            None => BreakerState::Closed,
            Some(until_ms) if now_ms < until_ms => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Returns `true` during the first cooldown since the last success.
    pub fn is_first_cooldown(&self) -> bool {
        self.opened == 1
    }

    /// Rest of the cooldown.
    pub fn cooldown_ms(&self, now_ms: u64) -> u64 {
        self.open_until_ms
            .map_or(0, |until_ms| until_ms.saturating_sub(now_ms))
    }

    pub fn begin_probe(&mut self) {
        self.probing = true;
    }

    /// The probe ended without a verdict.
    pub fn cancel_probe(&mut self) {
        self.probing = false;
    }

    /// Counts a success; `true` if the breaker closed.
    pub fn succeeded(&mut self, now_ms: u64) -> bool {
        self.consecutive = 0;
        self.bucket(now_ms).calls += 1;
        let was_open = self.open_until_ms.take().is_some();
        if was_open {
            *self = Breaker::default();
        }
        was_open
    }

    /// Counts a failure; `true` if the breaker opened, or opened again.
    pub fn failed(&mut self, now_ms: u64, class: FailureClass, retry_after_s: Option<u64>) -> bool {
        self.consecutive = self.consecutive.saturating_add(1);
        let bucket = self.bucket(now_ms);
        bucket.calls += 1;
        bucket.failed += 1;
        let was_probe = std::mem::take(&mut self.probing);
        let asked_ms = retry_after_s
            .unwrap_or(0)
            .saturating_mul(1_000)
            .min(COOLDOWN_MAX_MS);
        let is_lasting = matches!(
            class,
            FailureClass::BadCredential
                | FailureClass::QuotaExhausted
                | FailureClass::ModelNotFound
        );
        let must_open = was_probe
            || is_lasting
            || asked_ms > 0
            || self.consecutive >= CONSECUTIVE_MAX
            || self.has_failing_share(now_ms);
        // calls that began before the cooldown do not prolong it
        if !must_open || (self.open_until_ms.is_some() && !was_probe) {
            return false;
        }
        let doubled_ms = COOLDOWN_FIRST_MS << self.opened.min(4);
        let cooldown_ms = if is_lasting {
            COOLDOWN_MAX_MS
        } else {
            doubled_ms.min(COOLDOWN_MAX_MS)
        };
        self.opened += 1;
        self.open_until_ms = Some(now_ms + if asked_ms > 0 { asked_ms } else { cooldown_ms });
        true
    }

    fn has_failing_share(&self, now_ms: u64) -> bool {
        let oldest = (now_ms / BUCKET_MS).saturating_sub(BUCKETS as u64 - 1);
        let recent = self.buckets.iter().filter(|bucket| bucket.number >= oldest);
        let (calls, failed) = recent.fold((0, 0), |(calls, failed), bucket| {
            (calls + bucket.calls, failed + bucket.failed)
        });
        calls >= WINDOW_CALLS_MIN && failed * 100 >= calls * WINDOW_FAILED_PERCENT
    }

    fn bucket(&mut self, now_ms: u64) -> &mut Bucket {
        let number = now_ms / BUCKET_MS;
        let bucket = &mut self.buckets[number as usize % BUCKETS];
        if bucket.number != number {
            *bucket = Bucket {
                number,
                ..Bucket::default()
            };
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, now_ms: u64) -> bool {
        breaker.failed(now_ms, FailureClass::Broken, None)
    }

    #[test]
    fn breaker_opens_by_consecutive_failures_and_one_probe_decides() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert!(!fail(&mut breaker, 0));
        }
        assert!(fail(&mut breaker, 0));
        assert_eq!(breaker.admission(4_999), BreakerAdmission::Cooling);
        assert_eq!(breaker.state(4_999), BreakerState::Open);
        // the failure of a call that began before is no second cooldown
        assert!(!fail(&mut breaker, 100));
        assert_eq!(breaker.admission(5_000), BreakerAdmission::Probe);
        breaker.begin_probe();
        assert_eq!(breaker.admission(5_000), BreakerAdmission::Cooling);
        assert!(fail(&mut breaker, 5_000));
        assert_eq!(breaker.cooldown_ms(5_000), 10_000);
        breaker.cancel_probe();
        assert_eq!(breaker.admission(15_000), BreakerAdmission::Probe);
        assert!(breaker.succeeded(15_000));
        assert_eq!(breaker.admission(15_000), BreakerAdmission::Normal);
        assert!(!fail(&mut breaker, 15_001));
    }

    #[test]
    fn breaker_opens_by_the_share_of_failures_in_its_window() {
        let mut breaker = Breaker::default();
        let opened = (0..40).find(|call| {
            let now_ms = call * 100;
            if call % 2 == 0 {
                breaker.succeeded(now_ms)
            } else {
                fail(&mut breaker, now_ms)
            }
        });
        assert_eq!(opened, Some(19));
        // failures that left the window do not count
        let mut breaker = Breaker::default();
        for call in 0..19 {
            assert!(!fail(&mut breaker, call) || call >= 4);
            breaker.succeeded(call);
        }
        assert!(!fail(&mut breaker, 60_000));
    }

    #[test]
    fn vendor_that_names_a_delay_cools_down_for_it_and_an_account_for_the_longest() {
        let mut breaker = Breaker::default();
        assert!(breaker.failed(0, FailureClass::RateLimited, Some(7)));
        assert_eq!(breaker.cooldown_ms(0), 7_000);
        let mut breaker = Breaker::default();
        assert!(breaker.failed(0, FailureClass::RateLimited, Some(9_000)));
        assert_eq!(breaker.cooldown_ms(0), COOLDOWN_MAX_MS);
        let mut breaker = Breaker::default();
        assert!(breaker.failed(0, FailureClass::BadCredential, None));
        assert_eq!(breaker.cooldown_ms(0), COOLDOWN_MAX_MS);
    }
}
