//! Sends an admitted attempt and hands the response to the relay: a stream where one was asked for and comes, else a unary body.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::dialect::{Dialect, ResponseMeta, ResponseStream, StreamOptions};
use crate::domain::api_error::ApiError;
use crate::domain::header_list::KnownHeader;
use crate::gateway::exchange::attempt::AdmittedAttempt;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase, Outcome};
use crate::gateway::exchange::response::UpstreamResponse;
use crate::gateway::exchange::stream::StreamRelay;
use crate::gateway::exchange::{embeddings, failure, http, rejection, unary};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::request::passthrough::Passthrough;
use crate::upstream::{Client, IncomingResponse};

/// Sends the request and relays the response.
pub(super) async fn send(
    mut attempt: AdmittedAttempt,
    client: &Client,
    headers: &Arc<[KnownHeader]>,
    guard: InflightGuard,
) -> Outcome {
    if let Some(batches) = attempt.embeddings.take() {
        let relayed = embeddings::relay(attempt, *batches, client, headers, guard);
        return Box::pin(relayed).await.into();
    }
    let (body, stream) = match prepare_body(&mut attempt, headers).await {
        Ok(prepared) => prepared,
        Err(failure) => return failure.into(),
    };
    let sent = dispatch(&mut attempt, client, headers, body, &guard).await;
    let incoming = match sent {
        Ok(incoming) => incoming,
        Err(failure) => return failure.into(),
    };
    attempt.hold.upstream_status = incoming.status;
    attempt.hold.tier_served = http::tier_served(&incoming);
    let (client_dialect, upstream_dialect) = (attempt.request.dialect, attempt.endpoint.dialect);
    if !(200..300).contains(&incoming.status) {
        let hold = attempt.hold;
        let settled = rejection::settle(hold, client_dialect, upstream_dialect, incoming, guard);
        return Box::pin(settled).await.into();
    }
    let mut response = UpstreamResponse {
        framing: attempt.endpoint.framing,
        streamed: attempt.request.streamed,
        hold: attempt.hold,
        context: attempt.context,
        incoming,
        stream,
        guard,
    };
    if response.is_stream() {
        Box::pin(StreamRelay::new(response).begin()).await
    } else {
        unary::relay(&mut response).await.into()
    }
}

/// Sends the request and waits for the response head; a failure is settled.
async fn dispatch(
    attempt: &mut AdmittedAttempt,
    client: &Client,
    headers: &[KnownHeader],
    body: Bytes,
    guard: &InflightGuard,
) -> Result<IncomingResponse, AttemptFailure> {
    let now = Instant::now();
    let timeouts = attempt.hold.facts.deadlines.sending(now);
    let deployment = attempt.hold.facts.deployment.clone();
    let same_dialect = attempt.endpoint.dialect == attempt.request.dialect;
    let headers =
        http::upstream_headers(headers, same_dialect && attempt.endpoint.wrapper.is_none());
    attempt.hold.mark_sent(now);
    let now_ms = attempt.context.time.wall_ms();
    let wire = (attempt.endpoint.dialect, attempt.endpoint.framing);
    let scripted = client.scripted(|| deployment.qualified(), wire);
    let sent = async {
        if let Some(scripted) = scripted {
            return scripted;
        }
        let sent = http::send(
            client,
            &deployment,
            &attempt.url,
            &headers,
            body,
            timeouts,
            now_ms,
        );
        sent.await
    };
    let result = tokio::select! {
        biased;
        result = sent => result,
        () = guard.end_ordered() => {
            return Err(failure::ended(&mut attempt.hold, guard, FailurePhase::Uncertain));
        }
    };
    result.map_err(|error| {
        let (status, failed) = failure::transport(attempt.hold.provider(), &error);
        failure::settled(&mut attempt.hold, status, failed)
    })
}

/// The body that goes upstream, and the reader of the response. `headers` are the client's. A large body is encoded beside the
/// worker's loop.
async fn prepare_body(
    attempt: &mut AdmittedAttempt,
    headers: &Arc<[KnownHeader]>,
) -> Result<(Bytes, ResponseStream), AttemptFailure> {
    let options = StreamOptions {
        framing: attempt.endpoint.framing,
        usage_rules: attempt.endpoint.usage_rules,
        event_bytes_max: attempt.context.limits.answer_bytes_max,
    };
    let facts = &attempt.hold.facts;
    let (deployment, written_cap) = (facts.deployment.clone(), facts.written_cap);
    let (work, bytes) = (&attempt.context.work, attempt.request.body.len());
    let Some(mut translated) = attempt.translated.take() else {
        let opt_in = deployment.provider.preset.stream_usage_opt_in;
        let hide_usage = opt_in && !attempt.request.usage_asked;
        let mut stream = ResponseStream::passthrough(&attempt.request, options, hide_usage);
        let is_chat = attempt.endpoint.dialect == Dialect::Chat;
        if is_chat && deployment.capabilities().returned_reasoning {
            stream = stream.retaining_reasoning(attempt.endpoint.dialect, &response_meta(attempt));
        }
        let restored = attempt.restored.clone();
        let (request, headers) = (attempt.request.clone(), headers.clone());
        let (endpoint, known_only) = (attempt.endpoint, facts.known_members_only);
        let fit = move || {
            let passthrough = Passthrough {
                request: &request,
                deployment: &deployment,
                endpoint,
                headers: &headers,
                known_only,
                restored: restored.as_deref(),
            };
            passthrough.body(written_cap)
        };
        let fitted = work.run(bytes, fit).await.map_err(unfitting)?;
        return Ok((fitted.body, stream));
    };
    let meta = response_meta(attempt);
    let encode = move || Ok((translated.body(&deployment, written_cap)?, translated));
    let (body, translated) = work.run(bytes, encode).await.map_err(unfitting)?;
    let stream = translated
        .response_stream(&attempt.request, meta, options)
        .map_err(|what| AttemptFailure::defect(&what))?;
    Ok((body, stream))
}

/// Head of the response, as far as the gateway writes it.
fn response_meta(attempt: &AdmittedAttempt) -> ResponseMeta {
    ResponseMeta {
        request_id: attempt.hold.grant.id.request.to_string(),
        model: attempt.hold.facts.deployment.model.clone(),
        created_s: attempt.context.time.now_ms() / 1_000,
        input_estimate: attempt.hold.input_estimate(),
        sealer: attempt.context.reasoning.sealer.clone(),
    }
}

/// The same request was fitted before its cost was held.
fn unfitting(error: ApiError) -> AttemptFailure {
    AttemptFailure::defect(&error.message)
}
