//! Tests of rate limits: bursts, waits, settlement of tokens, parallel calls and limit updates.

use std::sync::Arc;

use super::*;
use crate::domain::budget::Owner;
use crate::domain::event::Subject;
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;

const NOW_MS: u64 = 1_795_428_000_000;

fn limit(id: u64, rpm: u32, tpm: u32, max_parallel: u32) -> RateLimit {
    let some = NonZeroU32::new;
    let owner = Owner::Key(KeyId(1));
    RateLimit {
        id: LimitId(id),
        owner,
        rpm: some(rpm),
        tpm: some(tpm),
        max_parallel: some(max_parallel),
        model: None,
    }
}

fn hold(number: u128) -> Hold {
    let subject = Subject {
        organization: OrganizationId(1),
        team: TeamId(1),
        key: KeyId(1),
        model_asked: "m".into(),
        provider: "p".into(),
        model: "m-1".into(),
        dialect: "chat".into(),
        streamed: false,
        attribution: Default::default(),
        second_models: Vec::new(),
    };
    let id = HoldId {
        request: RequestId(number),
        attempt: 1,
    };
    Hold {
        id,
        at_ms: 0,
        subject: Arc::new(subject),
        ceiling: Money::ZERO,
        charges: Vec::new(),
        progress: Default::default(),
    }
}

/// Rate limits with a manual clock and numbered calls.
struct Harness {
    rate_limits: RateLimits,
    ids: Vec<LimitId>,
    now_ms: u64,
    calls: u128,
}

impl Harness {
    fn with(limits: impl IntoIterator<Item = RateLimit>) -> Harness {
        let mut harness = Harness {
            rate_limits: RateLimits::default(),
            ids: Vec::new(),
            now_ms: NOW_MS,
            calls: 0,
        };
        for limit in limits {
            harness.ids.push(limit.id);
            harness.rate_limits.set(limit, NOW_MS);
        }
        harness
    }

    fn admit(&mut self, input: u64, output: u64) -> Result<HoldId, (Measure, u64)> {
        let (hold, tokens) = (hold(self.calls), Tokens { input, output });
        let room = self
            .rate_limits
            .check_room(&self.ids, &hold, tokens, self.now_ms);
        room.map_err(|limited| (limited.measure, limited.wait_ms))?;
        self.rate_limits.take(&self.ids, &hold, tokens);
        self.calls += 1;
        Ok(hold.id)
    }

    /// Admits up to `calls` calls in a row; returns the number admitted.
    fn admit_up_to(&mut self, calls: usize) -> usize {
        (0..calls).take_while(|_| self.admit(1, 1).is_ok()).count()
    }

    fn settle(&mut self, id: HoldId, used: u64) {
        self.rate_limits.settle(id, Some(used), self.now_ms);
    }

    fn allowance(&mut self, id: u64) -> Allowance {
        self.rate_limits
            .status(LimitId(id), self.now_ms)
            .expect("known")
            .allowance
    }
}

#[test]
fn bucket_admits_a_burst_of_one_minute_and_then_its_rate() {
    // limit per minute, elapsed ms, calls admitted then
    for (rpm, elapsed_ms, admitted) in [
        (60, 999, 0),
        (60, 1_000, 1),
        (60, 1_999, 1),
        (60, 30_000, 30),
        (60, 60_000, 60),
        (60, 86_400_000, 60),
        (7, 8_571, 0),
        (7, 8_572, 1),
        (1, 59_999, 0),
        (1, 60_000, 1),
        (120_000, 1, 2),
        (u32::MAX, 60_000, 500),
    ] {
        let mut harness = Harness::with([limit(1, rpm, 0, 0)]);
        if rpm < 1_000 {
            assert_eq!(
                harness.admit_up_to(1_000),
                rpm as usize,
                "the burst of {rpm}"
            );
        } else {
            harness
                .rate_limits
                .limits
                .get_mut(&LimitId(1))
                .expect("known")
                .requests
                .as_mut()
                .expect("rpm")
                .add(rpm.into());
        }
        assert!(harness.admit(0, 0).is_err());
        harness.now_ms += elapsed_ms;
        assert_eq!(
            harness.admit_up_to(500),
            admitted,
            "{rpm} a minute, after {elapsed_ms} ms"
        );
    }
}

#[test]
fn bucket_over_a_day_loses_nothing_to_rounding() {
    let mut harness = Harness::with([limit(1, 7, 0, 0)]);
    let mut admitted = 0;
    for _ in 0..86_400 {
        admitted += harness.admit_up_to(10);
        harness.now_ms += 1_000;
    }
    // the burst, and seven in each minute since
    assert_eq!(admitted, 7 + 7 * 1_440 - 1);
}

#[test]
fn refused_claim_takes_nothing_and_returns_the_wait() {
    let mut harness = Harness::with([limit(1, 2, 0, 0)]);
    assert_eq!(harness.admit_up_to(2), 2);
    for _ in 0..1_000 {
        assert_eq!(harness.admit(0, 0), Err((Measure::Requests, 30_000)));
    }
    harness.now_ms += 29_999;
    assert_eq!(harness.admit(0, 0), Err((Measure::Requests, 1)));
    harness.now_ms += 1;
    assert!(harness.admit(0, 0).is_ok());
}

