//! Rate limits: owner, requests and tokens per minute, parallel calls, model filter; and what is left of them.

use std::num::NonZeroU32;

use crate::domain::budget::Owner;
use crate::domain::id::LimitId;
use crate::domain::pattern::Pattern;

/// A rate limit. A measure that is `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub id: LimitId,
    pub owner: Owner,
    /// requests per minute
    pub rpm: Option<NonZeroU32>,
    /// tokens per minute, input and output together
    pub tpm: Option<NonZeroU32>,
    /// maximum number of calls in flight
    pub max_parallel: Option<NonZeroU32>,
    /// models whose calls count; `None` counts all
    pub model: Option<Pattern>,
}

/// Current state of one measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// per minute
    pub limit: u64,
    pub remaining: u64,
    /// time until the full limit is available again
    pub reset_ms: u64,
}

/// Remaining requests and tokens under the tightest limits of a caller; `None` for an unlimited measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub requests: Option<Gauge>,
    pub tokens: Option<Gauge>,
}
