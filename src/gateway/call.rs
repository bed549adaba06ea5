//! A model request as the listener hands it over, before anything of its body is read.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::directory::Caller;
use crate::dialect::{Dialect, Operation};
use crate::domain::api_error::ApiError;
use crate::domain::header_list::KnownHeader;
use crate::domain::money::Money;
use crate::gateway::caching::controls::CacheHeaders;
use crate::gateway::client_timeouts::ClientTimeouts;
use crate::trace::RequestTrace;

/// Header with the tag under which a request is reported; it is not forwarded.
pub const TAG_HEADER: &str = "x-gatekeeper-tag";

/// Header with the most that a request may cost.
pub const MAX_COST_HEADER: &str = "x-gatekeeper-max-cost-usd";

/// Setting of a key or team with the most that a request may cost.
const MAX_COST_SETTING: &str = "max_cost_usd";

/// Most that an attempt may cost, and the header or setting that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MaxCost {
    pub amount: Money,
    pub param: &'static str,
}

impl MaxCost {
    /// The lower of what the client's header and the caller's settings allow.
    pub fn of(header: Option<Money>, caller: &Caller) -> Option<MaxCost> {
        let header = header.map(|amount| (amount, MAX_COST_HEADER));
        let setting = caller.max_cost().map(|amount| (amount, MAX_COST_SETTING));
        let lowest = header
            .into_iter()
            .chain(setting)
            .min_by_key(|(amount, _)| *amount);
        lowest.map(|(amount, param)| MaxCost { amount, param })
    }
}

/// Headers of a client that a vendor of the same dialect understands.
const FORWARDED: [&str; 5] = [
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "user-agent",
    "accept",
];

/// Name of a client's header that is forwarded to the vendor, `None` for any other.
pub fn forwarded_name(name: &str) -> Option<&'static str> {
    FORWARDED.into_iter().find(|known| *known == name)
}

/// A model request from the listener.
pub struct Call {
    pub dialect: Dialect,
    pub operation: Operation,
    pub credential: Option<String>,
    /// of the peer
    pub address: Option<IpAddr>,
    /// the client's headers with a [`forwarded_name`]
    pub headers: Vec<KnownHeader>,
    /// raw value of [`TAG_HEADER`]
    pub tag: Option<Bytes>,
    /// timeouts that the client sets itself, from `read_timeouts`
    pub timeouts: ClientTimeouts,
    /// raw value of [`MAX_COST_HEADER`]
    pub max_cost: Option<String>,
    /// controls of the cache, from `read_cache_headers`
    pub cache: Option<Box<CacheHeaders>>,
    /// the client wants no copy of its request
    pub no_mirror: bool,
    /// end user, from the header that the configuration names
    pub user: Option<String>,
    /// header `traceparent`, where traces are exported
    pub traceparent: Option<String>,
    /// present while the request is traced
    pub trace: Option<Arc<RequestTrace>>,
    pub body: Bytes,
}

/// Parses the value of [`MAX_COST_HEADER`].
pub(super) fn max_cost(written: Option<&str>) -> Result<Option<Money>, ApiError> {
    let parse = |text: &str| {
        let amount = Money::parse(text.trim().trim_start_matches('$'));
        amount.map_err(|error| {
            let message =
                format!("invalid header {MAX_COST_HEADER}: {error}; use dollars such as 0.05");
            ApiError::invalid(message).with_param(MAX_COST_HEADER)
        })
    };
    written.map(parse).transpose()
}

pub(super) fn invalid_tag() -> ApiError {
    ApiError::invalid(format!(
        "invalid header {TAG_HEADER}; use 1 to 64 letters of visible ASCII, without spaces"
    ))
    .with_param(TAG_HEADER)
}
