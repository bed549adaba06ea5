//! Requests and tokens per minute and calls at once: what every rate limit has left, and what each running call took of
//! it. Whole numbers over the instants it is handed, which never go back (the boot-time clock's); it asks no clock and is
//! not logged: after a restart every minute is unused and nothing runs.

use std::collections::HashMap;
use std::num::NonZeroU32;

use foldhash::fast::RandomState;

use crate::domain::event::{Hold, HoldId};
use crate::domain::id::LimitId;
use crate::domain::limit::{Allowance, Gauge, RateLimit};
use crate::domain::pattern::Pattern;

const MINUTE_MS: u64 = 60_000;
/// What a retry is told to wait where every parallel call is taken: nobody knows when one ends.
const SLOT_WAIT_MS: u64 = 1_000;

/// The tokens that a call may come to, as far as that is known before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
}

impl Tokens {
    /// What is taken of a minute: the input, but no more than half of the minute, and the output that is allowed, but no
    /// more than a quarter. So a call that is larger than the whole minute still finds its turn, and calls that name a
    /// generous cap do not keep each other out. What is used beyond it is owed: the settlement puts the true count in place.
    fn claimed(self, tpm: NonZeroU32) -> u64 {
        let tpm = u64::from(tpm.get());
        let claimed = self
            .input
            .min(tpm / 2)
            .saturating_add(self.output.min(tpm / 4));
        claimed.max(1)
    }
}

/// One limit as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    pub allowance: Allowance,
    /// calls that run now
    pub running: u32,
}

/// Which measure of a limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Requests,
    Tokens,
    Parallel,
}

/// A claim that a rate limit refuses, and when the same claim would find room if nobody else asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitHit {
    pub limit: RateLimit,
    pub measure: Measure,
    pub wait_ms: u64,
    /// what the tightest limits have left
    pub allowance: Allowance,
}

/// GCRA with one minute of burst, as the bucket that it is: each unit adds 60,000 to the level, and every millisecond
/// `per_minute` drain off. So nothing is ever rounded, and a rate can change while the level stays.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_minute: NonZeroU32,
    level: u64,
    at_ms: u64,
}

impl Bucket {
    /// A bucket of this rate with what is in the old one, at most full: whoever owed more than a minute is forgiven.
    fn of(per_minute: NonZeroU32, old: Option<Bucket>, now_ms: u64) -> Bucket {
        let mut bucket = old.unwrap_or(Bucket {
            per_minute,
            level: 0,
            at_ms: now_ms,
        });
        bucket.drain(now_ms);
        bucket.per_minute = per_minute;
        bucket.level = bucket.level.min(bucket.brim());
        bucket
    }

    /// Per minute in units, and as well per millisecond in parts of the level.
    fn rate(self) -> u64 {
        self.per_minute.get().into()
    }

    fn brim(self) -> u64 {
        self.rate() * MINUTE_MS
    }

    fn drain(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.level = self
            .level
            .saturating_sub(elapsed_ms.saturating_mul(self.rate()));
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// How long until so many units fit; 0: they fit now.
    fn wait_ms(self, units: u64) -> u64 {
        let over = self
            .level
            .saturating_add(units.saturating_mul(MINUTE_MS))
            .saturating_sub(self.brim());
        over.div_ceil(self.rate())
    }

    fn add(&mut self, units: u64) {
        self.level = self.level.saturating_add(units.saturating_mul(MINUTE_MS));
    }

    fn give_back(&mut self, units: u64) {
        self.level = self.level.saturating_sub(units.saturating_mul(MINUTE_MS));
    }

    fn gauge(self) -> Gauge {
        Gauge {
            limit: self.rate(),
            remaining: self.brim().saturating_sub(self.level) / MINUTE_MS,
            reset_ms: self.level.div_ceil(self.rate()),
        }
    }
}

/// A limit with what is used of it.
struct RateLimitState {
    limit: RateLimit,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    running: u32,
}

impl RateLimitState {
    fn drain(&mut self, now_ms: u64) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.drain(now_ms);
        }
    }

    fn counts(&self, hold: &Hold) -> bool {
        let subject = &hold.subject;
        let means = |model: &Pattern| {
            model.matches_deployment(&subject.model_asked, &subject.provider, &subject.model)
        };
        self.limit.model.as_ref().is_none_or(means)
    }

    /// The measure that keeps this claim out for longest.
    fn refuses(&self, tokens: Tokens) -> Option<(u64, Measure)> {
        let full = self
            .limit
            .max_parallel
            .is_some_and(|max| self.running >= max.get());
        let waits = [
            (
                self.requests.map_or(0, |bucket| bucket.wait_ms(1)),
                Measure::Requests,
            ),
            (
                self.tokens.map_or(0, |bucket| {
                    bucket.wait_ms(tokens.claimed(bucket.per_minute))
                }),
                Measure::Tokens,
            ),
            (if full { SLOT_WAIT_MS } else { 0 }, Measure::Parallel),
        ];
        waits
            .into_iter()
            .filter(|(wait_ms, _)| *wait_ms > 0)
            .max_by_key(|(wait_ms, _)| *wait_ms)
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            requests: self.requests.map(Bucket::gauge),
            tokens: self.tokens.map(Bucket::gauge),
        }
    }
}

