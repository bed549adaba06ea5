//! Facts of a call that select its card besides its tokens: tier, place, tools, lifetime of cache
//! writes. An absent fact must never select a cheaper price than a present one could.

use crate::domain::server_tool::ServerTool;
use crate::domain::usage::CacheLifetime;

/// Facts that select the price of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct PricingContext<'a> {
    /// tier words of the request
    pub tier: Option<&'a str>,
    /// region, data zone or residency of the deployment: `eu-west-1`, `us`, `gov`
    pub place: Option<&'a str>,
    /// tool that runs searches, where usage or input bound do not tell; `None` takes the dearest search of the model
    pub search_tool: Option<ServerTool>,
    /// longest lifetime of cache writes that the request asked for
    pub cache_lifetime: CacheLifetime,
}

/// The requested tier alone: base place, dearest search.
impl<'a> From<Option<&'a str>> for PricingContext<'a> {
    fn from(tier: Option<&'a str>) -> PricingContext<'a> {
        PricingContext {
            tier,
            ..PricingContext::default()
        }
    }
}
