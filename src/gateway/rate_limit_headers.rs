//! Rate limits towards the client: the text of a refusal, and the headers with what is left. Decides nothing.

use std::num::NonZeroU32;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::header_list::HeaderList;
use crate::domain::limit::{Allowance, Gauge};
use crate::meter::{Measure, RateLimitHit};

/// Beginning of the rate limit headers, the vendor's and the gateway's.
const RATE_LIMIT: &str = "x-ratelimit-";
const REQUEST_HEADERS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];
const TOKEN_HEADERS: [&str; 3] = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
/// Beginning of the vendor's headers once the gateway sends its own.
const OF_UPSTREAM: &str = "x-gatekeeper-upstream-ratelimit-";

/// 429: the limit, its owner, and when to retry.
pub(super) fn refused(limited: &RateLimitHit, whose: &str) -> ApiError {
    let limit = &limited.limit;
    let (count, of_what) = match limited.measure {
        Measure::Requests => (limit.rpm, "requests a minute"),
        Measure::Tokens => (limit.tpm, "tokens a minute"),
        Measure::Parallel => (limit.max_parallel, "calls at once"),
    };
    let count = count.map_or(0, NonZeroU32::get);
    let models = limit
        .model
        .as_ref()
        .map_or(String::new(), |model| format!(" of {model}"));
    let wait_s = limited.wait_ms.div_ceil(1_000).max(1);
    let message = format!(
        "the rate limit {} of {whose} allows {count} {of_what}{models}, and they are taken; try again in {wait_s} s, or ask your \
         administrator to raise it",
        limit.id
    );
    ApiError::new(ErrorCode::RateLimitExceeded, message)
        .with_retry_after(wait_s)
        .with_allowance(limited.allowance)
}

/// Adds the gateway's headers; the vendor's get another name.
pub(super) fn put_headers(headers: &mut HeaderList, allowance: &Allowance) {
    headers.rename(|name| {
        let rest = name.strip_prefix(RATE_LIMIT)?;
        Some(format!("{OF_UPSTREAM}{rest}"))
    });
    for ([of_limit, of_remaining, of_reset], gauge) in [
        (REQUEST_HEADERS, allowance.requests),
        (TOKEN_HEADERS, allowance.tokens),
    ] {
        let Some(Gauge {
            limit,
            remaining,
            reset_ms,
        }) = gauge
        else {
            continue;
        };
        headers.push_display(of_limit, limit);
        headers.push_display(of_remaining, remaining);
        headers.push(of_reset, &duration(reset_ms));
    }
}

/// Duration in OpenAI's notation: `6ms`, `1.5s`, `6m0s`.
fn duration(ms: u64) -> String {
    if (1..1_000).contains(&ms) {
        return format!("{ms}ms");
    }
    let (minutes, rest_ms) = (ms / 60_000, ms % 60_000);
    let seconds = match rest_ms % 1_000 {
        0 => format!("{}s", rest_ms / 1_000),
        thousandths => format!(
            "{}.{}s",
            rest_ms / 1_000,
            format!("{thousandths:03}").trim_end_matches('0')
        ),
    };
    if minutes == 0 {
        seconds
    } else {
        format!("{minutes}m{seconds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::Owner;
    use crate::domain::id::{LimitId, TeamId};
    use crate::domain::limit::RateLimit;
    use crate::domain::pattern::Pattern;

    #[test]
    fn duration_is_written_in_openais_notation() {
        for (ms, text) in [
            (0, "0s"),
            (6, "6ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (8_640, "8.64s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_001, "6m0.001s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn rate_limit_refusal_names_limit_and_retry_time() {
        let (id, owner) = (LimitId(7), Owner::Team(TeamId(2)));
        let limit = RateLimit {
            id,
            owner,
            rpm: NonZeroU32::new(60),
            tpm: None,
            max_parallel: NonZeroU32::new(2),
            model: Some(Pattern::new("m-*")),
        };
        let limited = |measure, wait_ms| RateLimitHit {
            limit: limit.clone(),
            measure,
            wait_ms,
            allowance: Allowance::default(),
        };
        let problem = refused(&limited(Measure::Requests, 2_001), "this team");
        assert_eq!(
            (problem.code, problem.retry_after_s),
            (ErrorCode::RateLimitExceeded, Some(3))
        );
        assert!(
            problem
                .message
                .contains("limit_7 of this team allows 60 requests a minute of m-*"),
            "{problem}"
        );
        assert!(
            refused(&limited(Measure::Parallel, 1_000), "this team")
                .message
                .contains("2 calls at once")
        );
    }

    #[test]
    fn vendor_rate_limit_headers_are_renamed() {
        let gauge = Gauge {
            limit: 60,
            remaining: 59,
            reset_ms: 1_000,
        };
        let mut headers = HeaderList::default();
        headers.push("x-ratelimit-remaining-tokens", "5");
        headers.push("retry-after", "1");
        let allowance = Allowance {
            requests: Some(gauge),
            tokens: None,
        };
        put_headers(&mut headers, &allowance);
        let headers: Vec<(&str, &str)> = headers.iter().collect();
        assert_eq!(
            headers,
            [
                ("x-gatekeeper-upstream-ratelimit-remaining-tokens", "5"),
                ("retry-after", "1"),
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1s"),
            ]
        );
    }
}
