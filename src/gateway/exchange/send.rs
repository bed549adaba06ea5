//! Sends an admitted attempt and hands the response to the relay: a stream where one was asked for and comes, else a unary body.

use std::time::Instant;

use bytes::Bytes;

use crate::dialect::{self, Dialect, Edit, Operation, ResponseMeta, ResponseStream, StreamOptions};
use crate::gateway::exchange::attempt::AdmittedAttempt;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase, Outcome};
use crate::gateway::exchange::response::UpstreamResponse;
use crate::gateway::exchange::stream::StreamRelay;
use crate::gateway::exchange::{failure, http, rejection, unary};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::request::{compat, known_members};
use crate::upstream::{Client, IncomingResponse};

/// Sends the request and relays the response.
pub(super) async fn send(
    mut attempt: AdmittedAttempt,
    client: &Client,
    headers: &[(String, String)],
    mut guard: InflightGuard,
) -> Outcome {
    let (body, stream) = match prepare_body(&mut attempt, headers) {
        Ok(prepared) => prepared,
        Err(failure) => return failure.into(),
    };
    let sent = dispatch(&mut attempt, client, headers, body, &mut guard).await;
    let incoming = match sent {
        Ok(incoming) => incoming,
        Err(failure) => return failure.into(),
    };
    attempt.hold.upstream_status = incoming.status;
    attempt.hold.tier_served = http::tier_served(&incoming);
    let (client_dialect, upstream_dialect) = (attempt.request.dialect, attempt.endpoint.dialect);
    if !(200..300).contains(&incoming.status) {
        let hold = attempt.hold;
        return rejection::settle(hold, client_dialect, upstream_dialect, incoming, guard)
            .await
            .into();
    }
    let response = UpstreamResponse {
        framing: attempt.endpoint.framing,
        streamed: attempt.request.streamed,
        hold: attempt.hold,
        context: attempt.context,
        incoming,
        stream,
        guard,
    };
    if response.is_stream() {
        Box::pin(StreamRelay::new(response).begin()).await.into()
    } else {
        unary::relay(response).await.into()
    }
}

/// Sends the request and waits for the response head; a failure is settled.
async fn dispatch(
    attempt: &mut AdmittedAttempt,
    client: &Client,
    headers: &[(String, String)],
    body: Bytes,
    guard: &mut InflightGuard,
) -> Result<IncomingResponse, AttemptFailure> {
    let now = Instant::now();
    let head_timeout = attempt.hold.facts.deadlines.head_wait(now);
    let deployment = attempt.hold.facts.deployment.clone();
    let same_dialect = attempt.endpoint.dialect == attempt.request.dialect;
    let headers =
        http::upstream_headers(headers, same_dialect && attempt.endpoint.wrapper.is_none());
    attempt.hold.sent_at = Some(now);
    let now_ms = attempt.context.time.wall_ms();
    let sent = http::send(
        client,
        &deployment,
        &attempt.url,
        &headers,
        body,
        head_timeout,
        now_ms,
    );
    let result = tokio::select! {
        biased;
        result = sent => result,
        () = guard.shutdown_deadline() => {
            return Err(failure::shut_down(&mut attempt.hold, FailurePhase::Uncertain));
        }
    };
    result.map_err(|error| {
        let (status, failed) = failure::transport(attempt.hold.provider(), &error);
        failure::settled(&mut attempt.hold, status, failed)
    })
}

/// The body that goes upstream, and the reader of the response. `headers` are the client's.
fn prepare_body(
    attempt: &mut AdmittedAttempt,
    headers: &[(String, String)],
) -> Result<(Bytes, ResponseStream), AttemptFailure> {
    let options = StreamOptions {
        framing: attempt.endpoint.framing,
        usage_rules: attempt.endpoint.usage_rules,
        event_bytes_max: attempt.context.limits.answer_bytes_max,
    };
    let facts = &attempt.hold.facts;
    let (deployment, written_cap) = (facts.deployment.clone(), facts.written_cap);
    let Some(mut translated) = attempt.translated.take() else {
        let opt_in = deployment.provider.preset.stream_usage_opt_in;
        let hide_usage = opt_in && !attempt.request.usage_asked;
        let request = &attempt.request;
        let stream = ResponseStream::passthrough(request, options, hide_usage);
        return Ok((passthrough_body(attempt, headers), stream));
    };
    let body = translated.body(&deployment, written_cap);
    let body = fit_translated(attempt, body)?;
    let meta = ResponseMeta {
        request_id: attempt.hold.grant.id.request.to_string(),
        model: deployment.model.clone(),
        created_s: attempt.context.time.now_ms() / 1_000,
        sealer: attempt.context.reasoning.sealer.clone(),
    };
    let stream = translated
        .response_stream(&attempt.request, meta, options)
        .map_err(|what| AttemptFailure::defect(&what))?;
    Ok((body, stream))
}

/// A translated body for a vendor that borrows its dialect: the compatibility rules apply as to a client's own body.
fn fit_translated(attempt: &AdmittedAttempt, body: Option<Bytes>) -> Result<Bytes, AttemptFailure> {
    let body = body.ok_or_else(|| AttemptFailure::defect("a request cannot be translated"))?;
    let Some(rules) = attempt.endpoint.compat else {
        return Ok(body);
    };
    let request = dialect::read(attempt.endpoint.dialect, Operation::Conversation, body)
        .map_err(|_| AttemptFailure::defect("a translated request cannot be read"))?;
    let mut edits = Vec::new();
    compat::edits(&request, rules, &mut edits);
    Ok(request.spliced(&edits))
}

/// The client's bytes with the edits that pass-through allows: model name, usage report, output cap, foreign reasoning, and the
/// rules of a vendor that borrows or wraps the dialect.
fn passthrough_body(attempt: &AdmittedAttempt, headers: &[(String, String)]) -> Bytes {
    let mut edits: Vec<Edit<'_>> = Vec::with_capacity(3);
    let (request, facts) = (&attempt.request, &attempt.hold.facts);
    let (deployment, preset) = (&facts.deployment, facts.deployment.provider.preset);
    if deployment.model != request.model || request.aliased {
        edits.push(Edit::text("model", &deployment.model));
    }
    if request.streamed && preset.stream_usage_opt_in {
        edits.extend(request.stream_options_with_usage());
    }
    if let Some(tokens) = facts.written_cap {
        edits.extend(request.capped(tokens, preset.output_cap_field));
    }
    if request.dialect == Dialect::Messages
        && let Some(json) =
            dialect::without_foreign_reasoning(request, deployment.capabilities().signed_reasoning)
    {
        let (member, json) = ("messages", json.into());
        edits.push(Edit::Set { member, json });
    }
    if let Some(rules) = attempt.endpoint.compat {
        compat::edits(request, rules, &mut edits);
    }
    if facts.known_members_only {
        let unknown = known_members::unknown(request, attempt.endpoint, deployment);
        edits.extend(unknown.map(|member| Edit::Remove { member }));
    }
    if let Some(wrapper) = attempt.endpoint.wrapper {
        compat::wrap(headers, wrapper, &mut edits);
    }
    request.spliced(&edits)
}
