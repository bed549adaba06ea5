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

/// Header by which SDKs do not repeat what the gateway has repeated in vain.
pub(super) fn no_retry() -> (Cow<'static, str>, String) {
    (SHOULD_RETRY.into(), "false".into())
}

/// Adds the headers that name the deployment and the attempt.
pub(super) fn put_attempt(headers: &mut HeaderList, id: HoldId, deployment: &Deployment) {
    headers.push(("x-gatekeeper-model".into(), header_text(&deployment.model)));
    headers.push((
        "x-gatekeeper-provider".into(),
        header_text(&deployment.provider.name),
    ));
    headers.push(("x-gatekeeper-attempts".into(), id.attempt.to_string()));
}

/// Text of a client or a configuration as the value of a header, which has no control characters.
fn header_text(text: &str) -> String {
    let is_control = |byte: u8| byte.is_ascii_control();
    if text.is_ascii() && !text.bytes().any(is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Adds the headers of an answer of the cache: the deployment that gave it, no attempt, no cost.
pub(super) fn put_kept(headers: &mut HeaderList, id: RequestId, provider: &str, model: &str) {
    headers.push((REQUEST_ID.into(), id.to_string()));
    headers.push(("x-gatekeeper-model".into(), header_text(model)));
    headers.push(("x-gatekeeper-provider".into(), header_text(provider)));
    headers.push(("x-gatekeeper-attempts".into(), "0".into()));
    headers.push(("x-gatekeeper-cost-usd".into(), Money::ZERO.to_string()));
}

/// Adds the remainder of the tightest budget and its reset.
pub(super) fn put_remainder(headers: &mut HeaderList, remainder: Option<Remainder>) {
    let Some(Remainder { left, resets_at_ms }) = remainder else {
        return;
    };
    headers.push(("x-gatekeeper-budget-remaining-usd".into(), left.to_string()));
    if let Some(at_ms) = resets_at_ms {
        headers.push((
            "x-gatekeeper-budget-reset".into(),
            Zone::utc().rfc3339(at_ms),
        ));
    }
}

impl Reply {
    /// Names the request parameters that the route set.
    pub(super) fn with_route_params(mut self, names: &[String]) -> Reply {
        if !names.is_empty() {
            let value = header_text(&names.join(","));
            self.headers
                .push(("x-gatekeeper-route-params".into(), value));
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
        let mut put = |name: &'static str, value: String| self.headers.push((name.into(), value));
        put("x-gatekeeper-cache", note.outcome.as_str().to_owned());
        if note.outcome == CacheOutcome::Bypass {
            put("x-gatekeeper-cache-reason", note.reason.clone());
        }
        if !note.outcome.is_hit() {
            return self;
        }
        put("x-gatekeeper-cache-age", (note.age_ms / 1_000).to_string());
        if let Some(entry) = note.entry {
            put("x-gatekeeper-cache-entry", entry.to_string());
        }
        if let Some(similarity) = note.similarity {
            put("x-gatekeeper-cache-similarity", similarity.to_string());
        }
        put("x-gatekeeper-cache-saved-usd", note.saved.to_string());
        self
    }

    /// Head of an answered call: forwarded headers of the upstream, and the deployment that answered.
    pub(super) fn answered(
        status: u16,
        mut headers: HeaderList,
        id: HoldId,
        deployment: &Deployment,
    ) -> Reply {
        headers.push((REQUEST_ID.into(), id.request.to_string()));
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
        let mut headers = vec![("content-type".into(), "application/json".into())];
        if error.code.is_final() {
            headers.push((SHOULD_RETRY.into(), "false".into()));
        }
        if let Some(seconds) = error.retry_after_s {
            headers.push(("retry-after".into(), seconds.to_string()));
        }
        if let Some(allowance) = &error.allowance {
            rate_limit_headers::put_headers(&mut headers, allowance);
        }
        put_remainder(&mut headers, error.remainder);
        let body = dialect::error_body(dialect, error, &id);
        headers.push((REQUEST_ID.into(), id));
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
                .filter(|(name, _)| name == SHOULD_RETRY)
                .map(|(_, value)| value.as_str())
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
