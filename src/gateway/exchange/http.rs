//! HTTP to the upstream: which headers go along, and which come back. Never forwards a client's credential, cookie or anything
//! else that describes the client's connection.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;

use crate::domain::header_list::KnownHeader;
use crate::domain::secret::Secret;
use crate::gateway::deadlines::{Deadlines, SendTimeouts};
use crate::provider::RequestToSign;
use crate::route::Deployment;
use crate::upstream::{Client, IncomingResponse, OutgoingRequest, TransportError};

/// The client's header that every vendor understands.
const UNDERSTOOD_BY_ALL: &str = "user-agent";

/// Response headers that are forwarded to the client, by their beginning.
const RESPONSE_HEADERS: [&str; 10] = [
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "x-amzn-bedrock-",
    "anthropic-ratelimit-",
    "x-ratelimit-",
    "retry-after",
    "x-should-retry",
    "openai-processing-ms",
    TIER_SERVED,
];

/// Header in which Google states the tier that served a call; the body does not.
const TIER_SERVED: &str = "x-gemini-service-tier";
/// Bound of a tier's name.
const TIER_CHARS_MAX: usize = 32;

/// The client's headers for a vendor of the same dialect, or of another.
pub(super) fn upstream_headers(
    headers: &[KnownHeader],
    same_dialect: bool,
) -> Cow<'_, [KnownHeader]> {
    if same_dialect {
        return Cow::Borrowed(headers);
    }
    let understood = headers
        .iter()
        .filter(|(name, _)| *name == UNDERSTOOD_BY_ALL);
    Cow::Owned(understood.cloned().collect())
}

/// Sends the body and waits for the response head. `headers` are the client's; `now_ms` is the time of a signature.
pub(super) async fn send(
    client: &Client,
    deployment: &Deployment,
    url: &str,
    headers: &[KnownHeader],
    body: Bytes,
    timeouts: SendTimeouts,
    now_ms: u64,
) -> Result<IncomingResponse, TransportError> {
    let (key, signature) = credential(deployment, url, &body, now_ms);
    // responses are read as they come, so nothing may compress them
    let mut sent = Vec::with_capacity(16);
    sent.extend([
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
    ]);
    sent.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    let own = &deployment.provider.headers;
    sent.retain(|(present, _)| !own.iter().any(|(name, _)| name == present));
    sent.extend(
        own.iter()
            .map(|(name, value)| (name.as_str(), value.expose())),
    );
    for (name, value) in deployment.provider.preset.default_headers {
        if !sent.iter().any(|(present, _)| present == name) {
            sent.push((name, value));
        }
    }
    let credentials = key.iter().chain(&signature);
    sent.extend(credentials.map(|(name, value)| (*name, value.expose())));
    let mut connection = Cow::Borrowed(&deployment.provider.connection);
    if timeouts.connect_ms.is_some() {
        connection.to_mut().connect_timeout_ms = timeouts.connect_ms;
    }
    let request = OutgoingRequest {
        url,
        connection: &connection,
        headers: sent,
        body,
        head_timeout_ms: timeouts.head.as_millis() as u64,
    };
    client.post(request, is_wanted).await
}

fn is_wanted(name: &str) -> bool {
    name == "content-type" || RESPONSE_HEADERS.iter().any(|begin| name.starts_with(begin))
}

/// A header with a credential.
type CredentialHeader = (&'static str, Secret);

/// Headers that authenticate the gateway: the provider's key, or a signature over the request.
fn credential(
    deployment: &Deployment,
    url: &str,
    body: &Bytes,
    now_ms: u64,
) -> (Option<CredentialHeader>, Vec<CredentialHeader>) {
    let provider = &deployment.provider;
    if let Some(signer) = &provider.signer {
        let headers = [("content-type", "application/json")];
        let request = RequestToSign {
            url,
            headers: &headers,
            body,
        };
        return (None, signer.sign(&request, now_ms));
    }
    let key = deployment.credential();
    let header = key.and_then(|key| provider.preset.credential.header(&key.secret));
    (header, Vec::new())
}

/// Tier that served a call, where the response head states it.
pub(super) fn tier_served(incoming: &IncomingResponse) -> Option<String> {
    let tier = incoming.headers.find(TIER_SERVED);
    tier.map(|tier| tier.chars().take(TIER_CHARS_MAX).collect())
}

/// Reads a unary body of at most `bytes_max` within the deadlines and reports its growing length to `received`.
pub(super) async fn read_body(
    incoming: &mut IncomingResponse,
    bytes_max: usize,
    deadlines: &Deadlines,
    deadline: Instant,
    received: impl FnMut(usize),
) -> Result<Bytes, TransportError> {
    let idle_ms = deadlines.idle_ms;
    let body = incoming.read_body_until(bytes_max, idle_ms, Some(deadline), received);
    match body.await {
        Err(TransportError::IdleTimeout(_)) if deadline <= Instant::now() => {
            Err(TransportError::CallTimeout(deadlines.call_ms))
        }
        result => result,
    }
}
