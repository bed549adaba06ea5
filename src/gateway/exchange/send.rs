//! An attempt whose worst case is held: it is sent, and what comes back is handed to the relay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialect::{self, Dialect, Edit, Operation, Request, ResponseMeta, ResponseStream};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::gateway::admission::output_cap::CapDecision;
use crate::gateway::exchange::drain::DisconnectFlag;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::{http, rejection, stream};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::Reply;
use crate::gateway::request::compat;
use crate::gateway::request::translate::TranslatedRequest;
use crate::gateway::{Gateway, defect, rate_limit_headers, reply};
use crate::provider::{Endpoint, OnDisconnect};
use crate::store::AppendError;
use crate::upstream::{Client, TransportError};

/// How long a hold may wait for the disk with `ledger.sync = "disk"`.
const DISK_WAIT: Duration = Duration::from_secs(10);

/// An attempt whose worst case is held.
pub(crate) struct AdmittedAttempt {
    pub request: Request,
    pub open: OpenHold,
    pub cap: CapDecision,
    pub endpoint: &'static Endpoint,
    pub url: String,
    pub crossing: Option<Box<TranslatedRequest>>,
}

impl AdmittedAttempt {
    /// Headers that say who is asked, and what the rate limits have left: for an attempt that ends without an answer.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(allowance) = &self.open.held.allowance {
            rate_limit_headers::put_headers(&mut headers, allowance);
        }
        reply::put_attempt(&mut headers, self.open.held.id, &self.open.deployment);
        reply::put_remainder(&mut headers, self.open.held.remainder);
        headers
    }

    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        self.open.gateway.clone()
    }

    pub(crate) fn on_disconnect(&self) -> OnDisconnect {
        self.open.deployment.provider.on_disconnect
    }

    pub(crate) fn presence(&self) -> DisconnectFlag {
        self.open.presence.clone()
    }

    /// Sends the request and relays the answer.
    pub(crate) async fn call(
        mut self,
        client: &Client,
        headers: &[(String, String)],
        mut running: InflightGuard,
    ) -> Result<Reply, ApiError> {
        let limits = &self.open.gateway.limits;
        let head_timeout =
            Duration::from_millis(limits.head_timeout_ms.min(limits.call_timeout_ms));
        let deployment = self.open.deployment.clone();
        let (body, passage) = self.prepare_body(headers)?;
        let alike =
            self.endpoint.dialect == self.request.dialect && self.endpoint.wrapper.is_none();
        let headers = http::meant(headers, alike);
        self.open.sent_at = Some(Instant::now());
        let now_ms = self.open.gateway.time.wall_ms();
        let answered = http::send(
            client,
            &deployment,
            &self.url,
            &headers,
            body,
            head_timeout,
            now_ms,
        );
        let answered = tokio::select! {
            biased;
            answered = answered => answered,
            () = running.shutdown_deadline() => return Err(stream::stopped(&mut self.open)),
        };
        let incoming = match answered {
            Ok(incoming) => incoming,
            Err(failed) => return Err(self.not_answered(&failed)),
        };
        self.open.upstream_status = incoming.status;
        self.open.tier_served = http::tier_served(&incoming);
        if !(200..300).contains(&incoming.status) {
            return rejection::refused(
                self.open,
                self.request.dialect,
                self.endpoint.dialect,
                incoming,
                running,
            )
            .await;
        }
        let (framing, streamed) = (self.endpoint.framing, self.request.streamed);
        stream::relay(stream::UpstreamResponse {
            open: self.open,
            incoming,
            passage,
            framing,
            streamed,
            cap: self.cap,
            running,
        })
        .await
    }

    /// What goes upstream, and how the answer comes back. `headers` are the client's.
    fn prepare_body(
        &mut self,
        headers: &[(String, String)],
    ) -> Result<(Bytes, ResponseStream), ApiError> {
        let event_bytes_max = self.open.gateway.limits.answer_bytes_max;
        let Some(mut crossing) = self.crossing.take() else {
            let hide_usage = self.open.deployment.provider.preset.stream_usage_opt_in
                && !self.request.usage_asked;
            let passage = ResponseStream::passthrough(
                &self.request,
                self.endpoint.framing,
                hide_usage,
                event_bytes_max,
            );
            return Ok((self.body(headers), passage));
        };
        let body = crossing
            .body(&self.open.deployment, self.cap.write)
            .ok_or_else(|| defect("a request cannot be translated"))?;
        let body = self.compat(body)?;
        let head = ResponseMeta {
            request_id: self.open.held.id.request.to_string(),
            model: self.open.deployment.model.clone(),
            created_s: self.open.gateway.time.now_ms() / 1_000,
            envelope: self.open.gateway.envelope.clone(),
        };
        let framing = self.endpoint.framing;
        let passage = crossing.response_stream(&self.request, head, framing, event_bytes_max)?;
        Ok((body, passage))
    }

    /// A translated body at a vendor that borrows its dialect: fitted by the same table as a client's own would be.
    fn compat(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let Some(compat) = self.endpoint.compat else {
            return Ok(body);
        };
        let request = dialect::read(self.endpoint.dialect, Operation::Conversation, body)
            .map_err(|_| defect("a translated request cannot be read"))?;
        let mut edits = Vec::new();
        compat::edits(&request, compat, &mut edits);
        Ok(request.spliced(&edits))
    }

    /// The client's bytes with the edits that are allowed: the model's name, the usage report, the output cap, thoughts
    /// that another vendor's model had in an earlier turn, and at a vendor that borrows the dialect, or covers it, what its table
    /// says.
    fn body(&self, headers: &[(String, String)]) -> Bytes {
        let mut edits: Vec<Edit<'_>> = Vec::with_capacity(3);
        let deployment = &self.open.deployment;
        if deployment.model != self.request.model || self.request.aliased {
            edits.push(Edit::text("model", &deployment.model));
        }
        if self.request.streamed && deployment.provider.preset.stream_usage_opt_in {
            edits.extend(self.request.stream_options_with_usage());
        }
        if let Some(tokens) = self.cap.write {
            edits.extend(
                self.request
                    .capped(tokens, deployment.provider.preset.output_cap_member),
            );
        }
        if self.request.dialect == Dialect::Messages
            && let Some(json) = dialect::without_foreign_reasoning(
                &self.request,
                deployment.capabilities().signed_reasoning,
            )
        {
            edits.push(Edit::Set {
                member: "messages",
                json: json.into(),
            });
        }
        if let Some(compat) = self.endpoint.compat {
            compat::edits(&self.request, compat, &mut edits);
        }
        if let Some(wrapper) = self.endpoint.wrapper {
            compat::wrapper(headers, wrapper, &mut edits);
        }
        self.request.spliced(&edits)
    }

    fn not_answered(&mut self, failed: &TransportError) -> ApiError {
        let (status, problem) = http::not_answered(&self.open.deployment.provider.name, failed);
        match self.open.settle(status) {
            Ok(_) => problem,
            Err(not_logged) => ledger_unavailable(&not_logged),
        }
    }
}

/// Waits until a record is as safe as `ledger.sync` promises.
pub(crate) async fn on_disk(open: &OpenHold, sequence: u64) -> Result<(), ApiError> {
    let wait = tokio::time::timeout(
        DISK_WAIT,
        open.gateway.ledger.wal().wait_committed(sequence),
    );
    wait.await.map_err(|_| {
        let message = format!(
            "the disk under the ledger has not answered for {} s; try again in a moment",
            DISK_WAIT.as_secs()
        );
        ApiError::new(ErrorCode::LedgerUnavailable, message).with_retry_after(5)
    })
}

pub(crate) fn ledger_unavailable(not_logged: &AppendError) -> ApiError {
    let word = if *not_logged == AppendError::Closing {
        ErrorCode::ShuttingDown
    } else {
        ErrorCode::LedgerUnavailable
    };
    ApiError::new(
        word,
        format!("the books cannot take this request: {not_logged}"),
    )
    .with_retry_after(5)
}
