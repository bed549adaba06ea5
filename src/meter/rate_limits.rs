//! Rate limits: requests per minute, tokens per minute and parallel calls, and the usage of each call in flight. Exact integer
//! arithmetic over the boot-time instants passed in; never reads a clock. Not logged: after a restart all limits are unused.

use std::collections::HashMap;
use std::num::NonZeroU32;

use foldhash::fast::RandomState;

use crate::domain::event::{Hold, HoldId};
use crate::domain::id::LimitId;
use crate::domain::limit::{Allowance, Gauge, RateLimit};

const MINUTE_MS: u64 = 60_000;
/// Retry delay when the parallel limit is reached; the end of a running call is unknown.
const PARALLEL_RETRY_MS: u64 = 1_000;

/// Maximum tokens of a call, as known at admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
}

impl Tokens {
    /// Tokens to claim at admission: the input up to half of the limit plus the allowed output up to a quarter. So a call larger
    /// than the limit is eventually admitted, and generous output caps do not block other calls. The settlement replaces the
    /// claim by the actual count, which may exceed the limit.
    fn claimed(self, tpm: NonZeroU32) -> u64 {
        let tpm = u64::from(tpm.get());
        let claimed = self
            .input
            .min(tpm / 2)
            .saturating_add(self.output.min(tpm / 4));
        claimed.max(1)
    }
}

/// Current state of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    pub allowance: Allowance,
    /// calls in flight
    pub running: u32,
}

/// Measure of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Requests,
    Tokens,
    Parallel,
}

/// Refusal by a rate limit; `wait_ms` is the time until the claim fits if no other call is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitHit {
    pub limit: RateLimit,
    pub measure: Measure,
    pub wait_ms: u64,
    /// remainder of the tightest limits
    pub allowance: Allowance,
}

/// Leaky bucket (GCRA) with a burst of one minute: each unit adds 60,000 to the level, and `per_minute` drain per millisecond.
/// So nothing is rounded, and the rate can change while the level is kept.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_minute: NonZeroU32,
    level: u64,
    at_ms: u64,
}

impl Bucket {
    /// Bucket with a new rate and the level of the old one, at most full: usage beyond one minute is forgiven.
    fn with_rate(per_minute: NonZeroU32, old: Option<Bucket>, now_ms: u64) -> Bucket {
        let mut bucket = old.unwrap_or(Bucket {
            per_minute,
            level: 0,
            at_ms: now_ms,
        });
        bucket.drain(now_ms);
        bucket.per_minute = per_minute;
        bucket.level = bucket.level.min(bucket.capacity());
        bucket
    }

    /// Units per minute, equal to the level drained per millisecond.
    fn rate(self) -> u64 {
        self.per_minute.get().into()
    }

    fn capacity(self) -> u64 {
        self.rate() * MINUTE_MS
    }

