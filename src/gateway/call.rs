//! A model request as the listener hands it over, before anything of its body is read.

use bytes::Bytes;

use crate::dialect::{Dialect, Operation};
use crate::domain::api_error::ApiError;
use crate::domain::money::Money;
use crate::gateway::exchange::deadlines::ClientTimeouts;

/// Header with the tag under which a request is reported; it is not forwarded.
pub const TAG_HEADER: &str = "x-gatekeeper-tag";

/// Header with the most that a request may cost.
pub const MAX_COST_HEADER: &str = "x-gatekeeper-max-cost-usd";

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
    /// the client's headers for which [`is_forwarded`] holds, names in lower case
    pub headers: Vec<(String, String)>,
    /// raw value of [`TAG_HEADER`]
    pub tag: Option<Bytes>,
    /// timeouts that the client sets itself, from [`read_timeouts`]
    pub timeouts: ClientTimeouts,
    /// raw value of [`MAX_COST_HEADER`]
    pub max_cost: Option<String>,
    /// end user, from the header that the configuration names
    pub user: Option<String>,
    pub body: Bytes,
}

/// Reads the timeouts that clients announce; `header` looks a header up by its name in lower case. A value that is no number counts
/// as absent.
pub fn read_timeouts<'h>(header: impl Fn(&str) -> Option<&'h str>) -> ClientTimeouts {
    let seconds = |name| {
        let written: f64 = header(name)?.trim().parse().ok()?;
        (written > 0.0).then_some((written * 1_000.0) as u64)
    };
    let own_ms = header("x-gatekeeper-timeout-ms").and_then(|text| text.trim().parse().ok());
    let call_ms = [
        seconds("x-stainless-timeout"),
        own_ms.filter(|ms: &u64| *ms > 0),
    ];
    ClientTimeouts {
        read_ms: seconds("x-stainless-read-timeout"),
        call_ms: call_ms.into_iter().flatten().min(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_timeouts_are_read_in_their_units_and_nonsense_is_ignored() {
        let headers = |pairs: &'static [(&str, &str)]| {
            read_timeouts(|name| {
                pairs
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|pair| pair.1)
            })
        };
        let read = headers(&[
            ("x-stainless-read-timeout", "2.5"),
            ("x-stainless-timeout", "600"),
        ]);
        assert_eq!((read.read_ms, read.call_ms), (Some(2_500), Some(600_000)));
        let own = headers(&[
            ("x-gatekeeper-timeout-ms", "1500"),
            ("x-stainless-timeout", "600"),
        ]);
        assert_eq!((own.read_ms, own.call_ms), (None, Some(1_500)));
        let none = headers(&[
            ("x-stainless-timeout", "NOT_GIVEN"),
            ("x-gatekeeper-timeout-ms", "0"),
        ]);
        assert_eq!(none, ClientTimeouts::default());
    }
}
