//! A whole answer: read to its end before anything of it is passed on.

use crate::dialect::{Delivered, NotComplete, Passage, Unary, UpstreamFault};
use crate::domain::event::Status;
use crate::domain::problem::{Problem, Word};
use crate::domain::usage::Report;
use crate::gateway::held::on_disk;
use crate::gateway::open::Open;
use crate::gateway::relay::{Answered, ending, head, output_cap, settle, stopped};
use crate::gateway::reply::{self, Body, Reply};
use crate::gateway::{outgoing, upstream_error};
use crate::upstream::Failed;

/// A whole answer: read to its end before the head is sent, because the cost is a header.
pub(super) async fn unary(answered: Answered) -> Result<Reply, Problem> {
    let Answered {
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
        whole = outgoing::whole(incoming, &limits, deadline, came) => whole,
        () = running.told_to_end() => return Err(stopped(&mut open)),
    };
    let body = match whole {
        Ok(body) => body,
        Err(failed) => return Err(broken(open, &failed)),
    };
    if streamed {
        return Err(not_a_stream(open, passage, &body));
    }
    let read = match passage.whole(&body) {
        Ok(read) => read,
        Err(NotComplete::Fault { fault, report }) => return Err(faulty(open, *report, &fault)),
        Err(flaw) => {
            forget_unless_cut(&mut open, &flaw);
            let name = open.deployment.provider.name.clone();
            settle(&mut open, Status::Truncated)?;
            let message = format!("the answer of provider {name} broke off or is not JSON");
            return Err(Problem::new(Word::UpstreamError, message));
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
    reply.body = Body::Whole(passage.written(body, &open.used()));
    drop(running);
    Ok(reply)
}

/// What came is a part of an answer, or none at all.
fn forget_unless_cut(open: &mut Open, flaw: &NotComplete) {
    if *flaw != NotComplete::CutOff {
        open.delivered = Delivered::default();
    }
}

fn note_answer(open: &mut Open, read: Unary) {
    open.report = read.report;
    open.output_is_final = true;
    open.delivered = read.delivered;
}

/// A good head whose body failed before anything of it was passed on.
fn broken(mut open: Open, failed: &Failed) -> Problem {
    let problem = outgoing::not_whole(&open.deployment.provider.name, failed);
    settle(&mut open, Status::Broken).err().unwrap_or(problem)
}

/// A whole answer that says it failed.
fn faulty(mut open: Open, report: Report, fault: &UpstreamFault) -> Problem {
    note_answer(
        &mut open,
        Unary {
            report,
            delivered: Delivered::default(),
        },
    );
    let problem = upstream_error::in_band(&open.deployment.provider.name, fault);
    settle(&mut open, ending(fault)).err().unwrap_or(problem)
}

/// The client asked for a stream and the upstream sent something else: its usage counts all the same.
fn not_a_stream(mut open: Open, mut passage: Passage, body: &[u8]) -> Problem {
    match passage.whole(body) {
        Ok(read) => {
            note_answer(&mut open, read);
        }
        Err(NotComplete::Fault { fault, report }) => return faulty(open, *report, &fault),
        Err(flaw) => forget_unless_cut(&mut open, &flaw),
    }
    let problem = Problem::new(
        Word::UpstreamError,
        format!(
            "provider {} answered a request for a stream with something else",
            open.deployment.provider.name
        ),
    );
    settle(&mut open, Status::Broken).err().unwrap_or(problem)
}
