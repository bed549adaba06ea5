//! A whole answer: read to its end before anything of it is passed on.

use crate::dialect::{
    DecodedResponse, DeliveredText, IncompleteResponse, ResponseStream, UpstreamError,
};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Status;
use crate::domain::usage::ReportedUsage;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::send::on_disk;
use crate::gateway::exchange::stream::{
    UpstreamResponse, ending, head, output_cap, settle, stopped,
};
use crate::gateway::exchange::{http, rejection};
use crate::gateway::reply::{self, Body, Reply};
use crate::upstream::TransportError;

/// A whole answer: read to its end before the head is sent, because the cost is a header.
pub(crate) async fn unary(answered: UpstreamResponse) -> Result<Reply, ApiError> {
    let UpstreamResponse {
        mut open,
        incoming,
        mut passage,
        streamed,
        cap,
        mut running,
        ..
    } = answered;
    let (limits, deadline) = (open.gateway.limits, open.call_deadline());
    let (status, headers) = (incoming.status, incoming.headers.clone());
    // as long as it is not read, what has come counts as text of the answer
    let came = |bytes| open.delivered.text_bytes = bytes as u64;
    let whole = tokio::select! {
        biased;
        whole = http::whole(incoming, &limits, deadline, came) => whole,
        () = running.shutdown_deadline() => return Err(stopped(&mut open)),
    };
    let body = match whole {
        Ok(body) => body,
        Err(failed) => return Err(broken(open, &failed)),
    };
    if streamed {
        return Err(not_a_stream(open, passage, &body));
    }
    let read = match passage.decode_unary(&body) {
        Ok(read) => read,
        Err(IncompleteResponse::Fault { fault, report }) => {
            return Err(faulty(open, *report, &fault));
        }
        Err(flaw) => {
            forget_unless_cut(&mut open, &flaw);
            let name = open.deployment.provider.name.clone();
            settle(&mut open, Status::Truncated)?;
            let message = format!("the answer of provider {name} broke off or is not JSON");
            return Err(ApiError::new(ErrorCode::UpstreamError, message));
        }
    };
    note_answer(&mut open, read);
    open.first_content_ms = Some(open.admitted.elapsed().as_millis() as u64);
    open.remember(&passage);
    let receipt = settle(&mut open, Status::Ok)?;
    on_disk(&open, receipt.sequence).await?;
    let mut reply = head(&open, status, &headers);
    reply
        .headers
        .push(("x-gatekeeper-cost-usd".into(), receipt.cost.to_string()));
    reply::put_remainder(&mut reply.headers, receipt.remainder);
    output_cap(&mut reply, &cap);
    reply.body = Body::Whole(passage.encode_unary(body, &open.used()));
    drop(running);
    Ok(reply)
}

/// What came is a part of an answer, or none at all.
fn forget_unless_cut(open: &mut OpenHold, flaw: &IncompleteResponse) {
    if *flaw != IncompleteResponse::Truncated {
        open.delivered = DeliveredText::default();
    }
}

fn note_answer(open: &mut OpenHold, read: DecodedResponse) {
    open.report = read.report;
    open.output_is_final = true;
    open.delivered = read.delivered;
}

/// A good head whose body failed before anything of it was passed on.
fn broken(mut open: OpenHold, failed: &TransportError) -> ApiError {
    let problem = http::incomplete_body(&open.deployment.provider.name, failed);
    settle(&mut open, Status::Broken).err().unwrap_or(problem)
}

/// A whole answer that says it failed.
fn faulty(mut open: OpenHold, report: ReportedUsage, fault: &UpstreamError) -> ApiError {
    note_answer(
        &mut open,
        DecodedResponse {
            report,
            delivered: DeliveredText::default(),
        },
    );
    let problem = rejection::in_band(&open.deployment.provider.name, fault);
    settle(&mut open, ending(fault)).err().unwrap_or(problem)
}

/// The client asked for a stream and the upstream sent something else: its usage counts all the same.
fn not_a_stream(mut open: OpenHold, mut passage: ResponseStream, body: &[u8]) -> ApiError {
    match passage.decode_unary(body) {
        Ok(read) => {
            note_answer(&mut open, read);
        }
        Err(IncompleteResponse::Fault { fault, report }) => return faulty(open, *report, &fault),
        Err(flaw) => forget_unless_cut(&mut open, &flaw),
    }
    let problem = ApiError::new(
        ErrorCode::UpstreamError,
        format!(
            "provider {} answered a request for a stream with something else",
            open.deployment.provider.name
        ),
    );
    settle(&mut open, Status::Broken).err().unwrap_or(problem)
}