/// What a running call took of one limit.
struct RateUsage {
    limit: LimitId,
    request: bool,
    tokens: Option<u64>,
}

/// Every limit, and what the open holds took.
#[derive(Default)]
pub(super) struct RateLimits {
    limits: HashMap<LimitId, RateLimitState, RandomState>,
    taken: HashMap<HoldId, Vec<RateUsage>, RandomState>,
}

impl RateLimits {
    /// Tells a limit, new or changed. What is used of it stays used.
    pub(super) fn set(&mut self, limit: RateLimit, now_ms: u64) {
        let old = self.limits.remove(&limit.id);
        let (requests, tokens, running) = old.map_or((None, None, 0), |old| {
            (old.requests, old.tokens, old.running)
        });
        let state = RateLimitState {
            requests: limit.rpm.map(|rpm| Bucket::of(rpm, requests, now_ms)),
            tokens: limit.tpm.map(|tpm| Bucket::of(tpm, tokens, now_ms)),
            running,
            limit,
        };
        self.limits.insert(state.limit.id, state);
    }

    /// A place for a call that runs already.
    pub(super) fn count_running(&mut self, id: LimitId, hold: &Hold) {
        let Some(state) = self.limits.get_mut(&id).filter(|state| state.counts(hold)) else {
            return;
        };
        state.running += 1;
        self.taken.entry(hold.id).or_default().push(RateUsage {
            limit: id,
            request: false,
            tokens: None,
        });
    }

    pub(super) fn remove(&mut self, id: LimitId) {
        self.limits.remove(&id);
    }

    pub(super) fn knows(&self, ids: &[LimitId]) -> bool {
        ids.iter().all(|id| self.limits.contains_key(id))
    }

    pub(super) fn status(&mut self, id: LimitId, now_ms: u64) -> Option<RateLimitStatus> {
        let state = self.limits.get_mut(&id)?;
        state.drain(now_ms);
        Some(RateLimitStatus {
            allowance: state.allowance(),
            running: state.running,
        })
    }

    /// Whether a claim fits into every limit that counts this deployment; nothing is taken. Of several that refuse it, the
    /// one that does so for longest is named.
    pub(super) fn check_room(
        &mut self,
        ids: &[LimitId],
        hold: &Hold,
        tokens: Tokens,
        now_ms: u64,
    ) -> Result<(), Box<RateLimitHit>> {
        let mut longest: Option<(u64, Measure, LimitId)> = None;
        for id in ids {
            let Some(state) = self.limits.get_mut(id).filter(|state| state.counts(hold)) else {
                continue;
            };
            state.drain(now_ms);
            if let Some((wait_ms, measure)) = state.refuses(tokens)
                && longest.is_none_or(|(so_far_ms, ..)| so_far_ms < wait_ms)
            {
                longest = Some((wait_ms, measure, *id));
            }
        }
        let Some((wait_ms, measure, id)) = longest else {
            return Ok(());
        };
        let allowance = self.tightest(ids, hold).unwrap_or_default();
        let limit = self.limits.get(&id).map(|state| state.limit.clone());
        limit.map_or(Ok(()), |limit| {
            Err(Box::new(RateLimitHit {
                limit,
                measure,
                wait_ms,
                allowance,
            }))
        })
    }

