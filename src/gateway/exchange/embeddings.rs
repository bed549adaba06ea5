//! Embeddings of a vendor with a format of its own: the batches are sent a few at a time, and their vectors returned in the order of
//! the texts as one response. The usage of every answered batch is booked, also where another one fails.

use std::time::Instant;

use futures_util::future::join_all;

use crate::dialect::{EmbeddedBatch, IncompleteResponse};
use crate::domain::event::Status;
use crate::domain::header_list::{HeaderList, KnownHeader};
use crate::domain::usage::{ReportedUsage, Usage};
use crate::gateway::exchange::attempt::AdmittedAttempt;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase};
use crate::gateway::exchange::response::reply_head;
use crate::gateway::exchange::{failure, http, rejection};
use crate::gateway::inflight::InflightGuard;
use crate::gateway::reply::{self, Body, Reply};
use crate::gateway::request::embeddings::{NativeEmbeddings, TextBatch};
use crate::upstream::{Client, IncomingResponse, TransportError};

/// Batches at once; all that were sent are awaited.
const AT_ONCE: usize = 8;
/// Header in which Bedrock counts the tokens of a model whose answers do not.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// Answer to a batch that is none.
enum BatchFailure {
    Unsent(TransportError),
    Rejected(Box<IncomingResponse>),
    Cut(TransportError),
    Unreadable(IncompleteResponse),
    /// so many vectors for so many texts
    Miscounted(usize, usize),
}

/// Sends all batches and replies with their vectors.
pub(super) async fn relay(
    mut attempt: AdmittedAttempt,
    embeddings: NativeEmbeddings,
    client: &Client,
    headers: &[KnownHeader],
    guard: InflightGuard,
) -> Result<Reply, AttemptFailure> {
    attempt.hold.mark_sent(Instant::now());
    attempt.hold.output_is_final = true;
    let headers = http::upstream_headers(headers, false);
    let mut answers = Vec::with_capacity(embeddings.batches.len());
    for round in embeddings.batches.chunks(AT_ONCE) {
        let sends = round
            .iter()
            .map(|batch| send(&attempt, &embeddings, batch, client, &headers));
        let answered = tokio::select! {
            biased;
            answered = join_all(sends) => answered,
            () = guard.end_ordered() => {
                return Err(failure::ended(&mut attempt.hold, &guard, FailurePhase::Uncertain));
            }
        };
        let (batches, failures): (Vec<_>, Vec<_>) = answered.into_iter().partition(Result::is_ok);
        answers.extend(batches.into_iter().flatten());
        // a rejection costs nothing; what else failed may be billed
        let rejected =
            |failed: &Result<_, BatchFailure>| matches!(failed, Err(BatchFailure::Rejected(_)));
        note_usage(&mut attempt.hold, &answers, failures.iter().all(rejected));
        if let Some(failed) = failures.into_iter().find_map(Result::err) {
            return Err(settle_failure(attempt, failed, guard).await);
        }
    }
    reply_with(attempt, &embeddings, &answers, guard).await
}

async fn send(
    attempt: &AdmittedAttempt,
    embeddings: &NativeEmbeddings,
    batch: &TextBatch,
    client: &Client,
    headers: &[KnownHeader],
) -> Result<EmbeddedBatch, BatchFailure> {
    let facts = &attempt.hold.facts;
    let (context, deadlines) = (&attempt.context, &facts.deadlines);
    let deadline = attempt.hold.call_deadline();
    let (url, body) = (&attempt.url, batch.body.clone());
    let timeouts = deadlines.sending(Instant::now());
    let now_ms = context.time.wall_ms();
    let deployment = &facts.deployment;
    let sent = http::send(client, deployment, url, headers, body, timeouts, now_ms);
    let mut incoming = sent.await.map_err(BatchFailure::Unsent)?;
    if !(200..300).contains(&incoming.status) {
        return Err(BatchFailure::Rejected(Box::new(incoming)));
    }
    let counted = incoming.headers.find(INPUT_TOKENS);
    let counted = counted.and_then(|count| count.parse().ok());
    let bytes_max = context.limits.answer_bytes_max;
    let body = http::read_body(&mut incoming, bytes_max, deadlines, deadline, |_| {});
    let body = body.await.map_err(BatchFailure::Cut)?;
    let answer = embeddings.request.decode_batch(&body);
    let mut answer = answer.map_err(BatchFailure::Unreadable)?;
    answer.input_tokens = answer.input_tokens.or(counted);
    match answer.vector_count() {
        count if count == batch.texts => Ok(answer),
        count => Err(BatchFailure::Miscounted(count, batch.texts)),
    }
}

