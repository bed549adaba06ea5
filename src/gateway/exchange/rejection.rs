//! Upstream rejections: a response whose status is an error. A rejection that the client can mend is forwarded with its status
//! and body; what is the operator's or the vendor's to mend becomes an error of the gateway, and never tells a client that its
//! own key is bad.

use std::time::Duration;

use bytes::Bytes;

use crate::dialect::{self, Dialect, UpstreamError};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::domain::header_list::HeaderList;
use crate::domain::id::RequestId;
use crate::gateway::exchange::failure;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, DeliveredPart, FailurePhase};
use crate::gateway::exchange::response::reply_head;
use crate::gateway::exchange::secrets;
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
    mut hold: Box<OpenHold>,
    client: Dialect,
    upstream: Dialect,
    incoming: IncomingResponse,
    guard: InflightGuard,
) -> AttemptFailure {
    let (status, headers) = (incoming.status, incoming.headers.clone());
    let head = (status, headers.clone());
    let rejection = tokio::select! {
        biased;
        rejection = UpstreamRejection::read(client, upstream, &hold.facts.deployment, incoming) => rejection,
        // the status is known; only the reason is lost
        () = guard.end_ordered() => UpstreamRejection::new(client, upstream, head, Err(LATE)),
    };
    let rejected = rejection.failure(&hold.facts.deployment);
    hold.note_failure(&rejected, DeliveredPart::Nothing);
    let receipt = match failure::settle(&mut hold, Status::UpstreamError) {
        Ok(receipt) => receipt,
        Err(failure) => return failure,
    };
    let mut head = reply_head(&hold, status, headers);
    reply::put_remainder(&mut head.headers, receipt.remainder);
    rejection.with_reply(rejected, head, hold.grant.id.request)
}

const LATE: &str = "the upstream's reason did not come in time";

/// Status and headers of a response.
type ResponseHead = (u16, HeaderList);

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
        deployment: &Deployment,
        incoming: IncomingResponse,
    ) -> UpstreamRejection {
        let head = (incoming.status, incoming.headers.clone());
        let body = incoming.read_body(ERROR_BYTES_MAX, ERROR_WAIT_MS, |_| {});
        let body = match tokio::time::timeout(Duration::from_millis(ERROR_WAIT_MS), body).await {
            Ok(Ok(body)) => Ok(secrets::masked_body(&deployment.provider, body)),
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
        let retry_after = headers.find("retry-after");
        let header_s = retry_after.and_then(|value| value.parse().ok());
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

    /// The failure of the attempt.
    pub fn failure(&self, deployment: &Deployment) -> AttemptFailure {
        let provider = &deployment.provider;
        let status = self.status;
        log_credential_rejection(deployment, status);
        let (code, message) = (&self.error.kind, &self.error.message);
        let class = provider.preset.failure_class(Some(status), code, message);
        let failure = if is_for_the_client(status) {
            let failure = AttemptFailure::new(class, FailurePhase::AfterHead, message.as_str());
            AttemptFailure {
                code: client_code(status),
                ..failure
            }
        } else {
            let message = gateway_message(&provider.name, &deployment.model, status, message);
            let failure = AttemptFailure::new(class, FailurePhase::AfterHead, message);
            let failure =
                failure.with_fault(&provider.name, "error_status", format!("status {status}"));
            AttemptFailure {
                code: gateway_code(status),
                ..failure
            }
        };
        AttemptFailure {
            retry_after_s: self.retry_after_s,
            vendor_status: Some(status),
            vendor_code: self.error.kind.clone(),
            ..failure
        }
    }

    /// The failure with the rejection as a reply below `head`, where the client can mend the request.
    pub fn with_reply(self, failure: AttemptFailure, head: Reply, id: RequestId) -> AttemptFailure {
        let is_forwarded = is_for_the_client(self.status);
        let forwarded = is_forwarded.then(|| Box::new(self.forward(head, id)));
        AttemptFailure {
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
            let error = ApiError::new(client_code(self.status), self.error.message);
            dialect::error_body(self.client, &error, &id.to_string()).into()
        });
        head.headers.remove("content-type");
        head.headers.push("content-type", "application/json");
        if let Some(seconds) = self.retry_after_s
            && head.headers.find("retry-after").is_none()
        {
            head.headers.push_display("retry-after", seconds);
        }
        head
    }
}

/// Returns `true` for a rejection that the client can mend; not for one of a proxy, or of a vendor's model behind it.
fn is_for_the_client(status: u16) -> bool {
    matches!(status, 400 | 405..=499) && !matches!(status, 407 | 408 | 424)
}

fn log_credential_rejection(deployment: &Deployment, status: u16) {
    if matches!(status, 401..=403) {
        tracing::error!(
            provider = %deployment.provider.name,
            key = deployment.key_name(),
            status,
            "provider rejected the gateway's credential; check its api_key and its account"
        );
    }
}

fn client_code(status: u16) -> ErrorCode {
    match status {
        413 => ErrorCode::RequestTooLarge,
        429 => ErrorCode::RateLimitExceeded,
        _ => ErrorCode::InvalidRequest,
    }
}

/// Error code of a rejection that the client cannot mend.
fn gateway_code(status: u16) -> ErrorCode {
    match status {
        503 | 529 => ErrorCode::Overloaded,
        408 | 504 => ErrorCode::UpstreamTimeout,
        _ => ErrorCode::UpstreamError,
    }
}

/// Text of a rejection that the client cannot mend.
fn gateway_message(provider: &str, model: &str, status: u16, said: &str) -> String {
    match status {
        401..=403 => format!(
            "provider {provider} refused the gateway's own credential ({status}); the administrator has to look at it"
        ),
        404 => format!(
            "provider {provider} does not know model {model} or its address is wrong (404); the administrator has to look at it"
        ),
        503 | 529 => format!("provider {provider} is overloaded ({status}): {said}"),
        408 | 504 => format!("provider {provider} timed out ({status}): {said}"),
        _ => format!("provider {provider} answered {status}: {said}"),
    }
}
