//! Client disconnects before the response head: the attempt runs in a task of its own, and the upstream is read to its end for
//! the usage reported there. Nothing that is read then reaches a client.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::header_list::KnownHeader;
use crate::gateway::exchange::attempt::AdmittedAttempt;
use crate::gateway::exchange::outcome::{AttemptFailure, Outcome};
use crate::gateway::exchange::send;
use crate::gateway::inflight::InflightGuard;
use crate::upstream::Client;

/// Sends an attempt that outlives its client.
pub(super) async fn send(
    attempt: AdmittedAttempt,
    client: &Client,
    headers: Arc<[KnownHeader]>,
    guard: InflightGuard,
) -> Outcome {
    let client = client.clone();
    let (context, disconnect) = (attempt.context.clone(), attempt.hold.disconnect.clone());
    let (mut waiting, outcome) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let mut call = pin!(send::send(attempt, &client, &headers, guard));
        tokio::select! {
            biased;
            // an outcome without a receiver is dropped, and a stream in it learns that way that its client is gone
            outcome = &mut call => return drop(waiting.send(outcome)),
            () = waiting.closed() => disconnect.set(),
        }
        context.drain_slots.run(call).await;
    });
    outcome
        .await
        .unwrap_or_else(|_| AttemptFailure::defect("the task of a call ended early").into())
}
