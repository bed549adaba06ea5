//! Exchange with the upstream: one admitted attempt is sent, its response relayed, its cost settled. Returns the attempt's
//! typed [`Outcome`](outcome::Outcome); renders no error and logs no refusal.

mod attempt;
pub(super) mod context;
mod disconnect_flag;
mod drain;
mod drain_slots;
pub(super) mod early_reply;
mod embeddings;
mod facts;
mod failure;
mod failure_log;
mod hold;
mod http;
pub(super) mod outcome;
pub(in crate::gateway) mod provider_test;
mod read_step;
mod rejection;
mod response;
mod secrets;
mod send;
pub(super) mod settler;
pub(super) mod shared_progress;
mod sink;
mod stream;
mod stream_failure;
mod unary;
pub(super) mod unmetered;

use std::sync::Arc;

use crate::domain::header_list::KnownHeader;
pub(super) use crate::gateway::exchange::attempt::AdmittedAttempt;
use crate::gateway::exchange::outcome::Outcome;
use crate::gateway::inflight::InflightGuard;
use crate::provider::OnDisconnect;
use crate::upstream::Client;

/// Runs one admitted attempt. The listener drops this future when the client disconnects before the response head: the call is
/// aborted, or drained where the provider is configured so.
pub(super) async fn run(
    attempt: AdmittedAttempt,
    client: &Client,
    headers: &Arc<[KnownHeader]>,
    guard: InflightGuard,
) -> Outcome {
    match attempt.hold.facts.deployment.provider.on_disconnect {
        OnDisconnect::Abort => send::send(attempt, client, headers, guard).await,
        OnDisconnect::Drain => Box::pin(drain::send(attempt, client, headers.clone(), guard)).await,
    }
}