/// Reported input of all answers; incomplete if one of them reports none, or unless they are all that was billed.
fn note_usage(hold: &mut OpenHold, answers: &[EmbeddedBatch], are_all: bool) {
    let tokens = answers.iter().filter_map(|answer| answer.input_tokens);
    let usage = Usage {
        uncached_in: tokens.fold(0, u64::saturating_add),
        ..Usage::default()
    };
    let is_counted = are_all && answers.iter().all(|answer| answer.input_tokens.is_some());
    hold.report = ReportedUsage::of(usage, is_counted, true);
    hold.upstream_status = 200;
}

async fn reply_with(
    mut attempt: AdmittedAttempt,
    embeddings: &NativeEmbeddings,
    answers: &[EmbeddedBatch],
    guard: InflightGuard,
) -> Result<Reply, AttemptFailure> {
    let hold = &mut attempt.hold;
    let input_tokens = hold.final_usage().in_total();
    let Some(body) = embeddings.request.encode_response(answers, input_tokens) else {
        let failed = unreadable(hold);
        return Err(failure::settled(hold, Status::Broken, failed));
    };
    hold.note_content();
    let receipt = failure::settle(hold, Status::Ok)?;
    let durable = hold.wait_until_durable(receipt.sequence).await;
    durable.map_err(failure::durability)?;
    let mut headers = HeaderList::default();
    headers.push("content-type", "application/json");
    let mut reply = reply_head(hold, 200, headers);
    reply::put_cost(&mut reply.headers, receipt.cost);
    reply::put_remainder(&mut reply.headers, receipt.remainder);
    reply.body = Body::Whole(body.into());
    drop(guard);
    Ok(reply)
}

fn unreadable(hold: &OpenHold) -> AttemptFailure {
    let provider = hold.provider();
    let message = format!("the answer of provider {provider} broke off or is not JSON");
    failure::bad_response(message)
}

/// Settles the call with the usage of the batches that were answered.
async fn settle_failure(
    mut attempt: AdmittedAttempt,
    failed: BatchFailure,
    guard: InflightGuard,
) -> AttemptFailure {
    let (client, upstream) = (attempt.request.dialect, attempt.endpoint.dialect);
    let hold = &mut attempt.hold;
    let (status, failed) = match failed {
        BatchFailure::Rejected(incoming) => {
            hold.upstream_status = incoming.status;
            return rejection::settle(attempt.hold, client, upstream, *incoming, guard).await;
        }
        BatchFailure::Unsent(error) => failure::transport(hold.provider(), &error),
        BatchFailure::Cut(error) => {
            let failed = failure::incomplete_body(hold.provider(), &error);
            (Status::Broken, failed)
        }
        BatchFailure::Unreadable(IncompleteResponse::Fault { fault, .. }) => {
            let failed = failure::in_band(&hold.facts.deployment.provider, &fault);
            (failure::status_of_error(&fault), failed)
        }
        BatchFailure::Unreadable(_) => (Status::Broken, unreadable(hold)),
        BatchFailure::Miscounted(vectors, texts) => {
            let provider = hold.provider();
            let message = format!("provider {provider} sent {vectors} vectors for {texts} texts");
            (Status::Broken, failure::bad_response(message))
        }
    };
    failure::settled(hold, status, failed)
}