    fn drain(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        self.level = self
            .level
            .saturating_sub(elapsed_ms.saturating_mul(self.rate()));
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// Time until this many units fit; 0 if they fit now.
    fn wait_ms(self, units: u64) -> u64 {
        let over = self
            .level
            .saturating_add(units.saturating_mul(MINUTE_MS))
            .saturating_sub(self.capacity());
        over.div_ceil(self.rate())
    }

    fn add(&mut self, units: u64) {
        self.level = self.level.saturating_add(units.saturating_mul(MINUTE_MS));
    }

    fn subtract(&mut self, units: u64) {
        self.level = self.level.saturating_sub(units.saturating_mul(MINUTE_MS));
    }

    fn gauge(self) -> Gauge {
        Gauge {
            limit: self.rate(),
            remaining: self.capacity().saturating_sub(self.level) / MINUTE_MS,
            reset_ms: self.level.div_ceil(self.rate()),
        }
    }
}

/// A limit and its usage.
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
        let model = self.limit.model.as_ref();
        model.is_none_or(|model| subject.is_counted_by(model))
    }

    /// The measure with the longest wait for this claim; `None` if it fits.
    fn longest_wait(&self, tokens: Tokens) -> Option<(u64, Measure)> {
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
            (if full { PARALLEL_RETRY_MS } else { 0 }, Measure::Parallel),
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

/// Usage of one limit by a call in flight.
struct RateUsage {
    limit: LimitId,
    request: bool,
    tokens: Option<u64>,
}

/// All rate limits, and their usage by open holds.
#[derive(Default)]
pub(super) struct RateLimits {
    limits: HashMap<LimitId, RateLimitState, RandomState>,
    usages: HashMap<HoldId, Vec<RateUsage>, RandomState>,
}

impl RateLimits {
    /// Adds or updates a limit; its usage is kept.
    pub(super) fn set(&mut self, limit: RateLimit, now_ms: u64) {
        let old = self.limits.remove(&limit.id);
        let (requests, tokens, running) = old.map_or((None, None, 0), |old| {
            (old.requests, old.tokens, old.running)
        });
        let state = RateLimitState {
            requests: limit
                .rpm
                .map(|rpm| Bucket::with_rate(rpm, requests, now_ms)),
            tokens: limit.tpm.map(|tpm| Bucket::with_rate(tpm, tokens, now_ms)),
            running,
            limit,
        };
        self.limits.insert(state.limit.id, state);
    }

    /// Counts a call in flight as a parallel call of the limit.
    pub(super) fn count_running(&mut self, id: LimitId, hold: &Hold) {
        let Some(state) = self.limits.get_mut(&id).filter(|state| state.counts(hold)) else {
            return;
        };
        state.running += 1;
        self.usages.entry(hold.id).or_default().push(RateUsage {
            limit: id,
            request: false,
            tokens: None,
        });
    }

    pub(super) fn remove(&mut self, id: LimitId) {
        self.limits.remove(&id);
    }

    pub(super) fn contains_all(&self, ids: &[LimitId]) -> bool {
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

    /// Denies if a limit over all models is used up: its requests, its parallel calls, or its tokens to the last.
    pub(super) fn check_used_up(
        &mut self,
        ids: &[LimitId],
        now_ms: u64,
    ) -> Result<(), Box<RateLimitHit>> {
        for id in ids {
            let state = self.limits.get_mut(id);
            let Some(state) = state.filter(|state| state.limit.model.is_none()) else {
                continue;
            };
            state.drain(now_ms);
            if let Some((wait_ms, measure)) = state.longest_wait(Tokens::default()) {
                return Err(Box::new(RateLimitHit {
                    limit: state.limit.clone(),
                    measure,
                    wait_ms,
                    allowance: state.allowance(),
                }));
            }
        }
        Ok(())
    }

    /// Checks a claim against every limit that counts its deployment; takes nothing. An error names the limit with the longest
    /// wait.
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
            if let Some((wait_ms, measure)) = state.longest_wait(tokens)
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

    /// Takes a claim that fits. Returns the remaining allowance of the tightest limits; `None` if no limit counts it.
    pub(super) fn take(
        &mut self,
        ids: &[LimitId],
        hold: &Hold,
        tokens: Tokens,
    ) -> Option<Allowance> {
        let mut usages = Vec::with_capacity(ids.len());
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
            usages.push(RateUsage {
                limit: *id,
                request: state.requests.is_some(),
                tokens: claimed,
            });
        }
        if usages.is_empty() {
            return None;
        }
        self.usages.insert(hold.id, usages);
        self.tightest(ids, hold)
    }

    /// Allowance of the tightest limits for this claim, by measure; `None` if no limit counts it.
    fn tightest(&self, ids: &[LimitId], hold: &Hold) -> Option<Allowance> {
        let counting = ids
            .iter()
            .filter_map(|id| self.limits.get(id))
            .filter(|state| state.counts(hold));
        tightest_allowance(counting)
    }

    /// Ends a call: frees its parallel slots and replaces the claimed tokens by the used ones; the claim stays if `used` is `None`.
    /// Returns the remaining allowance of its tightest limits.
    pub(super) fn settle(
        &mut self,
        id: HoldId,
        used: Option<u64>,
        now_ms: u64,
    ) -> Option<Allowance> {
        self.resolve(id, now_ms, |bucket, claimed| {
            let used = used.unwrap_or(claimed);
            bucket.subtract(claimed.saturating_sub(used));
            bucket.add(used.saturating_sub(claimed));
        })
    }

    /// Releases an unsent call: returns its tokens, parallel slots and requests.
    pub(super) fn release(&mut self, id: HoldId, now_ms: u64) {
        let requests: Vec<LimitId> = match self.usages.get(&id) {
            Some(usages) => usages
                .iter()
                .filter(|usage| usage.request)
                .map(|usage| usage.limit)
                .collect(),
            None => return,
        };
        let _allowance_without_requests =
            self.resolve(id, now_ms, |bucket, claimed| bucket.subtract(claimed));
        for limit in requests {
            if let Some(bucket) = self
                .limits
                .get_mut(&limit)
                .and_then(|state| state.requests.as_mut())
            {
                bucket.subtract(1);
            }
        }
    }

    fn resolve(
        &mut self,
        id: HoldId,
        now_ms: u64,
        correct: impl Fn(&mut Bucket, u64),
    ) -> Option<Allowance> {
        if self.usages.is_empty() {
            return None;
        }
        let usages = self.usages.remove(&id)?;
        for usage in &usages {
            let Some(state) = self.limits.get_mut(&usage.limit) else {
                continue;
            };
            state.drain(now_ms);
            state.running = state.running.saturating_sub(1);
            if let (Some(bucket), Some(claimed)) = (&mut state.tokens, usage.tokens) {
                correct(bucket, claimed);
            }
        }
        tightest_allowance(
            usages
                .iter()
                .filter_map(|usage| self.limits.get(&usage.limit)),
        )
    }
}

/// Smallest remaining requests and tokens of these limits.
fn tightest_allowance<'w>(limits: impl Iterator<Item = &'w RateLimitState>) -> Option<Allowance> {
    limits
        .map(RateLimitState::allowance)
        .reduce(|one, other| Allowance {
            requests: smaller(one.requests, other.requests),
            tokens: smaller(one.tokens, other.tokens),
        })
}

fn smaller(one: Option<Gauge>, other: Option<Gauge>) -> Option<Gauge> {
    [one, other]
        .into_iter()
        .flatten()
        .min_by_key(|gauge| gauge.remaining)
}

#[cfg(test)]
mod tests;
