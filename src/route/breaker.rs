//! Circuit breaker of one deployment, as a pure state machine over passed-in time. It opens by consecutive failures, by the share of
//! failures in a sliding window, or at once where the vendor says for how long it takes no calls. While it is open, one call per probe
//! interval is a probe, also while an earlier one still waits for its answer; the first answer closes it.

use crate::domain::attempt::FailureClass;

const CONSECUTIVE_MAX: u32 = 5;
/// The share counts from so many calls in the window.
const WINDOW_CALLS_MIN: u32 = 20;
const WINDOW_FAILED_PERCENT: u32 = 50;
const BUCKET_MS: u64 = 5_000;
const BUCKETS: usize = 6;
/// Longest `retry-after` that is obeyed.
const ASKED_MAX_MS: u64 = 60_000;

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

/// Place of a call among the changes of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BreakerTicket {
    /// openings and closings before the call
    changes: u64,
    is_probe: bool,
}

/// Effect of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerEffect {
    None,
    Opened,
    /// a probe failed
    StaysOpen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    number: u64,
    calls: u32,
    failed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Cooldown {
    /// time of the next probe
    until_ms: u64,
    /// probes without a verdict
    probes: u32,
}

#[derive(Debug)]
pub(super) struct Breaker {
    probe_interval_ms: u64,
    /// `None` while closed
    cooldown: Option<Cooldown>,
    changes: u64,
    consecutive: u32,
    buckets: [Bucket; BUCKETS],
}

impl Breaker {
    pub fn new(probe_interval_ms: u64) -> Breaker {
        Breaker {
            probe_interval_ms,
            cooldown: None,
            changes: 0,
            consecutive: 0,
            buckets: Default::default(),
        }
    }

    pub fn admission(&self, now_ms: u64) -> BreakerAdmission {
        match self.cooldown {
            None => BreakerAdmission::Normal,
            Some(cooldown) if now_ms < cooldown.until_ms => BreakerAdmission::Cooling,
            Some(_) => BreakerAdmission::Probe,
        }
    }

