//! Upstream rejections: a response whose status is an error. A rejection that the client can mend is forwarded with its status
//! and body; what is the operator's or the vendor's to mend becomes an error of the gateway, and never tells a client that its
//! own key is bad.

use std::time::Duration;

use bytes::Bytes;

use crate::dialect::{self, Dialect, UpstreamError};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::domain::id::RequestId;
use crate::gateway::exchange::failure;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, FailureClass, FailurePhase};
use crate::gateway::exchange::response::reply_head;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{self, Body, Reply};
use crate::route::Deployment;
use crate::upstream::{IncomingResponse, TransportError};

/// Bound of an error body; a longer one is not forwarded.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for an error body.
const ERROR_WAIT_MS: u64 = 10_000;

/// Settles a rejected call, which costs nothing, and returns its failure.
pub(super) async fn settle(
    mut hold: OpenHold,
    client: Dialect,
    upstream: Dialect,
    incoming: IncomingResponse,
    mut guard: InflightGuard,
) -> AttemptFailure {
    let (status, headers) = (incoming.status, incoming.headers.clone());
    let head = (status, headers.clone());
    let rejection = tokio::select! {
        biased;
        rejection = UpstreamRejection::read(client, upstream, incoming) => rejection,
        // the status is known; only the reason is lost
        () = guard.end_ordered() => UpstreamRejection::new(client, upstream, head, Err(LATE)),
    };
    let receipt = match failure::settle(&mut hold, Status::UpstreamError) {
        Ok(receipt) => receipt,
        Err(failure) => return failure,
    };
    let mut head = reply_head(&hold, status, &headers);
    reply::put_remainder(&mut head.headers, receipt.remainder);
    rejection.into_failure(head, &hold.facts.deployment, hold.grant.id.request)
}

const LATE: &str = "the upstream's reason did not come in time";

/// Status and headers of a response.
type ResponseHead = (u16, Vec<(String, String)>);

/// An upstream's rejection, decoded.
pub(super) struct UpstreamRejection {
    client: Dialect,
    upstream: Dialect,
    status: u16,
    retry_after_s: Option<u64>,
    body: Bytes,
    error: UpstreamError,
}

