//! Facts of a call that select its card besides its tokens: tier, place, tools, lifetime of cache
//! writes. An absent fact must never select a cheaper price than a present one could.

use super::fees::ServerTool;

/// Lifetime of cache writes that a response reports without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheLifetime {
    /// shortest lifetime that the vendor sells
    #[default]
    Shortest,
    Hour,
    HalfDay,
}

/// Facts that select the price of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct PricingContext<'a> {
    /// tier words of the request
    pub tier: Option<&'a str>,
    /// region, data zone or residency of the deployment: `eu-west-1`, `us`, `gov`
    pub place: Option<&'a str>,
    /// tool that `Usage::web_searches` counts; `None` takes the dearest search of the model
    pub search_tool: Option<ServerTool>,
    /// uses of other tools: counted in a cost, at most this many in a ceiling
    pub tools: &'a [(ServerTool, u64)],
    /// longest lifetime of cache writes that the request asked for
    pub cache_lifetime: CacheLifetime,
}

/// The requested tier alone: base place, dearest search, no other tools.
impl<'a> From<Option<&'a str>> for PricingContext<'a> {
    fn from(tier: Option<&'a str>) -> PricingContext<'a> {
        PricingContext {
            tier,
            ..PricingContext::default()
        }
    }
}
