//! Roll-ups: keys and sums of the hour and day tables. Refusals are counted by key alone.

use std::sync::Arc;

use crate::domain::event::StatusClass;
use crate::domain::id::KeyId;
use crate::domain::latency::Latencies;
use crate::domain::money::Money;

/// Length of the period that one row sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollupPeriod {
    Hour,
    Day,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    pub start_ms: u64,
    pub key: KeyId,
    pub model_asked: Arc<str>,
    pub provider: Arc<str>,
    pub model: Arc<str>,
    pub class: StatusClass,
}

/// Property of a call that its client states. Stored rows contain the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatedKind {
    Tag = 0,
    /// pseudonym of the end user
    User = 1,
}

/// Key of the sums of one stated value in one day.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatedKey {
    pub start_ms: u64,
    pub kind: StatedKind,
    pub value: String,
    pub key: KeyId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupSums {
    pub requests: u64,
    /// not included in `requests`
    pub refused: u64,
    pub tokens_in: u64,
    /// subset of `tokens_in`
    pub cached_in: u64,
    pub tokens_out: u64,
    /// subset of `tokens_in`
    pub cache_writes: u64,
    /// subset of `tokens_out`
    pub reasoning: u64,
    /// read, cached and made; subset of the tokens of both sides
    pub images: u64,
    /// heard, cached and made; subset of the tokens of both sides
    pub audio: u64,
    /// searches of the web
    pub searches: u64,
    /// tokens of models that ran inside calls, in none of the counts above
    pub second_models: u64,
    /// of calls that ended by themselves
    pub latencies: Latencies,
    pub cost: Money,
    /// requests that the cache answered, at no cost; subset of `requests`
    pub cache_hits: u64,
    /// cost that the cache saved
    pub saved: Money,
}

impl RollupSums {
    pub fn add(&mut self, other: &RollupSums) {
        self.combine(other, u64::saturating_add);
        self.cost = self.cost.plus(other.cost);
        self.saved = self.saved.plus(other.saved);
    }

    /// The same for the days of tags and users, which keep no latencies.
    pub fn without_latencies(self) -> RollupSums {
        RollupSums {
            latencies: Latencies::default(),
            ..self
        }
    }

    /// Takes away sums that are a part of these.
    pub fn remove(&mut self, part: &RollupSums) {
        self.combine(part, u64::saturating_sub);
        self.cost = self.cost.minus(part.cost);
        self.saved = self.saved.minus(part.saved);
    }

    fn combine(&mut self, other: &RollupSums, combined: fn(u64, u64) -> u64) {
        for (count, of_other) in [
            (&mut self.requests, other.requests),
            (&mut self.refused, other.refused),
            (&mut self.tokens_in, other.tokens_in),
            (&mut self.cached_in, other.cached_in),
            (&mut self.tokens_out, other.tokens_out),
            (&mut self.cache_writes, other.cache_writes),
            (&mut self.reasoning, other.reasoning),
            (&mut self.images, other.images),
            (&mut self.audio, other.audio),
            (&mut self.searches, other.searches),
            (&mut self.second_models, other.second_models),
            (&mut self.cache_hits, other.cache_hits),
        ] {
            *count = combined(*count, of_other);
        }
        self.latencies.combine(&other.latencies, combined);
    }
}
