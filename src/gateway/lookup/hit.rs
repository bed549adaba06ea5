//! A hit: the kept answer is written in the client's dialect, booked at no cost and counted by the request limits, then sent.

use std::sync::Arc;

use crate::cache::FoundAnswer;
use crate::dialect::{self, ResponseMeta};
use crate::domain::api_error::ApiError;
use crate::domain::attribution::Attribution;
use crate::domain::cache::{CacheNote, CacheOutcome};
use crate::domain::event::{CallResult, Hold, HoldId, Progress, Status, Subject};
use crate::domain::header_list::HeaderList;
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::gateway::admission::refusal;
use crate::gateway::attempts::{AttemptRunner, RoutedRequest};
use crate::gateway::rate_limit_headers;
use crate::gateway::reply::{self, Body, Reply};
use crate::meter::{Claim, HoldDenial, HoldError, HoldGrant, Tokens};

/// Books and sends a kept answer; `None` if the caller has changed meanwhile, who is then answered upstream.
pub(super) async fn serve(
    runner: &AttemptRunner,
    routed: &RoutedRequest,
    found: FoundAnswer,
    outcome: CacheOutcome,
) -> Result<Option<Reply>, ApiError> {
    let note = CacheNote {
        entry: Some(found.id),
        age_ms: found.age_ms,
        similarity: found.similarity,
        saved: found.answer.cost,
        ..CacheNote::of(outcome)
    };
    let Some(body) = replayed(runner, routed, &found) else {
        return Ok(None);
    };
    let grant = match book(runner, routed, &found, &note) {
        Ok(grant) => grant,
        Err(HoldError::Denied(HoldDenial::RateLimited(hit))) => {
            let owner = routed.caller.describe_owner(hit.limit.owner);
            return Err(rate_limit_headers::refused(&hit, &owner));
        }
        Err(HoldError::NotLogged(error)) => return Err(refusal::ledger_unavailable(&error)),
        Err(HoldError::Denied(_)) => return Ok(None),
    };
    runner.settler.wait_until_durable(grant.sequence).await?;
    runner.settler.metrics.ended(Status::Ok);
    runner.settler.metrics.looked_up(&note);
    let mut reply = head(routed, &found, &grant);
    reply.body = Body::Whole(body);
    Ok(Some(reply.with_cache(&note)))
}

fn replayed(
    runner: &AttemptRunner,
    routed: &RoutedRequest,
    found: &FoundAnswer,
) -> Option<bytes::Bytes> {
    let answer = &found.answer;
    let meta = ResponseMeta {
        request_id: routed.id.to_string(),
        model: answer.model.clone(),
        created_s: runner.exchange.time.now_ms() / 1_000,
        input_estimate: answer.usage.in_total(),
        sealer: runner.exchange.reasoning.sealer.clone(),
    };
    let comment = dialect::cost_comment(&Money::ZERO.to_string());
    dialect::replay(
        &routed.request,
        meta,
        &answer.response,
        &answer.usage,
        &comment,
    )
}

fn book(
    runner: &AttemptRunner,
    routed: &RoutedRequest,
    found: &FoundAnswer,
    note: &CacheNote,
) -> Result<HoldGrant, HoldError> {
    let (key, request) = (&routed.caller.key, &routed.request);
    let user = request.user.as_deref();
    let subject = Subject {
        organization: key.organization,
        team: key.team,
        key: key.id,
        model_asked: request.model.as_str().into(),
        provider: found.answer.provider.as_str().into(),
        model: found.answer.model.as_str().into(),
        dialect: request.operation.record_name(request.dialect).into(),
        streamed: request.streamed,
        attribution: Attribution {
            user: user.map(|user| runner.admission.pseudonyms.user(user)),
            tag: routed.tag.clone(),
        },
        second_models: Vec::new(),
    };
    let claim = Claim {
        hold: Hold {
            id: HoldId::first(routed.id),
            at_ms: 0,
            subject: Arc::new(subject),
            ceiling: Money::ZERO,
            charges: Vec::new(),
            progress: Progress::default(),
        },
        budgets: &routed.caller.budgets,
        limits: &routed.caller.limits,
        tokens: Tokens::default(),
    };
    runner.settler.ledger.book_free(claim, |at_ms| CallResult {
        ended_ms: at_ms,
        status: Status::Ok,
        flags: routed.marks,
        usage: Usage::default(),
        cost: Money::ZERO,
        lines: Vec::new(),
        output_cap: None,
        upstream_status: 0,
        first_content_ms: None,
        note: None,
        cache: Some(Box::new(note.clone())),
    })
}

fn head(routed: &RoutedRequest, found: &FoundAnswer, grant: &HoldGrant) -> Reply {
    let content_type = match routed.request.streamed {
        true => "text/event-stream",
        false => "application/json",
    };
    let mut headers = HeaderList::default();
    headers.push("content-type", content_type);
    if routed.request.streamed {
        headers.push("cache-control", "no-cache");
    }
    if let Some(allowance) = &grant.allowance {
        rate_limit_headers::put_headers(&mut headers, allowance);
    }
    reply::put_kept(
        &mut headers,
        routed.id,
        &found.answer.provider,
        &found.answer.model,
    );
    reply::put_remainder(&mut headers, grant.remainder);
    Reply {
        status: 200,
        headers,
        body: Body::Whole(bytes::Bytes::new()),
    }
}
