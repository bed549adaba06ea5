//! An upstream that said no. A refusal that is the client's to mend is passed on as it came; what is ours to mend (the
//! credential, the address, the vendor's own trouble) becomes ours, and never makes a client think its key is bad.

use std::time::Duration;

use bytes::Bytes;

use crate::dialect::{self, Dialect, UpstreamError};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::domain::id::RequestId;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::send::ledger_unavailable;
use crate::gateway::exchange::stream;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{self, Body, Reply};
use crate::route::Deployment;
use crate::upstream::{IncomingResponse, TransportError};

/// A longer error body is left out.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// How long an error body may take in all.
const ERROR_WAIT_MS: u64 = 10_000;

/// Settles a refused call (it costs nothing) and answers it.
pub(crate) async fn refused(
    mut open: OpenHold,
    client: Dialect,
    upstream: Dialect,
    incoming: IncomingResponse,
    mut running: InflightGuard,
) -> Result<Reply, ApiError> {
    let (status, headers) = (incoming.status, incoming.headers.clone());
    let answered = (status, headers.clone());
    let refusal = tokio::select! {
        biased;
        refusal = UpstreamRejection::read(client, upstream, incoming) => refusal,
        // what it is, is known; why, the client is not told
        () = running.shutdown_deadline() => UpstreamRejection::of(client, upstream, answered, Err("the upstream's reason did not come in time")),
    };
    let receipt = open
        .settle(Status::UpstreamError)
        .map_err(|not_logged| ledger_unavailable(&not_logged))?;
    let mut head = stream::head(&open, status, &headers);
    reply::put_remainder(&mut head.headers, receipt.remainder);
    refusal.answer(head, &open.deployment, open.held.id.request)
}

/// Status and headers of an answer.
type ResponseHead = (u16, Vec<(String, String)>);

/// An upstream's refusal, read.
pub(crate) struct UpstreamRejection {
    client: Dialect,
    upstream: Dialect,
    status: u16,
    retry_after_s: Option<u64>,
    body: Bytes,
    fault: UpstreamError,
}

impl UpstreamRejection {
    pub(crate) async fn read(
        client: Dialect,
        upstream: Dialect,
        incoming: IncomingResponse,
    ) -> UpstreamRejection {
        let answered = (incoming.status, incoming.headers.clone());
        let whole = incoming.read_body(ERROR_BYTES_MAX, ERROR_WAIT_MS, |_| {});
        let body = match tokio::time::timeout(Duration::from_millis(ERROR_WAIT_MS), whole).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(TransportError::TooLarge(_))) => {
                Err("the upstream's reason is too long to be passed on")
            }
            Ok(Err(_)) => Err("the upstream's reason did not come whole"),
            Err(_) => Err("the upstream's reason did not come in time"),
        };
        UpstreamRejection::of(client, upstream, answered, body)
    }

    /// A refusal by its head, and its body or why there is none.
    fn of(
        client: Dialect,
        upstream: Dialect,
        (status, headers): ResponseHead,
        body: Result<Bytes, &str>,
    ) -> UpstreamRejection {
        let retry_after = headers.iter().find(|(name, _)| name == "retry-after");
        let told_s = retry_after.and_then(|(_, value)| value.parse().ok());
        let fault = match &body {
            Ok(body) => dialect::upstream_error(upstream, body),
            Err(why) => UpstreamError::new(*why),
        };
        let body = body.unwrap_or_default();
        let status = dialect::effective_status(upstream, status, &fault);
        let retry_after_s = told_s.or_else(|| dialect::retry_after_s(&body));
        UpstreamRejection {
            client,
            upstream,
            status,
            retry_after_s,
            body,
            fault,
        }
    }

    /// What the client gets: the refusal itself below `head`, or a problem of ours.
    pub(crate) fn answer(
        self,
        head: Reply,
        deployment: &Deployment,
        id: RequestId,
    ) -> Result<Reply, ApiError> {
        let provider = &deployment.provider.name;
        if is_the_clients(self.status) {
            return Ok(self.passed_on(head, id));
        }
        if matches!(self.status, 401..=403) {
            tracing::error!(
                "provider {provider} answered {}: check its api_key and its account",
                self.status
            );
        }
        let problem = ours(provider, &deployment.model, self.status, &self.fault);
        Err(ApiError {
            retry_after_s: self.retry_after_s,
            ..problem
        })
    }

    /// A vendor may take Anthropic's dialect and tell errors in its own.
    fn is_in_the_clients_shape(&self) -> bool {
        self.client == self.upstream && dialect::is_error_body(self.client, &self.body)
    }

    fn passed_on(self, mut head: Reply, id: RequestId) -> Reply {
        head.body = Body::Whole(if self.is_in_the_clients_shape() {
            self.body
        } else {
            let word = match self.status {
                413 => ErrorCode::RequestTooLarge,
                429 => ErrorCode::RateLimitExceeded,
                _ => ErrorCode::InvalidRequest,
            };
            dialect::error_body(
                self.client,
                &ApiError::new(word, self.fault.message),
                &id.to_string(),
            )
            .into()
        });
        head.headers.retain(|(name, _)| name != "content-type");
        head.headers
            .push(("content-type".into(), "application/json".into()));
        if let Some(seconds) = self.retry_after_s
            && !head.headers.iter().any(|(name, _)| name == "retry-after")
        {
            head.headers
                .push(("retry-after".into(), seconds.to_string()));
        }
        head
    }
}

/// Not what a proxy, or a vendor's own model behind it, did to the vendor.
fn is_the_clients(status: u16) -> bool {
    matches!(status, 400 | 405..=499) && !matches!(status, 407 | 408 | 424)
}

/// What an upstream's trouble is called towards the client.
fn ours(provider: &str, model: &str, status: u16, fault: &UpstreamError) -> ApiError {
    match status {
        401..=403 => ApiError::new(
            ErrorCode::UpstreamError,
            format!(
                "provider {provider} refused the gateway's own credential ({status}); the administrator has to look at it"
            ),
        ),
        404 => ApiError::new(
            ErrorCode::UpstreamError,
            format!(
                "provider {provider} does not know model {model} or its address is wrong (404); the administrator has to look at it"
            ),
        ),
        503 | 529 => ApiError::new(
            ErrorCode::Overloaded,
            format!(
                "provider {provider} is overloaded ({status}): {}",
                fault.message
            ),
        ),
        408 | 504 => ApiError::new(
            ErrorCode::UpstreamTimeout,
            format!(
                "provider {provider} timed out ({status}): {}",
                fault.message
            ),
        ),
        _ => ApiError::new(
            ErrorCode::UpstreamError,
            format!("provider {provider} answered {status}: {}", fault.message),
        ),
    }
}

/// An error that came inside an answer with status 200.
pub(crate) fn in_band(provider: &str, fault: &UpstreamError) -> ApiError {
    let overloaded = fault.kind == "overloaded_error" || matches!(fault.status, Some(503 | 529));
    let word = match fault.status {
        _ if overloaded => ErrorCode::Overloaded,
        // the account is out of money, which no client mends by waiting
        Some(429) if fault.kind == "insufficient_quota" => ErrorCode::UpstreamError,
        Some(429) => ErrorCode::RateLimitExceeded,
        Some(408 | 504) => ErrorCode::UpstreamTimeout,
        _ => ErrorCode::UpstreamError,
    };
    let message = match fault {
        UpstreamError {
            unreadable: true,
            message,
            ..
        } => format!("the answer of provider {provider} cannot be read: {message}"),
        UpstreamError { message, .. } => {
            format!("provider {provider} reported an error: {message}")
        }
    };
    ApiError::new(word, message)
}