    pub fn state(&self, now_ms: u64) -> BreakerState {
        match self.cooldown {
            None => BreakerState::Closed,
            Some(cooldown) if now_ms < cooldown.until_ms && cooldown.probes == 0 => {
                BreakerState::Open
            }
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Time until the next probe.
    pub fn cooldown_ms(&self, now_ms: u64) -> u64 {
        self.cooldown
            .map_or(0, |cooldown| cooldown.until_ms.saturating_sub(now_ms))
    }

    /// Begins a call; one that is a probe puts the next probe off by the interval.
    pub fn begin(&mut self, now_ms: u64) -> BreakerTicket {
        let is_probe = self.admission(now_ms) == BreakerAdmission::Probe;
        if let Some(cooldown) = self.cooldown.as_mut().filter(|_| is_probe) {
            cooldown.until_ms = now_ms + self.probe_interval_ms;
            cooldown.probes += 1;
        }
        BreakerTicket {
            changes: self.changes,
            is_probe,
        }
    }

    /// The call ended without a verdict: if it was a probe, the next call is one.
    pub fn cancel(&mut self, ticket: BreakerTicket) {
        if let Some(cooldown) = self.probed(ticket) {
            cooldown.until_ms = 0;
        }
    }

    /// The deployment has begun to answer; `true` if the breaker closed. One failure opens it again until a whole answer has come.
    pub fn answered(&mut self, ticket: &mut BreakerTicket) -> bool {
        let has_closed = self.is_recent(*ticket) && self.cooldown.take().is_some();
        if has_closed {
            self.changes += 1;
            ticket.changes = self.changes;
            self.consecutive = CONSECUTIVE_MAX - 1;
            self.buckets = Default::default();
        }
        has_closed
    }

    /// Counts a success; `true` if the breaker closed.
    pub fn succeeded(&mut self, now_ms: u64, ticket: &mut BreakerTicket) -> bool {
        let has_closed = self.answered(ticket);
        if self.is_recent(*ticket) {
            self.consecutive = 0;
            self.bucket(now_ms).calls += 1;
        }
        has_closed
    }

    /// Counts a failure.
    pub fn failed(
        &mut self,
        now_ms: u64,
        (class, retry_after_s): (FailureClass, Option<u64>),
        ticket: BreakerTicket,
    ) -> BreakerEffect {
        if !self.is_recent(ticket) {
            return BreakerEffect::None;
        }
        self.consecutive = self.consecutive.saturating_add(1);
        let bucket = self.bucket(now_ms);
        bucket.calls += 1;
        bucket.failed += 1;
        let asked_ms = retry_after_s.unwrap_or(0).saturating_mul(1_000);
        let asked_ms = asked_ms.min(ASKED_MAX_MS);
        let wait_ms = match asked_ms {
            0 => self.probe_interval_ms,
            asked_ms => asked_ms,
        };
        if self.cooldown.is_some() {
            // calls that are no probes do not prolong it
            let Some(cooldown) = self.probed(ticket) else {
                return BreakerEffect::None;
            };
            cooldown.until_ms = now_ms + wait_ms;
            return BreakerEffect::StaysOpen;
        }
        if asked_ms == 0 && !class.is_lasting() && !self.is_failing(now_ms) {
            return BreakerEffect::None;
        }
        self.changes += 1;
        self.cooldown = Some(Cooldown {
            until_ms: now_ms + wait_ms,
            probes: 0,
        });
        BreakerEffect::Opened
    }

    /// A call that began before the breaker opened or closed says nothing about the time since, whether it ends well or, as by a timeout,
    /// late.
    fn is_recent(&self, ticket: BreakerTicket) -> bool {
        ticket.changes == self.changes
    }

    /// The cooldown that the call is a probe of, which is one fewer from now on.
    fn probed(&mut self, ticket: BreakerTicket) -> Option<&mut Cooldown> {
        let is_of_now = ticket.is_probe && self.is_recent(ticket);
        let cooldown = self.cooldown.as_mut().filter(|_| is_of_now)?;
        cooldown.probes = cooldown.probes.saturating_sub(1);
        Some(cooldown)
    }

    fn is_failing(&self, now_ms: u64) -> bool {
        if self.consecutive >= CONSECUTIVE_MAX {
            return true;
        }
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

    const INTERVAL_MS: u64 = 5_000;

    fn breaker() -> Breaker {
        Breaker::new(INTERVAL_MS)
    }

    /// A call that begins and fails at once.
    fn fail(breaker: &mut Breaker, now_ms: u64) -> BreakerEffect {
        let ticket = breaker.begin(now_ms);
        breaker.failed(now_ms, (FailureClass::Broken, None), ticket)
    }

    fn succeed(breaker: &mut Breaker, now_ms: u64) -> bool {
        let mut ticket = breaker.begin(now_ms);
        breaker.succeeded(now_ms, &mut ticket)
    }

    fn opened(breaker: &mut Breaker) {
        while fail(breaker, 0) != BreakerEffect::Opened {}
    }

    #[test]
    fn breaker_opens_by_consecutive_failures_and_one_probe_decides() {
        let mut breaker = breaker();
        let mut early = breaker.begin(0);
        for _ in 0..4 {
            assert_eq!(fail(&mut breaker, 0), BreakerEffect::None);
        }
        assert_eq!(fail(&mut breaker, 0), BreakerEffect::Opened);
        assert_eq!(breaker.admission(4_999), BreakerAdmission::Cooling);
        assert_eq!(breaker.state(4_999), BreakerState::Open);
        // calls that began before decide nothing, whatever becomes of them
        let late = breaker.failed(100, (FailureClass::Broken, None), early);
        assert_eq!(late, BreakerEffect::None);
        assert!(!breaker.succeeded(100, &mut early));
        assert_eq!(breaker.cooldown_ms(0), 5_000);
        let probe = breaker.begin(5_000);
        assert_eq!(breaker.state(5_000), BreakerState::HalfOpen);
        assert_eq!(breaker.admission(5_000), BreakerAdmission::Cooling);
        let effect = breaker.failed(5_500, (FailureClass::Broken, None), probe);
        assert_eq!(effect, BreakerEffect::StaysOpen);
        assert_eq!(breaker.cooldown_ms(5_500), 5_000);
        // a probe without a verdict leaves its place to the next call
        let probe = breaker.begin(10_500);
        breaker.cancel(probe);
        assert_eq!(breaker.admission(10_500), BreakerAdmission::Probe);
        assert!(succeed(&mut breaker, 10_500));
        assert_eq!(breaker.admission(10_500), BreakerAdmission::Normal);
        assert_eq!(fail(&mut breaker, 10_501), BreakerEffect::None);
    }

    #[test]
    fn next_probe_follows_after_the_interval_although_the_last_one_hangs() {
        let mut breaker = breaker();
        opened(&mut breaker);
        let hung = breaker.begin(5_000);
        assert_eq!(breaker.admission(9_999), BreakerAdmission::Cooling);
        assert_eq!(breaker.admission(10_000), BreakerAdmission::Probe);
        let mut second = breaker.begin(10_000);
        assert!(breaker.answered(&mut second));
        assert_eq!(breaker.state(10_000), BreakerState::Closed);
        // the end of the hung probe is no failure of the healed deployment
        let late = breaker.failed(10_002, (FailureClass::TimedOut, None), hung);
        assert_eq!(late, BreakerEffect::None);
    }

    #[test]
    fn first_answer_closes_the_breaker_and_the_next_failure_opens_it_again() {
        let mut breaker = breaker();
        opened(&mut breaker);
        let mut probe = breaker.begin(5_000);
        assert!(breaker.answered(&mut probe));
        assert_eq!(breaker.admission(5_000), BreakerAdmission::Normal);
        let effect = breaker.failed(5_100, (FailureClass::Broken, None), probe);
        assert_eq!(effect, BreakerEffect::Opened);
        // a whole answer takes the suspicion away
        let mut probe = breaker.begin(10_100);
        assert!(breaker.answered(&mut probe));
        assert!(!breaker.succeeded(10_200, &mut probe));
        assert_eq!(fail(&mut breaker, 10_300), BreakerEffect::None);
    }

    #[test]
    fn breaker_opens_by_the_share_of_failures_in_its_window() {
        let mut breaker = breaker();
        let opened = (0..40).find(|call| {
            let now_ms = call * 100;
            if call % 2 == 0 {
                succeed(&mut breaker, now_ms)
            } else {
                fail(&mut breaker, now_ms) == BreakerEffect::Opened
            }
        });
        assert_eq!(opened, Some(19));
        // failures that left the window do not count
        let mut breaker = Breaker::new(INTERVAL_MS);
        for call in 0..9 {
            assert_eq!(fail(&mut breaker, call), BreakerEffect::None);
            succeed(&mut breaker, call);
        }
        succeed(&mut breaker, 60_000);
        assert_eq!(fail(&mut breaker, 60_000), BreakerEffect::None);
    }

    #[test]
    fn vendor_that_names_a_delay_cools_down_for_it_and_an_account_for_the_interval() {
        for (class, retry_after_s, cooldown_ms) in [
            (FailureClass::RateLimited, Some(7), 7_000),
            (FailureClass::RateLimited, Some(9_000), ASKED_MAX_MS),
            (FailureClass::BadCredential, None, INTERVAL_MS),
            (FailureClass::QuotaExhausted, None, INTERVAL_MS),
            (FailureClass::ModelNotFound, None, INTERVAL_MS),
        ] {
            let mut breaker = breaker();
            let ticket = breaker.begin(0);
            let effect = breaker.failed(0, (class, retry_after_s), ticket);
            assert_eq!(effect, BreakerEffect::Opened, "{class:?}");
            assert_eq!(breaker.cooldown_ms(0), cooldown_ms, "{class:?}");
        }
    }
}
