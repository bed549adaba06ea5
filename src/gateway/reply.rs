//! Reply to the listener: status, headers, and a body that is whole or a stream.

use std::borrow::Cow;

use bytes::Bytes;

use crate::dialect::{self, Dialect};
use crate::domain::api_error::ApiError;
use crate::domain::budget::Remainder;
use crate::domain::cache::{CacheNote, CacheOutcome};
use crate::domain::event::HoldId;
use crate::domain::header_list::HeaderList;
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::zone::Zone;
use crate::gateway::body_stream::{BodyStream, CapturedStream};
use crate::gateway::caching::plan::CachePlan;
use crate::gateway::rate_limit_headers;
use crate::route::Deployment;

pub enum Body {
    Whole(Bytes),
    Stream(BodyStream),
    /// a stream of a call that is captured
    Captured(CapturedStream),
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderList,
    pub body: Body,
}

/// Header with the id of a request.
pub const REQUEST_ID: &str = "x-gatekeeper-request-id";
/// Header by which SDKs decide about a retry, whatever the status.
const SHOULD_RETRY: &str = "x-should-retry";

/// Adds the header by which SDKs do not repeat what the gateway has repeated in vain.
pub(super) fn put_no_retry(headers: &mut HeaderList) {
    headers.push(SHOULD_RETRY, "false");
}

/// Adds the headers that name the deployment and the attempt.
pub(super) fn put_attempt(headers: &mut HeaderList, id: HoldId, deployment: &Deployment) {
    headers.push("x-gatekeeper-model", &header_text(&deployment.model));
    let provider = header_text(&deployment.provider.name);
    headers.push("x-gatekeeper-provider", &provider);
    headers.push_display("x-gatekeeper-attempts", id.attempt);
}

/// Text of a client or a configuration as the value of a header, which has no control characters.
fn header_text(text: &str) -> Cow<'_, str> {
    let is_control = |byte: u8| byte.is_ascii_control();
    if text.is_ascii() && !text.bytes().any(is_control) {
        return text.into();
    }
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Adds the headers of an answer of the cache: the deployment that gave it, no attempt, no cost.
pub(super) fn put_kept(headers: &mut HeaderList, id: RequestId, provider: &str, model: &str) {
    headers.push_display(REQUEST_ID, id);
    headers.push("x-gatekeeper-model", &header_text(model));
    headers.push("x-gatekeeper-provider", &header_text(provider));
    headers.push("x-gatekeeper-attempts", "0");
    put_cost(headers, Money::ZERO);
}

/// Adds the cost of the call.
pub(super) fn put_cost(headers: &mut HeaderList, cost: Money) {
    headers.push_display("x-gatekeeper-cost-usd", cost);
}

/// Adds the remainder of the tightest budget and its reset.
pub(super) fn put_remainder(headers: &mut HeaderList, remainder: Option<Remainder>) {
    let Some(Remainder { left, resets_at_ms }) = remainder else {
        return;
    };
    headers.push_display("x-gatekeeper-budget-remaining-usd", left);
    if let Some(at_ms) = resets_at_ms {
        headers.push("x-gatekeeper-budget-reset", &Zone::utc().rfc3339(at_ms));
    }
}

impl Reply {
    /// Names the request parameters that the route set.
    pub(super) fn with_route_params(mut self, names: &[String]) -> Reply {
        if !names.is_empty() {
            let names = names.join(",");
            self.headers
                .push("x-gatekeeper-route-params", &header_text(&names));
        }
        self
    }

    /// Tells the outcome of a lookup that found nothing.
    pub(super) fn with_lookup(self, plan: Option<&CachePlan>) -> Reply {
        match plan {
            Some(plan) => self.with_cache(&plan.note),
            None => self,
        }
    }

    /// Tells the outcome of the lookup in the cache.
    pub(super) fn with_cache(mut self, note: &CacheNote) -> Reply {
        let headers = &mut self.headers;
        headers.push("x-gatekeeper-cache", note.outcome.as_str());
        if note.outcome == CacheOutcome::Bypass {
            headers.push("x-gatekeeper-cache-reason", &note.reason);
        }
        if !note.outcome.is_hit() {
            return self;
        }
        headers.push_display("x-gatekeeper-cache-age", note.age_ms / 1_000);
        if let Some(entry) = note.entry {
            headers.push_display("x-gatekeeper-cache-entry", entry);
        }
        if let Some(similarity) = note.similarity {
            headers.push_display("x-gatekeeper-cache-similarity", similarity);
        }
        headers.push_display("x-gatekeeper-cache-saved-usd", note.saved);
        self
    }

    /// Head of an answered call: forwarded headers of the upstream, and the deployment that answered.
    pub(super) fn answered(
        status: u16,
        mut headers: HeaderList,
        id: HoldId,
        deployment: &Deployment,
    ) -> Reply {
        headers.push_display(REQUEST_ID, id.request);
        put_attempt(&mut headers, id, deployment);
        Reply {
            status,
            headers,
            body: Body::Whole(Bytes::new()),
        }
    }

    /// An error in the dialect of the endpoint.
    pub fn refusal(dialect: Dialect, error: &ApiError, id: RequestId) -> Reply {
        let id = id.to_string();
        let mut headers = HeaderList::default();
        headers.push("content-type", "application/json");
        if error.code.is_final() {
            headers.push(SHOULD_RETRY, "false");
        }
        if let Some(seconds) = error.retry_after_s {
            headers.push_display("retry-after", seconds);
        }
        if let Some(allowance) = &error.allowance {
            rate_limit_headers::put_headers(&mut headers, allowance);
        }
        put_remainder(&mut headers, error.remainder);
        let body = dialect::error_body(dialect, error, &id);
        headers.push(REQUEST_ID, &id);
        Reply {
            status: error.code.status(),
            headers,
            body: Body::Whole(body.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_error::ErrorCode;

    /// Codes whose refusal may be repeated as it is.
    const REPEATABLE: [ErrorCode; 8] = [
        ErrorCode::RateLimitExceeded,
        ErrorCode::BudgetHeld,
        ErrorCode::UpstreamError,
        ErrorCode::UpstreamTimeout,
        ErrorCode::Overloaded,
        ErrorCode::LedgerUnavailable,
        ErrorCode::ShuttingDown,
        ErrorCode::Internal,
    ];

    #[test]
    fn header_text_has_no_control_characters() {
        assert_eq!(header_text("a\r\nb\u{0}c\u{7f}\td é"), "a??b?c??d é");
    }

    #[test]
    fn refusal_that_repeating_cannot_mend_says_so_to_sdks() {
        for code in ErrorCode::ALL {
            let error = ApiError::new(code, "m");
            let reply = Reply::refusal(Dialect::Chat, &error, RequestId(1));
            let should_retry: Vec<&str> = reply
                .headers
                .iter()
                .filter(|(name, _)| *name == SHOULD_RETRY)
                .map(|(_, value)| value)
                .collect();
            let expected: &[&str] = if REPEATABLE.contains(&code) {
                &[]
            } else {
                &["false"]
            };
            assert_eq!(should_retry, expected, "{code:?}");
            let is_final = matches!(code.status(), 400..=499 | 501) && code.status() != 429;
            assert_eq!(code.is_final(), is_final, "{code:?}");
        }
    }
}
