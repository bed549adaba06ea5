//! `POST /v1/routes/{id}/drill`: the gateway's own requests through a route while its targets fail in each class.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::Control;
use crate::control::drills::DrillAccount;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::money::Money;
use crate::gateway::{DrillCall, DrillForm, DrillOutcome, DrillReach};
use crate::server::api::body::Fields;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::request_json::RequestJson;
use crate::store::Record;

/// Longest text of an error in the report.
const MESSAGE_CHARS_MAX: usize = 300;

pub(crate) async fn run(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::DrillRoutes)?;
    let (live, max_cost) = parse(&call.body)?;
    let route = call.id.replace("%2F", "/").replace("%2f", "/");
    let resolved = call.gateway.routes().resolve(&route);
    let resolved = resolved.map_err(|error| error.to_api_error(&route))?;
    let account = call.control.open_drill(&grant, &route, max_cost).await?;
    let drilled = drill(&call, &route, &account, live).await;
    // the key goes, whatever became of the drill
    call.control.close_drill(&grant, &account).await?;
    let outcomes = drilled?;
    let usage = Grant::for_actor(grant.actor(), may::ReadUsage)?;
    let mut data = Vec::with_capacity(outcomes.len());
    let mut cost = Money::ZERO;
    for outcome in outcomes {
        let attempts = attempts(&call.control, &usage, &outcome).await;
        cost = cost.plus(
            attempts
                .iter()
                .map(|record| record.settlement.ending.cost)
                .sum(),
        );
        data.push(outcome_json(&outcome, &attempts));
    }
    ApiReply::ok(&json!({
        "object": "drill",
        "route": route,
        "is_route": resolved.route.is_some(),
        "live": live,
        "team": account.team.to_string(),
        "key": account.key.to_string(),
        "cost_usd": cost.to_string(),
        "data": data,
    }))
}

/// `live`, which needs `max_cost_usd`. The body may be empty.
fn parse(body: &[u8]) -> Result<(bool, Option<Money>), ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    let mut fields = Fields::of_body(body)?;
    let live = fields.take("live", "true or false")?.unwrap_or(false);
    let max_cost = fields.take_money("max_cost_usd")?;
    if live && max_cost.is_none() {
        return Err(fields.invalid(
            "max_cost_usd",
            "is missing; real targets are called only with a bound",
        ));
    }
    fields.finish()?;
    Ok((live, max_cost))
}

/// Every class of failure, at the first target and at all, for a whole answer and for a stream; then a stream that breaks off after
/// content. Real targets are asked one after the other.
async fn drill(
    call: &ApiCall,
    route: &str,
    account: &DrillAccount,
    live: bool,
) -> Result<Vec<DrillOutcome>, ApiError> {
    let classes = FailureClass::ALL
        .iter()
        .filter(|class| **class != FailureClass::Gateway);
    let one = |class: FailureClass, reach: DrillReach, form: DrillForm| {
        let drilled = DrillCall {
            route: route.to_owned(),
            secret: account.secret.clone(),
            class,
            reach,
            form,
            live,
        };
        call.gateway.drill(&call.client, drilled)
    };
    let reaches = [DrillReach::First, DrillReach::All];
    let forms = [DrillForm::Whole, DrillForm::Stream];
    let cases = forms.into_iter().flat_map(|form| {
        let classes = classes.clone();
        classes.flat_map(move |class| reaches.map(|reach| (*class, reach, form)))
    });
    let cut = (
        FailureClass::Broken,
        DrillReach::First,
        DrillForm::CutStream,
    );
    let cases = cases.chain([cut]);
    let calls = cases.map(|(class, reach, form)| one(class, reach, form));
    let outcomes = if live {
        let mut outcomes = Vec::new();
        for call in calls {
            outcomes.push(call.await);
        }
        outcomes
    } else {
        join_all(calls).await
    };
    outcomes
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| {
            let message = format!("no random bytes from the system: {error}; try again");
            ApiError::new(ErrorCode::Internal, message)
        })
}

/// Records of a request; none if it was refused.
async fn attempts(
    control: &Control,
    grant: &Grant<may::ReadUsage>,
    outcome: &DrillOutcome,
) -> Vec<Record> {
    let Some(id) = outcome.request else {
        return Vec::new();
    };
    let detail = control.request(grant, id).await;
    detail.map_or_else(|_| Vec::new(), |detail| detail.attempts)
}

fn outcome_json(outcome: &DrillOutcome, attempts: &[Record]) -> Value {
    let cost: Money = attempts
        .iter()
        .map(|record| record.settlement.ending.cost)
        .sum();
    let header = |name: &str| outcome.headers.find(name);
    let (error, is_complete) = told(outcome);
    let message = error["message"].as_str();
    let message = message.map(|text| text.chars().take(MESSAGE_CHARS_MAX).collect::<String>());
    json!({
        "class": outcome.class.as_str(),
        "failing": outcome.reach.as_str(),
        "form": outcome.form.as_str(),
        "request": outcome.request.map(|id| id.to_string()),
        "client": {
            "status": outcome.status,
            "complete": is_complete,
            "code": error["code"],
            "message": message,
            "model": header("x-gatekeeper-model"),
            "provider": header("x-gatekeeper-provider"),
            "attempts": header("x-gatekeeper-attempts"),
            "retry_after": header("retry-after"),
            "should_retry": header("x-should-retry"),
        },
        "took_ms": outcome.took_ms,
        "cost_usd": cost.to_string(),
        "attempts": attempts.iter().map(RequestJson::of).collect::<Vec<_>>(),
    })
}

/// The error that the client is told, in the body or within the stream, and whether its answer is complete.
fn told(outcome: &DrillOutcome) -> (Value, bool) {
    if let Ok(mut body) = serde_json::from_slice::<Value>(&outcome.body) {
        let error = body["error"].take();
        let is_complete = error.is_null() && !outcome.form.is_stream();
        return (error, is_complete);
    }
    let text = String::from_utf8_lossy(&outcome.body);
    let mut events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut errors = events.clone().filter_map(|event| {
        let mut event: Value = serde_json::from_str(event).ok()?;
        Some(event["error"].take()).filter(|error| !error.is_null())
    });
    let error = errors.next().unwrap_or(Value::Null);
    let is_complete = error.is_null() && events.next_back() == Some("[DONE]");
    (error, is_complete)
}
