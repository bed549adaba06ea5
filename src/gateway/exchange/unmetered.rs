//! Unmetered calls, such as counting tokens: no vendor bills them, so they hold nothing, leave no record and count against no
//! budget. Access was checked before.

use std::time::Instant;

use crate::dialect::Edit;
use crate::domain::header_list::KnownHeader;
use crate::gateway::admission::plan::Admission;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase, Outcome};
use crate::gateway::exchange::rejection::UpstreamRejection;
use crate::gateway::exchange::{failure, http};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{Body, Reply};
use crate::upstream::Client;

/// Forwards the request to the vendor and the response to the client.
pub(in crate::gateway) async fn call(
    admission: Box<Admission>,
    context: &ExchangeContext,
    client: &Client,
    headers: &[KnownHeader],
    guard: InflightGuard,
) -> Outcome {
    tokio::select! {
        biased;
        result = forward(&admission, context, client, headers) => result.into(),
        () = guard.end_ordered() => failure::ordered(&guard, FailurePhase::Uncertain).into(),
    }
}

async fn forward(
    admission: &Admission,
    context: &ExchangeContext,
    client: &Client,
    headers: &[KnownHeader],
) -> Result<Reply, AttemptFailure> {
    let (limits, deployment, request) =
        (&context.limits, admission.deployment(), &admission.request);
    let provider = &deployment.provider.name;
    let is_renamed = deployment.model != request.model || request.aliased;
    let model = is_renamed.then(|| deployment.model.clone());
    let (bytes, spliced) = (request.body.len(), request.clone());
    let splice = move || {
        let model = model.as_deref().map(|model| Edit::text("model", model));
        Ok(spliced.spliced(model.as_slice()))
    };
    let body = context.work.run(bytes, splice).await;
    let body = body.map_err(|error| AttemptFailure::defect(&error.message))?;
    let (deadlines, now) = (&admission.deadlines, Instant::now());
    let timeouts = deadlines.sending(now);
    let deadline = deadlines.call_deadline(now);
    let now_ms = context.time.wall_ms();
    let url = &admission.url;
    let sent = http::send(client, deployment, url, headers, body, timeouts, now_ms);
    let mut incoming = sent
        .await
        .map_err(|error| failure::transport(provider, &error).1)?;
    let (status, head) = (incoming.status, incoming.headers.clone());
    let mut reply = Reply::answered(status, head, admission.id, deployment);
    if !(200..300).contains(&status) {
        let dialect = request.dialect;
        let rejection = UpstreamRejection::read(dialect, dialect, deployment, incoming).await;
        let failure = rejection.failure(deployment);
        return Err(rejection.with_reply(failure, reply, admission.id.request));
    }
    let body = http::read_body(
        &mut incoming,
        limits.answer_bytes_max,
        deadlines,
        deadline,
        |_| {},
    )
    .await
    .map_err(|error| failure::incomplete_body(provider, &error))?;
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        let message = format!("the answer of provider {provider} broke off or is not JSON");
        return Err(failure::bad_response(message));
    }
    reply.body = Body::Whole(body);
    Ok(reply)
}