#[test]
fn claim_takes_every_limit_or_none_and_reports_the_longest_wait() {
    let mut harness = Harness::with([limit(1, 60, 0, 0), limit(2, 2, 0, 0), limit(3, 0, 0, 2)]);
    assert_eq!(harness.admit_up_to(9), 2);
    assert_eq!(harness.admit(0, 0), Err((Measure::Requests, 30_000)));
    assert_eq!(
        harness.allowance(1).requests.map(|gauge| gauge.remaining),
        Some(58)
    );
    assert_eq!(
        harness
            .rate_limits
            .status(LimitId(3), NOW_MS)
            .map(|status| status.running),
        Some(2)
    );
    harness.now_ms += 30_000;
    assert_eq!(
        harness.admit(0, 0),
        Err((Measure::Parallel, PARALLEL_RETRY_MS)),
        "all parallel slots are still in use"
    );
}

#[test]
fn settlement_replaces_claimed_tokens_by_used_tokens() {
    let mut harness = Harness::with([limit(1, 0, 1_000, 0)]);
    let first = harness.admit(100, 200).expect("an unused minute");
    assert_eq!(
        harness.allowance(1).tokens.map(|gauge| gauge.remaining),
        Some(700)
    );
    harness.settle(first, 30);
    assert_eq!(
        harness.allowance(1).tokens.map(|gauge| gauge.remaining),
        Some(970)
    );
    harness.settle(first, 999);
    assert_eq!(
        harness.allowance(1).tokens.map(|gauge| gauge.remaining),
        Some(970),
        "a second settlement has no effect"
    );
    let second = harness.admit(100, 0).expect("fits");
    harness.settle(second, 1_970);
    assert_eq!(
        harness.admit(0, 1),
        Err((Measure::Tokens, 60_060)),
        "tokens used beyond the limit extend the wait"
    );
    harness.now_ms += 60_060;
    assert!(harness.admit(0, 1).is_ok());
}

#[test]
fn unknown_usage_keeps_the_claim_and_release_returns_all() {
    let mut harness = Harness::with([limit(1, 10, 1_000, 5)]);
    let [unknown, unsent] = [(); 2].map(|()| harness.admit(100, 100).expect("fits"));
    harness.rate_limits.settle(unknown, None, NOW_MS);
    harness.rate_limits.release(unsent, NOW_MS);
    harness.rate_limits.release(unsent, NOW_MS);
    let allowance = harness.allowance(1);
    assert_eq!(
        allowance
            .requests
            .map(|gauge| (gauge.remaining, gauge.reset_ms)),
        Some((9, 6_000))
    );
    assert_eq!(
        allowance
            .tokens
            .map(|gauge| (gauge.remaining, gauge.reset_ms)),
        Some((800, 12_000))
    );
    assert_eq!(
        harness
            .rate_limits
            .status(LimitId(1), NOW_MS)
            .map(|status| status.running),
        Some(0)
    );
    assert!(harness.rate_limits.usages.is_empty());
}

#[test]
fn call_larger_than_the_limit_is_admitted() {
    let mut harness = Harness::with([limit(1, 0, 1_000, 0)]);
    let giant = harness
        .admit(1_000_000, 1_000_000)
        .expect("claims three quarters of the limit");
    assert_eq!(
        harness.allowance(1).tokens.map(|gauge| gauge.remaining),
        Some(250)
    );
    harness.settle(giant, 3_000);
    harness.now_ms += 120_000;
    assert!(harness.admit(1, 0).is_err());
    harness.now_ms += 45_000;
    assert!(harness.admit(1_000_000, 1_000_000).is_ok());
}

#[test]
fn limit_update_keeps_the_usage() {
    let mut harness = Harness::with([limit(1, 60, 0, 1)]);
    let first = harness.admit(0, 0).expect("fits");
    harness.rate_limits.set(limit(1, 60, 100, 2), NOW_MS);
    assert_eq!(
        harness.allowance(1).requests.map(|gauge| gauge.remaining),
        Some(59)
    );
    harness.admit(0, 0).expect("the second slot is new");
    assert_eq!(
        harness.admit(0, 0),
        Err((Measure::Parallel, PARALLEL_RETRY_MS))
    );
    harness.settle(first, 50);
    assert_eq!(
        harness.allowance(1).tokens.map(|gauge| gauge.remaining),
        Some(99),
        "the first call claimed no tokens"
    );
    harness.rate_limits.set(limit(1, 1, 0, 0), NOW_MS);
    assert_eq!(
        harness.admit(0, 0),
        Err((Measure::Requests, 60_000)),
        "usage is cut to the new limit"
    );
    harness.rate_limits.remove(LimitId(1));
    assert!(harness.admit(0, 0).is_ok());
}

#[test]
fn limit_for_other_models_counts_nothing() {
    let mut harness = Harness::with([RateLimit {
        model: Some(Pattern::new("x-*")),
        ..limit(1, 1, 1, 1)
    }]);
    assert_eq!(harness.admit_up_to(5), 5);
    assert!(harness.rate_limits.usages.is_empty());
    let mut harness = Harness::with([RateLimit {
        model: Some(Pattern::new("p/m-*")),
        ..limit(1, 3, 0, 0)
    }]);
    assert_eq!(harness.admit_up_to(5), 3);
}
