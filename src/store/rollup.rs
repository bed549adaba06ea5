//! Roll-ups: keys and sums of the hour and day tables. Refusals are counted by key alone.

use crate::domain::event::StatusClass;
use crate::domain::id::KeyId;
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
    pub model_asked: String,
    pub provider: String,
    pub model: String,
    pub class: StatusClass,
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
    pub cost: Money,
}

impl RollupSums {
    pub fn add(&mut self, other: &RollupSums) {
        self.requests = self.requests.saturating_add(other.requests);
        self.refused = self.refused.saturating_add(other.refused);
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.cached_in = self.cached_in.saturating_add(other.cached_in);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
        self.cost = self.cost.plus(other.cost);
    }
}
