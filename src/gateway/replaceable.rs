//! Streams that one attempt may take over from another after the client has got the head: the attempts run in a future of their own,
//! which outlives the handler once the head is sent.

use std::sync::Arc;
use std::time::Duration;

use crate::dialect::{self, ResponseStream, StreamOptions, UsageRules};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::gateway::attempts::{AttemptRunner, NoReply, RoutedRequest};
use crate::gateway::exchange::early_reply::EarlyReply;
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{Body, Reply};
use crate::upstream::Client;

/// Makes the attempts of a request; returns with the reply, or as soon as a stream must have its head.
pub(super) async fn run(
    runner: &Arc<AttemptRunner>,
    routed: &RoutedRequest,
    client: &Client,
    guard: InflightGuard,
) -> Result<Reply, Box<NoReply>> {
    if !routed.request.streamed || !routed.progress.has_attempts() {
        return complete(runner.run(routed, client, guard).await);
    }
    let (early, mut head) = EarlyReply::new();
    let routed = Arc::new(routed.with_early(early.clone()));
    let attempts = {
        let (runner, routed, client) = (runner.clone(), routed.clone(), client.clone());
        async move { runner.run(&routed, &client, guard).await }
    };
    let mut attempts = Box::pin(attempts);
    let reply = tokio::select! {
        biased;
        ended = &mut attempts => {
            // the head may have been sent in the last step
            let Ok(reply) = head.try_recv() else {
                return complete(ended);
            };
            end(&early, &routed, ended).await;
            return Ok(reply);
        }
        reply = &mut head => reply,
    };
    let reply = reply.map_err(|_| {
        let error = ApiError::defect("the head of a stream was lost");
        Box::new(NoReply::Refused(error))
    })?;
    let ping_ms = runner.exchange.limits.ping_ms.max(1);
    tokio::task::spawn_local(async move {
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut attempts => break ended,
                () = tokio::time::sleep(Duration::from_millis(ping_ms)) => {
                    // without a client no further attempt is made
                    if !early.ping(dialect::ping(routed.request.dialect)) {
                        return;
                    }
                }
            }
        };
        end(&early, &routed, ended).await;
    });
    Ok(reply)
}

fn complete(ended: Result<Option<Reply>, Box<NoReply>>) -> Result<Reply, Box<NoReply>> {
    ended?.ok_or_else(|| {
        let error = ApiError::defect("a response went to no client");
        Box::new(NoReply::Refused(error))
    })
}

/// Tells a client that has the head how its attempts ended, where none of them has done so.
async fn end(
    early: &EarlyReply,
    routed: &RoutedRequest,
    ended: Result<Option<Reply>, Box<NoReply>>,
) {
    let error = match ended {
        Ok(None) => return,
        Ok(Some(reply)) => error_of(&reply),
        Err(no_reply) => match *no_reply {
            NoReply::Refused(error) | NoReply::Failed(error, _) => error,
        },
    };
    let options = StreamOptions {
        framing: dialect::Framing::Sse,
        usage_rules: UsageRules::EXACT,
        event_bytes_max: 0,
    };
    let mut stream = ResponseStream::passthrough(&routed.request, options, false);
    early
        .end_with(stream.error_events(&error, &routed.id.to_string()))
        .await;
}

/// A whole reply cannot follow the head of a stream: its text becomes an error within the stream.
fn error_of(reply: &Reply) -> ApiError {
    let body = match &reply.body {
        Body::Whole(body) if reply.status >= 400 => serde_json::from_slice(body).ok(),
        _ => None,
    };
    let message = body.and_then(|body: serde_json::Value| {
        let message = body.pointer("/error/message")?.as_str()?;
        Some(message.to_owned())
    });
    let message = message.unwrap_or_else(|| "the upstream sent no stream".to_owned());
    ApiError::new(ErrorCode::UpstreamError, message)
}
