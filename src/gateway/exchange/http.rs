//! Sends a request to a deployment: which headers go along, and which come back. Never a client's credential, cookie or
//! anything else that describes the client's connection.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Limits;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::domain::secret::Secret;
use crate::provider::RequestToSign;
use crate::route::Deployment;
use crate::upstream::{Client, IncomingResponse, OutgoingRequest, TransportError};

/// Headers of a client that mean something to the vendor.
const FORWARDED: [&str; 5] = [
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "user-agent",
    "accept",
];

/// Those of them that mean something to every vendor.
const FOR_ALL: &str = "user-agent";

/// The client's headers that mean something to a vendor of the same dialect, or of another.
pub(crate) fn meant(headers: &[(String, String)], alike: bool) -> Cow<'_, [(String, String)]> {
    if alike {
        return Cow::Borrowed(headers);
    }
    Cow::Owned(
        headers
            .iter()
            .filter(|(name, _)| name == FOR_ALL)
            .cloned()
            .collect(),
    )
}

/// Whether a client's header goes on to the vendor.
pub fn is_forwarded(name: &str) -> bool {
    FORWARDED.contains(&name)
}

/// Headers of an answer that mean something to the client, by their beginning.
const ANSWERED: [&str; 9] = [
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "anthropic-ratelimit-",
    "x-ratelimit-",
    "retry-after",
    "x-should-retry",
    "openai-processing-ms",
    TIER_SERVED,
];

/// Where Google says at which tier it served a call: in the head, and nowhere in the body.
const TIER_SERVED: &str = "x-gemini-service-tier";
/// A longer name of a tier is none.
const TIER_CHARS_MAX: usize = 32;

/// Sends the body and waits for the head of the answer. `headers` are the client's; `now_ms` stands in a signature.
pub(crate) async fn send(
    client: &Client,
    deployment: &Deployment,
    url: &str,
    headers: &[(String, String)],
    body: Bytes,
    head_timeout: Duration,
    now_ms: u64,
) -> Result<IncomingResponse, TransportError> {
    let provider = &deployment.provider;
    let mut credential: Vec<(&str, Secret)> = Vec::new();
    if let Some(signer) = &provider.signer {
        let headers = [("content-type", "application/json")];
        credential.extend(signer.sign(
            &RequestToSign {
                url,
                headers: &headers,
                body: &body,
            },
            now_ms,
        ));
    } else {
        credential.extend(
            provider
                .api_key
                .as_ref()
                .and_then(|key| provider.preset.credential.header(key)),
        );
    }
    // answers are read as they come, so nothing may compress them
    let mut outgoing = vec![
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
    ];
    outgoing.extend(
        headers
            .iter()
            .filter(|(name, _)| is_forwarded(name))
            .map(|(n, v)| (n.as_str(), v.as_str())),
    );
    for (name, value) in provider.preset.default_headers {
        if !outgoing.iter().any(|(sent, _)| sent == name) {
            outgoing.push((name, value));
        }
    }
    outgoing.extend(
        credential
            .iter()
            .map(|(name, value)| (*name, value.expose())),
    );
    let outgoing = OutgoingRequest {
        url,
        headers: outgoing,
        body,
        head_timeout_ms: head_timeout.as_millis() as u64,
    };
    client
        .post(outgoing, |name| {
            name == "content-type" || ANSWERED.iter().any(|begin| name.starts_with(begin))
        })
        .await
}

/// The tier that served a call, where the head of the answer says it.
pub(crate) fn tier_served(incoming: &IncomingResponse) -> Option<String> {
    let header = incoming
        .headers
        .iter()
        .find(|(name, _)| name == TIER_SERVED);
    header.map(|(_, tier)| tier.chars().take(TIER_CHARS_MAX).collect())
}

/// No head came: what the call is booked as, and what the client is told.
pub(crate) fn not_answered(provider: &str, failed: &TransportError) -> (Status, ApiError) {
    match failed {
        // nothing was sent: nothing can have been billed
        TransportError::Connect(_) | TransportError::Malformed(_) => (
            Status::UpstreamError,
            ApiError::new(
                ErrorCode::UpstreamError,
                format!("provider {provider} was not reached: {failed}"),
            ),
        ),
        TransportError::HeadTimeout(ms) => {
            let message = format!("provider {provider} sent no answer within {} s", ms / 1_000);
            (
                Status::Broken,
                ApiError::new(ErrorCode::UpstreamTimeout, message),
            )
        }
        other => (
            Status::Broken,
            ApiError::new(
                ErrorCode::UpstreamError,
                format!("provider {provider}: {other}"),
            ),
        ),
    }
}

/// A good head came, and not the whole body.
pub(crate) fn incomplete_body(provider: &str, failed: &TransportError) -> ApiError {
    let word = if matches!(
        failed,
        TransportError::IdleTimeout(_) | TransportError::CallTimeout(_)
    ) {
        ErrorCode::UpstreamTimeout
    } else {
        ErrorCode::UpstreamError
    };
    ApiError::new(
        word,
        format!("the answer of provider {provider} did not come whole: {failed}"),
    )
}

/// Reads a whole answer within the limits and tells `came` how much there is of it.
pub(crate) async fn whole(
    incoming: IncomingResponse,
    limits: &Limits,
    deadline: Instant,
    came: impl FnMut(usize),
) -> Result<Bytes, TransportError> {
    let whole = incoming.read_body(limits.answer_bytes_max, limits.idle_timeout_ms, came);
    match tokio::time::timeout_at(deadline.into(), whole).await {
        Ok(read) => read,
        Err(_) => Err(TransportError::CallTimeout(limits.call_timeout_ms)),
    }
}