    /// Takes a claim that has room. Returns what the tightest limits have left; `None` where none counts it.
    pub(super) fn take(
        &mut self,
        ids: &[LimitId],
        hold: &Hold,
        tokens: Tokens,
    ) -> Option<Allowance> {
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(state) = self.limits.get_mut(id).filter(|state| state.counts(hold)) else {
                continue;
            };
            state.running += 1;
            if let Some(requests) = &mut state.requests {
                requests.add(1);
            }
            let claimed = state.tokens.as_mut().map(|bucket| {
                let claimed = tokens.claimed(bucket.per_minute);
                bucket.add(claimed);
                claimed
            });
            taken.push(RateUsage {
                limit: *id,
                request: state.requests.is_some(),
                tokens: claimed,
            });
        }
        if taken.is_empty() {
            return None;
        }
        self.taken.insert(hold.id, taken);
        self.tightest(ids, hold)
    }

    /// What is left for this claim, measure by measure; `None` where no limit counts it.
    fn tightest(&self, ids: &[LimitId], hold: &Hold) -> Option<Allowance> {
        let counting = ids
            .iter()
            .filter_map(|id| self.limits.get(id))
            .filter(|state| state.counts(hold));
        tightest_allowance(counting)
    }

    /// A call is over: its places are free again, and the tokens that it used stand where the claimed ones stood. `None`:
    /// nobody knows how many, the claimed ones stay. Returns what the tightest of its limits have left then.
    pub(super) fn end(&mut self, id: HoldId, used: Option<u64>, now_ms: u64) -> Option<Allowance> {
        self.resolve(id, now_ms, |bucket, claimed| {
            let used = used.unwrap_or(claimed);
            bucket.give_back(claimed.saturating_sub(used));
            bucket.add(used.saturating_sub(claimed));
        })
    }

    /// Nothing was sent: everything is given back, the request too.
    pub(super) fn give_back(&mut self, id: HoldId, now_ms: u64) {
        let requests: Vec<LimitId> = match self.taken.get(&id) {
            Some(taken) => taken
                .iter()
                .filter(|taken| taken.request)
                .map(|taken| taken.limit)
                .collect(),
            None => return,
        };
        let _left_before_the_requests =
            self.resolve(id, now_ms, |bucket, claimed| bucket.give_back(claimed));
        for limit in requests {
            if let Some(bucket) = self
                .limits
                .get_mut(&limit)
                .and_then(|state| state.requests.as_mut())
            {
                bucket.give_back(1);
            }
        }
    }

    fn resolve(
        &mut self,
        id: HoldId,
        now_ms: u64,
        correct: impl Fn(&mut Bucket, u64),
    ) -> Option<Allowance> {
        if self.taken.is_empty() {
            return None;
        }
        let all_taken = self.taken.remove(&id)?;
        for taken in &all_taken {
            let Some(state) = self.limits.get_mut(&taken.limit) else {
                continue;
            };
            state.drain(now_ms);
            state.running = state.running.saturating_sub(1);
            if let (Some(bucket), Some(claimed)) = (&mut state.tokens, taken.tokens) {
                correct(bucket, claimed);
            }
        }
        tightest_allowance(
            all_taken
                .iter()
                .filter_map(|taken| self.limits.get(&taken.limit)),
        )
    }
}

/// What is left of all these, measure by measure.
fn tightest_allowance<'w>(limits: impl Iterator<Item = &'w RateLimitState>) -> Option<Allowance> {
    limits
        .map(RateLimitState::allowance)
        .reduce(|one, other| Allowance {
            requests: tighter(one.requests, other.requests),
            tokens: tighter(one.tokens, other.tokens),
        })
}

