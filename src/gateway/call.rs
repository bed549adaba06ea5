//! A model request as the listener hands it over, before anything of its body is read.

use std::net::IpAddr;

use bytes::Bytes;

use crate::dialect::{Dialect, Operation};
use crate::domain::api_error::ApiError;

/// Header with the tag under which a request is reported; it is not forwarded.
pub const TAG_HEADER: &str = "x-gatekeeper-tag";

/// Headers of a client that a vendor of the same dialect understands.
const FORWARDED: [&str; 5] = [
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "user-agent",
    "accept",
];

/// Returns `true` for a client's header that is forwarded to the vendor.
pub fn is_forwarded(name: &str) -> bool {
    FORWARDED.contains(&name)
}

/// A model request from the listener.
pub struct Call {
    pub dialect: Dialect,
    pub operation: Operation,
    pub credential: Option<String>,
    /// of the peer
    pub address: Option<IpAddr>,
    /// the client's headers for which [`is_forwarded`] holds, names in lower case
    pub headers: Vec<(String, String)>,
    /// raw value of [`TAG_HEADER`]
    pub tag: Option<Bytes>,
    pub body: Bytes,
}

pub(super) fn invalid_tag() -> ApiError {
    ApiError::invalid(format!(
        "invalid header {TAG_HEADER}; use 1 to 64 letters of visible ASCII, without spaces"
    ))
    .with_param(TAG_HEADER)
}
