//! An upstream that said no. A refusal that is the client's to mend is passed on as it came; what is ours to mend (the
//! credential, the address, the vendor's own trouble) becomes ours, and never makes a client think its key is bad.

use std::time::Duration;

use bytes::Bytes;

use crate::dialect::{self, Dialect, UpstreamFault};
use crate::domain::event::Status;
use crate::domain::problem::{Problem, Word};
use crate::gateway::attempt::ledger_unavailable;
use crate::gateway::open::Open;
use crate::gateway::relay;
use crate::gateway::reply::{Body, Reply};
use crate::upstream::Incoming;

/// A longer error body is left out.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// How long an error body may take in all.
const ERROR_WAIT_MS: u64 = 10_000;

/// Settles a refused call (it costs nothing) and answers it.
pub(super) async fn refused(mut open: Open, dialect: Dialect, incoming: Incoming) -> Result<Reply, Problem> {
    let status = incoming.status;
    let headers = incoming.headers.clone();
    let whole = incoming.whole(ERROR_BYTES_MAX, ERROR_WAIT_MS);
    let body = tokio::time::timeout(Duration::from_millis(ERROR_WAIT_MS), whole).await;
    let body = body.unwrap_or(Ok(Bytes::new())).unwrap_or_default();
    open.settle(Status::UpstreamError).map_err(|not_logged| ledger_unavailable(&not_logged))?;
    let fault = dialect::upstream_fault(dialect, &body);
    if is_the_clients(status) {
        return Ok(passed_on(&open, dialect, status, &headers, body, &fault));
    }
    let provider = &open.deployment.provider.name;
    if matches!(status, 401..=403) {
        tracing::error!("provider {provider} answered {status}: check its api_key and its account");
    }
    let retry_after_s = headers.iter().find(|(name, _)| name == "retry-after").and_then(|(_, value)| value.parse().ok());
    Err(Problem { retry_after_s, ..ours(provider, &open.deployment.model, status, &fault) })
}

fn is_the_clients(status: u16) -> bool {
    matches!(status, 400 | 405..=499) && status != 407
}

fn passed_on(
    open: &Open,
    dialect: Dialect,
    status: u16,
    headers: &[(String, String)],
    body: Bytes,
    fault: &UpstreamFault,
) -> Reply {
    let mut reply = relay::head(open, status, headers);
    let is_json_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body).is_ok();
    reply.body = Body::Whole(if is_json_object {
        body
    } else {
        let word = if status == 429 { Word::RateLimitExceeded } else { Word::InvalidRequest };
        dialect::error_body(dialect, &Problem::new(word, fault.message.clone()), &open.held.id.request.to_string()).into()
    });
    reply.headers.retain(|(name, _)| name != "content-type");
    reply.headers.push(("content-type".into(), "application/json".into()));
    reply
}

/// What an upstream's trouble is called towards the client.
fn ours(provider: &str, model: &str, status: u16, fault: &UpstreamFault) -> Problem {
    match status {
        401..=403 => Problem::new(
            Word::UpstreamError,
            format!("provider {provider} refused the gateway's own credential ({status}); the administrator has to look at it"),
        ),
        404 => Problem::new(
            Word::UpstreamError,
            format!(
                "provider {provider} does not know model {model} or its address is wrong (404); the administrator has to look at it"
            ),
        ),
        503 | 529 => Problem::new(Word::Overloaded, format!("provider {provider} is overloaded ({status}): {}", fault.message)),
        504 => Problem::new(Word::UpstreamTimeout, format!("provider {provider} timed out (504): {}", fault.message)),
        _ => Problem::new(Word::UpstreamError, format!("provider {provider} answered {status}: {}", fault.message)),
    }
}

/// An error that came inside an answer with status 200.
pub(super) fn in_band(provider: &str, fault: &UpstreamFault) -> Problem {
    let overloaded = fault.kind == "overloaded_error" || matches!(fault.status, Some(503 | 529));
    let word = if overloaded { Word::Overloaded } else { Word::UpstreamError };
    Problem::new(word, format!("provider {provider} reported an error: {}", fault.message))
}
