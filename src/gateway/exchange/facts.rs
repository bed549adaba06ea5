//! Facts of one attempt that are known when its hold is granted, and from which it is settled.

use std::sync::Arc;
use std::time::Instant;

use crate::domain::ceiling::CeilingFactor;
use crate::domain::event::Flags;
use crate::domain::id::TeamId;
use crate::domain::money::Money;
use crate::domain::usage::CacheLifetime;
use crate::gateway::caching::recorder::CacheAttempt;
use crate::gateway::deadlines::Deadlines;
use crate::gateway::exchange::shared_progress::SharedProgress;
use crate::gateway::origin::RequestOrigin;
use crate::price::PricingContext;
use crate::route::{Deployment, RouteTable};

/// Facts of a call that are known when its hold is granted.
pub(in crate::gateway) struct CallFacts {
    pub deployment: Arc<Deployment>,
    pub team: TeamId,
    /// flags of its record whatever happens
    pub marks: Flags,
    pub ceiling: Money,
    /// the ceiling is a guess, not a bound
    pub guessed: bool,
    /// factor in the ceiling
    pub ceiling_factor: CeilingFactor,
    /// members that are sent although the gateway does not know them
    pub foreign_members: Vec<String>,
    pub tier_asked: Option<String>,
    /// longest lifetime of cache writes that the request asked for
    pub cache_lifetime: CacheLifetime,
    pub routes: Arc<RouteTable>,
    pub output_cap: Option<u64>,
    /// output cap that the gateway writes into the request
    pub written_cap: Option<u64>,
    /// members of the client's body that nothing is known of do not go up
    pub known_members_only: bool,
    /// bytes of the request that are text
    pub input_bytes: u64,
    pub admitted: Instant,
    pub deadlines: Deadlines,
    /// members that the vendor receives changed or not at all, for the reply head
    pub changed_members: Option<String>,
    /// state of the request that decides after a failure
    pub route: SharedProgress,
    pub origin: RequestOrigin,
    /// `None` where the cache is off
    pub cache: Option<Box<CacheAttempt>>,
}

impl CallFacts {
    pub fn pricing<'a>(&'a self, deployment: &'a Deployment) -> PricingContext<'a> {
        PricingContext {
            cache_lifetime: self.cache_lifetime,
            ..deployment.pricing(self.tier_asked.as_deref())
        }
    }
}
