//! A call that no vendor bills: it is passed to the vendor and its answer back. It holds nothing, is no record, and counts against
//! no budget; who may make it, and of which model, was decided before.

use std::time::{Duration, Instant};

use crate::dialect::Edit;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::gateway::admission::Admission;
use crate::gateway::exchange::rejection::UpstreamRejection;
use crate::gateway::exchange::{http, stream};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{Body, Reply};
use crate::upstream::Client;

pub(crate) async fn call(
    attempt: Admission<'_>,
    client: &Client,
    headers: &[(String, String)],
    mut running: InflightGuard,
) -> Result<Reply, ApiError> {
    tokio::select! {
        biased;
        answered = passed_on(&attempt, client, headers) => answered,
        () = running.shutdown_deadline() => Err(stream::shutting_down()),
    }
}

async fn passed_on(
    attempt: &Admission<'_>,
    client: &Client,
    headers: &[(String, String)],
) -> Result<Reply, ApiError> {
    let limits = &attempt.gateway.limits;
    let deployment = &attempt.deployment;
    let provider = &deployment.provider.name;
    let is_other = deployment.model != attempt.request.model || attempt.request.aliased;
    let model = is_other.then(|| Edit::text("model", &deployment.model));
    let body = attempt.request.spliced(model.as_slice());
    let head_timeout = Duration::from_millis(limits.head_timeout_ms);
    let now_ms = attempt.gateway.time.wall_ms();
    let deadline = Instant::now() + Duration::from_millis(limits.call_timeout_ms);
    let sent = http::send(
        client,
        deployment,
        &attempt.url,
        headers,
        body,
        head_timeout,
        now_ms,
    );
    let incoming = sent
        .await
        .map_err(|failed| http::not_answered(provider, &failed).1)?;
    let mut reply = Reply::answered(
        incoming.status,
        incoming.headers.clone(),
        attempt.id,
        deployment,
    );
    if !(200..300).contains(&incoming.status) {
        return UpstreamRejection::read(attempt.request.dialect, attempt.request.dialect, incoming)
            .await
            .answer(reply, deployment, attempt.id.request);
    }
    let body = http::whole(incoming, limits, deadline, |_| {})
        .await
        .map_err(|failed| http::incomplete_body(provider, &failed))?;
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(ApiError::new(
            ErrorCode::UpstreamError,
            format!("the answer of provider {provider} broke off or is not JSON"),
        ));
    }
    reply.body = Body::Whole(body);
    Ok(reply)
}