fn tighter(one: Option<Gauge>, other: Option<Gauge>) -> Option<Gauge> {
    [one, other]
        .into_iter()
        .flatten()
        .min_by_key(|gauge| gauge.remaining)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::budget::Owner;
    use crate::domain::event::Subject;
    use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
    use crate::domain::money::Money;

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

    /// Limits, a clock, and calls that are numbered as they come.
    struct Desk {
        rates: RateLimits,
        ids: Vec<LimitId>,
        now_ms: u64,
        calls: u128,
    }

    impl Desk {
        fn with(limits: impl IntoIterator<Item = RateLimit>) -> Desk {
            let mut desk = Desk {
                rates: RateLimits::default(),
                ids: Vec::new(),
                now_ms: NOW_MS,
                calls: 0,
            };
            for limit in limits {
                desk.ids.push(limit.id);
                desk.rates.set(limit, NOW_MS);
            }
            desk
        }

        fn asks(&mut self, input: u64, output: u64) -> Result<HoldId, (Measure, u64)> {
            let (hold, tokens) = (hold(self.calls), Tokens { input, output });
            let room = self.rates.check_room(&self.ids, &hold, tokens, self.now_ms);
            room.map_err(|limited| (limited.measure, limited.wait_ms))?;
            self.rates.take(&self.ids, &hold, tokens);
            self.calls += 1;
            Ok(hold.id)
        }

        /// How many in a row are let in, up to so many.
        fn admits_of(&mut self, calls: usize) -> usize {
            (0..calls).take_while(|_| self.asks(1, 1).is_ok()).count()
        }

        fn ends(&mut self, id: HoldId, used: u64) {
            self.rates.end(id, Some(used), self.now_ms);
        }

        fn left(&mut self, id: u64) -> Allowance {
            self.rates
                .status(LimitId(id), self.now_ms)
                .expect("known")
                .allowance
        }
    }

    #[test]
    fn a_minute_comes_at_once_and_then_as_it_drains() {
        // per minute, ms that pass, calls that are let in then
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
            let mut desk = Desk::with([limit(1, rpm, 0, 0)]);
            if rpm < 1_000 {
                assert_eq!(desk.admits_of(1_000), rpm as usize, "the burst of {rpm}");
            } else {
                desk.rates
                    .limits
                    .get_mut(&LimitId(1))
                    .expect("known")
                    .requests
                    .as_mut()
                    .expect("rpm")
                    .add(rpm.into());
            }
            assert!(desk.asks(0, 0).is_err());
            desk.now_ms += elapsed_ms;
            assert_eq!(
                desk.admits_of(500),
                admitted,
                "{rpm} a minute, after {elapsed_ms} ms"
            );
        }
    }

    #[test]
    fn nothing_is_lost_to_rounding_over_a_day() {
        let mut desk = Desk::with([limit(1, 7, 0, 0)]);
        let mut admitted = 0;
        for _ in 0..86_400 {
            admitted += desk.admits_of(10);
            desk.now_ms += 1_000;
        }
        // the burst, and seven in each of the minutes since
        assert_eq!(admitted, 7 + 7 * 1_440 - 1);
    }

    #[test]
    fn a_refused_claim_takes_nothing_and_says_when_it_would_fit() {
        let mut desk = Desk::with([limit(1, 2, 0, 0)]);
        assert_eq!(desk.admits_of(2), 2);
        for _ in 0..1_000 {
            assert_eq!(desk.asks(0, 0), Err((Measure::Requests, 30_000)));
        }
        desk.now_ms += 29_999;
        assert_eq!(desk.asks(0, 0), Err((Measure::Requests, 1)));
        desk.now_ms += 1;
        assert!(desk.asks(0, 0).is_ok());
    }

    #[test]
    fn every_limit_is_taken_or_none_and_the_longest_wait_is_told() {
        let mut desk = Desk::with([limit(1, 60, 0, 0), limit(2, 2, 0, 0), limit(3, 0, 0, 2)]);
        assert_eq!(desk.admits_of(9), 2);
        assert_eq!(desk.asks(0, 0), Err((Measure::Requests, 30_000)));
        assert_eq!(desk.left(1).requests.map(|gauge| gauge.remaining), Some(58));
        assert_eq!(
            desk.rates
                .status(LimitId(3), NOW_MS)
                .map(|status| status.running),
            Some(2)
        );
        desk.now_ms += 30_000;
        assert_eq!(
            desk.asks(0, 0),
            Err((Measure::Parallel, SLOT_WAIT_MS)),
            "the slots are still taken"
        );
    }

    #[test]
    fn tokens_are_corrected_by_what_was_used() {
        let mut desk = Desk::with([limit(1, 0, 1_000, 0)]);
        let first = desk.asks(100, 200).expect("an unused minute");
        assert_eq!(desk.left(1).tokens.map(|gauge| gauge.remaining), Some(700));
        desk.ends(first, 30);
        assert_eq!(desk.left(1).tokens.map(|gauge| gauge.remaining), Some(970));
        desk.ends(first, 999);
        assert_eq!(
            desk.left(1).tokens.map(|gauge| gauge.remaining),
            Some(970),
            "a call ends once"
        );
        let second = desk.asks(100, 0).expect("room");
        desk.ends(second, 1_970);
        assert_eq!(
            desk.asks(0, 1),
            Err((Measure::Tokens, 60_060)),
            "what was used beyond the minute is owed"
        );
        desk.now_ms += 60_060;
        assert!(desk.asks(0, 1).is_ok());
    }

    #[test]
    fn a_call_of_unknown_usage_keeps_its_claim_and_one_never_sent_gives_all_back() {
        let mut desk = Desk::with([limit(1, 10, 1_000, 5)]);
        let [unknown, unsent] = [(); 2].map(|()| desk.asks(100, 100).expect("room"));
        desk.rates.end(unknown, None, NOW_MS);
        desk.rates.give_back(unsent, NOW_MS);
        desk.rates.give_back(unsent, NOW_MS);
        let left = desk.left(1);
        assert_eq!(
            left.requests.map(|gauge| (gauge.remaining, gauge.reset_ms)),
            Some((9, 6_000))
        );
        assert_eq!(
            left.tokens.map(|gauge| (gauge.remaining, gauge.reset_ms)),
            Some((800, 12_000))
        );
        assert_eq!(
            desk.rates
                .status(LimitId(1), NOW_MS)
                .map(|status| status.running),
            Some(0)
        );
        assert!(desk.rates.taken.is_empty());
    }

    #[test]
    fn a_call_larger_than_the_minute_finds_its_turn() {
        let mut desk = Desk::with([limit(1, 0, 1_000, 0)]);
        let giant = desk
            .asks(1_000_000, 1_000_000)
            .expect("half of the minute and a quarter");
        assert_eq!(desk.left(1).tokens.map(|gauge| gauge.remaining), Some(250));
        desk.ends(giant, 3_000);
        desk.now_ms += 120_000;
        assert!(desk.asks(1, 0).is_err());
        desk.now_ms += 45_000;
        assert!(desk.asks(1_000_000, 1_000_000).is_ok());
    }

    #[test]
    fn a_changed_limit_counts_what_was_used_before() {
        let mut desk = Desk::with([limit(1, 60, 0, 1)]);
        let first = desk.asks(0, 0).expect("room");
        desk.rates.set(limit(1, 60, 100, 2), NOW_MS);
        assert_eq!(desk.left(1).requests.map(|gauge| gauge.remaining), Some(59));
        desk.asks(0, 0).expect("the second slot is new");
        assert_eq!(desk.asks(0, 0), Err((Measure::Parallel, SLOT_WAIT_MS)));
        desk.ends(first, 50);
        assert_eq!(
            desk.left(1).tokens.map(|gauge| gauge.remaining),
            Some(99),
            "the first one took no tokens"
        );
        desk.rates.set(limit(1, 1, 0, 0), NOW_MS);
        assert_eq!(
            desk.asks(0, 0),
            Err((Measure::Requests, 60_000)),
            "no longer than the new minute"
        );
        desk.rates.remove(LimitId(1));
        assert!(desk.asks(0, 0).is_ok());
    }

    #[test]
    fn a_limit_for_other_models_counts_nothing() {
        let mut desk = Desk::with([RateLimit {
            model: Some(Pattern::new("x-*")),
            ..limit(1, 1, 1, 1)
        }]);
        assert_eq!(desk.admits_of(5), 5);
        assert!(desk.rates.taken.is_empty());
        let mut desk = Desk::with([RateLimit {
            model: Some(Pattern::new("p/m-*")),
            ..limit(1, 3, 0, 0)
        }]);
        assert_eq!(desk.admits_of(5), 3);
    }
}
