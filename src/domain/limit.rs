//! Rate limits: who owns one, what it allows in a minute and at once, and for which models.

use std::num::NonZeroU32;

use crate::domain::budget::Owner;
use crate::domain::id::LimitId;
use crate::domain::pattern::Pattern;

/// How many requests and tokens may pass in a minute, and how many calls may run at once. `None` limits nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub id: LimitId,
    pub owner: Owner,
    /// requests per minute
    pub rpm: Option<NonZeroU32>,
    /// tokens per minute, input and output together
    pub tpm: Option<NonZeroU32>,
    /// calls that run at the same time
    pub max_parallel: Option<NonZeroU32>,
    /// counts only calls of the models it means; `None` counts all
    pub model: Option<Pattern>,
}

/// How one measure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// per minute
    pub limit: u64,
    pub remaining: u64,
    /// until the whole minute is free again
    pub reset_ms: u64,
}

/// What the tightest limits of a caller have left; a measure that nothing limits is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub requests: Option<Gauge>,
    pub tokens: Option<Gauge>,
}