impl UpstreamRejection {
    pub async fn read(
        client: Dialect,
        upstream: Dialect,
        incoming: IncomingResponse,
    ) -> UpstreamRejection {
        let head = (incoming.status, incoming.headers.clone());
        let body = incoming.read_body(ERROR_BYTES_MAX, ERROR_WAIT_MS, |_| {});
        let body = match tokio::time::timeout(Duration::from_millis(ERROR_WAIT_MS), body).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(TransportError::TooLarge(_))) => {
                Err("the upstream's reason is too long to be passed on")
            }
            Ok(Err(_)) => Err("the upstream's reason did not come whole"),
            Err(_) => Err(LATE),
        };
        UpstreamRejection::new(client, upstream, head, body)
    }

    /// A rejection from its head and its body, or the reason why there is no body.
    fn new(
        client: Dialect,
        upstream: Dialect,
        (status, headers): ResponseHead,
        body: Result<Bytes, &str>,
    ) -> UpstreamRejection {
        let mut retry_after = headers.iter().filter(|(name, _)| name == "retry-after");
        let header_s = retry_after.next().and_then(|(_, value)| value.parse().ok());
        let error = match &body {
            Ok(body) => dialect::upstream_error(upstream, body),
            Err(why) => UpstreamError::new(*why),
        };
        let body = body.unwrap_or_default();
        let status = dialect::effective_status(upstream, status, &error);
        let retry_after_s = header_s.or_else(|| dialect::retry_after_s(&body));
        UpstreamRejection {
            client,
            upstream,
            status,
            retry_after_s,
            body,
            error,
        }
    }

    /// The failure of the attempt. Where the client can mend the request, it carries the rejection as a reply below `head`.
    pub fn into_failure(
        self,
        head: Reply,
        deployment: &Deployment,
        id: RequestId,
    ) -> AttemptFailure {
        let provider = &deployment.provider.name;
        let status = self.status;
        log_credential_rejection(provider, status);
        let (class, message) = if is_for_the_client(status) {
            (client_class(status), self.error.message.clone())
        } else {
            gateway_class(provider, &deployment.model, status, &self.error)
        };
        let (vendor_code, retry_after_s) = (self.error.kind.clone(), self.retry_after_s);
        let failure = AttemptFailure::new(class, FailurePhase::AfterHead, message);
        let failure = if is_for_the_client(status) {
            failure
        } else {
            failure.with_fault(provider, "error_status", format!("status {status}"))
        };
        let forwarded = is_for_the_client(status).then(|| Box::new(self.forward(head, id)));
        AttemptFailure {
            retry_after_s,
            vendor_status: Some(status),
            vendor_code,
            forwarded,
            ..failure
        }
    }

    /// Returns `true` for a body in the error shape of the client's dialect; a vendor may borrow Anthropic's dialect and report
    /// errors in its own shape.
    fn is_in_client_shape(&self) -> bool {
        self.client == self.upstream && dialect::is_error_body(self.client, &self.body)
    }

    fn forward(self, mut head: Reply, id: RequestId) -> Reply {
        head.body = Body::Whole(if self.is_in_client_shape() {
            self.body
        } else {
            let code = match self.status {
                413 => ErrorCode::RequestTooLarge,
                429 => ErrorCode::RateLimitExceeded,
                _ => ErrorCode::InvalidRequest,
            };
            let error = ApiError::new(code, self.error.message);
            dialect::error_body(self.client, &error, &id.to_string()).into()
        });
        head.headers.retain(|(name, _)| name != "content-type");
        let content_type = ("content-type".into(), "application/json".into());
        head.headers.push(content_type);
        if let Some(seconds) = self.retry_after_s
            && !head.headers.iter().any(|(name, _)| name == "retry-after")
        {
            let header = ("retry-after".into(), seconds.to_string());
            head.headers.push(header);
        }
        head
    }
}

/// Returns `true` for a rejection that the client can mend; not for one of a proxy, or of a vendor's model behind it.
fn is_for_the_client(status: u16) -> bool {
    matches!(status, 400 | 405..=499) && !matches!(status, 407 | 408 | 424)
}

fn log_credential_rejection(provider: &str, status: u16) {
    if matches!(status, 401..=403) {
        tracing::error!(
            provider = %provider,
            status,
            "provider rejected the gateway's credential; check its api_key and its account"
        );
    }
}

fn client_class(status: u16) -> FailureClass {
    match status {
        413 => FailureClass::RequestTooLarge,
        429 => FailureClass::RateLimited,
        _ => FailureClass::RequestRejected,
    }
}

/// Class and text of a rejection that the client cannot mend.
fn gateway_class(
    provider: &str,
    model: &str,
    status: u16,
    error: &UpstreamError,
) -> (FailureClass, String) {
    match status {
        401..=403 => (
            FailureClass::CredentialRejected,
            format!(
                "provider {provider} refused the gateway's own credential ({status}); the administrator has to look at it"
            ),
        ),
        404 => (
            FailureClass::ModelUnknown,
            format!(
                "provider {provider} does not know model {model} or its address is wrong (404); the administrator has to look at it"
            ),
        ),
        503 | 529 => (
            FailureClass::Overloaded,
            format!(
                "provider {provider} is overloaded ({status}): {}",
                error.message
            ),
        ),
        408 | 504 => (
            FailureClass::Timeout,
            format!(
                "provider {provider} timed out ({status}): {}",
                error.message
            ),
        ),
        _ => (
            FailureClass::VendorError,
            format!("provider {provider} answered {status}: {}", error.message),
        ),
    }
}
