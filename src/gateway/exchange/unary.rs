//! Unary relay: the body is read to its end and the cost settled before the reply head is sent, because the cost is a header.

use crate::dialect::{
    DecodedResponse, DeliveredText, IncompleteResponse, ResponseStream, UpstreamError,
};
use crate::domain::event::Status;
use crate::domain::usage::ReportedUsage;
use crate::gateway::caching::recorder::AnswerForm;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase};
use crate::gateway::exchange::response::{UpstreamResponse, put_output_cap, reply_head};
use crate::gateway::exchange::{failure, http};
use crate::gateway::reply::{self, Body, Reply};

/// Reads, settles and forwards a unary response.
pub(super) async fn relay(response: &mut UpstreamResponse) -> Result<Reply, AttemptFailure> {
    let UpstreamResponse {
        hold,
        context,
        incoming,
        stream,
        streamed,
        guard,
        ..
    } = response;
    let (bytes_max, deadline) = (context.limits.answer_bytes_max, hold.call_deadline());
    let deadlines = hold.facts.deadlines;
    let (status, headers) = (incoming.status, std::mem::take(&mut incoming.headers));
    // until it is decoded, everything received counts as text of the response
    let received = |bytes| hold.delivered.text_bytes = bytes as u64;
    let body = tokio::select! {
        biased;
        body = http::read_body(incoming, bytes_max, &deadlines, deadline, received) => body,
        () = guard.end_ordered() => return Err(failure::ended(hold, guard, FailurePhase::AfterHead)),
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            let failed = failure::incomplete_body(hold.provider(), &error);
            return Err(failure::settled(hold, Status::Broken, failed));
        }
    };
    if *streamed {
        return Err(not_a_stream(hold, stream, &body));
    }
    match stream.decode_unary(&body) {
        Ok(decoded) => note_response(hold, decoded),
        Err(flaw) => return Err(incomplete(hold, flaw)),
    }
    hold.note_content();
    hold.keep_reasoning(context, stream);
    let receipt = failure::settle(hold, Status::Ok)?;
    let durable = hold.wait_until_durable(receipt.sequence).await;
    durable.map_err(failure::durability)?;
    let mut reply = reply_head(hold, status, headers);
    reply::put_cost(&mut reply.headers, receipt.cost);
    reply::put_remainder(&mut reply.headers, receipt.remainder);
    put_output_cap(&mut reply, hold);
    let body = stream.encode_unary(body, &hold.final_usage());
    hold.record_answer(&body);
    hold.keep_answer(context, AnswerForm::whole(stream.dialect()), receipt.cost);
    reply.body = Body::Whole(body);
    Ok(reply)
}

fn note_response(hold: &mut OpenHold, decoded: DecodedResponse) {
    hold.report = decoded.report;
    hold.output_is_final = true;
    hold.delivered = decoded.delivered;
}

/// A body that is no complete response: an error of the upstream, a truncated response, or something else.
fn incomplete(hold: &mut OpenHold, flaw: IncompleteResponse) -> AttemptFailure {
    if let IncompleteResponse::Fault { fault, report } = flaw {
        return reported_failure(hold, *report, &fault);
    }
    discard_unless_truncated(hold, &flaw);
    let provider = hold.provider();
    let message = format!("the answer of provider {provider} broke off or is not JSON");
    failure::settled(hold, Status::Truncated, failure::bad_response(message))
}

/// Only a truncated response contains text of a response.
fn discard_unless_truncated(hold: &mut OpenHold, flaw: &IncompleteResponse) {
    if *flaw != IncompleteResponse::Truncated {
        hold.delivered = DeliveredText::default();
    }
}

/// A unary response that reports a failure.
fn reported_failure(
    hold: &mut OpenHold,
    report: ReportedUsage,
    error: &UpstreamError,
) -> AttemptFailure {
    let delivered = DeliveredText::default();
    note_response(hold, DecodedResponse { report, delivered });
    let failed = failure::in_band(&hold.facts.deployment.provider, error);
    failure::settled(hold, failure::status_of_error(error), failed)
}

/// The client asked for a stream and the upstream sent something else: its usage counts all the same.
fn not_a_stream(hold: &mut OpenHold, stream: &mut ResponseStream, body: &[u8]) -> AttemptFailure {
    match stream.decode_unary(body) {
        Ok(decoded) => note_response(hold, decoded),
        Err(IncompleteResponse::Fault { fault, report }) => {
            return reported_failure(hold, *report, &fault);
        }
        Err(flaw) => discard_unless_truncated(hold, &flaw),
    }
    let provider = hold.provider();
    let message =
        format!("provider {provider} answered a request for a stream with something else");
    failure::settled(hold, Status::Broken, failure::bad_response(message))
}
