//! `/v1/requests`: pages of the request log in JSON or CSV, and the detail of one request with all that its cost derives from.

use serde_json::{Map, Value, json};

use crate::auth::directory::Directory;
use crate::auth::role::may;
use crate::control::requests::RequestDetail;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::{Budget, Owner};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::zone::Zone;
use crate::server::api::accept::ReportFormat;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::request_json::RequestJson;
use crate::server::api::views::rfc3339;
use crate::server::api::{csv, query, request_query};
use crate::store::Record;

/// Columns of the list in CSV.
const COLUMNS: [&str; 27] = [
    "id",
    "attempt",
    "at",
    "organization",
    "team",
    "team_name",
    "key",
    "key_name",
    "model_asked",
    "provider",
    "model",
    "dialect",
    "stream",
    "user",
    "tag",
    "status",
    "code",
    "flags",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "net_cost_usd",
    "first_content_ms",
    "total_ms",
];

/// `GET /v1/requests`, with filters, and a cursor to page backwards (`before`) or to follow (`after`, `wait`).
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsage)?;
    let mut parameters = query::parameters(&call.query)?;
    let format = ReportFormat::take(&mut parameters, call.format)?;
    let query = request_query::parse(&parameters, &call.control, &grant)?;
    let page = call.control.requests(&grant, query).await?;
    let directory = call.control.directory();
    let named = |entry| RequestJson::of_entry(entry).with_names(&directory);
    let rows: Vec<RequestJson<'_>> = page.entries.iter().map(named).collect();
    match format {
        ReportFormat::Json | ReportFormat::Text => {
            let complete_before = page.complete_before.map(|id| id.to_string());
            ApiReply::ok(&json!({
                "data": rows,
                "next": page.next,
                "follow": page.follow,
                "complete_before": complete_before,
            }))
        }
        ReportFormat::Csv => Ok(ApiReply::csv(table(&rows), page.next)),
    }
}

/// `GET /v1/requests/{id}`: every attempt, and the budgets that were charged.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsage)?;
    let id = RequestId::parse(&call.id).ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            "invalid request id; it is `req_` and 26 letters, as in x-gatekeeper-request-id",
        )
    })?;
    let control = &call.control;
    let detail = control.request(&grant, id).await?;
    let json = detail_json(id, &detail, control.zone(), &control.directory());
    ApiReply::ok(&json)
}

fn table(rows: &[RequestJson<'_>]) -> String {
    let json = |row: &RequestJson<'_>| serde_json::to_value(row).unwrap_or_default();
    request_table(rows.iter().map(json))
}

/// Requests as the list shows them, as CSV with a header line.
pub fn request_table(rows: impl Iterator<Item = Value>) -> String {
    let flat = |row: Value| match row {
        Value::Object(mut members) => {
            if let Some(Value::Object(usage)) = members.remove("usage") {
                members.extend(usage);
            }
            members
        }
        _ => Map::new(),
    };
    csv::table(&COLUMNS, &rows.map(flat).collect::<Vec<_>>())
}

fn detail_json(id: RequestId, detail: &RequestDetail, zone: &Zone, directory: &Directory) -> Value {
    let sum = |amount: fn(&Record) -> Money| {
        let amounts = detail.attempts.iter().map(amount);
        amounts.sum::<Money>().to_string()
    };
    let attempt = detail.attempts.first();
    let subject = attempt.map(|record| &record.settlement.hold.subject);
    let ids = subject.map(|subject| (subject.key, subject.team)).or(detail
        .refusal
        .as_ref()
        .map(|refusal| (refusal.key, refusal.team)));
    let budget = |budget: &Budget| budget_json(budget, &detail.attempts, zone, directory);
    json!({
        "id": id.to_string(),
        "object": "request",
        "key_name": ids.and_then(|(key, _)| directory.key(key)).map(|caller| &caller.key.name),
        "team_name": ids.and_then(|(_, team)| directory.team(team)).map(|team| &team.name),
        "cost_usd": sum(|record| record.settlement.ending.cost),
        "net_cost_usd": sum(Record::net_cost),
        "refusal": detail.refusal.as_ref().map(RequestJson::of_refusal),
        "attempts": detail.attempts.iter().map(RequestJson::of).collect::<Vec<_>>(),
        "budgets": detail.budgets.iter().map(budget).collect::<Vec<_>>(),
        "price_sheet": detail.price_sheet.as_ref().map(|sheet| json!({ "as_of": sheet.as_of, "sha256": sheet.sha256 })),
    })
}

/// A budget with the end of the window that the attempts were charged to.
fn budget_json(budget: &Budget, attempts: &[Record], zone: &Zone, directory: &Directory) -> Value {
    let charges = attempts.iter().filter_map(|record| {
        let mut charges = record.settlement.hold.charges.iter();
        charges.find(|charge| charge.budget == budget.id)
    });
    let window_end = charges
        .map(|charge| zone.window(budget.period, charge.window_start_ms).end_ms)
        .find(|end_ms| *end_ms != u64::MAX);
    let (owner, owner_name) = owner(budget.owner, directory);
    json!({
        "id": budget.id.to_string(),
        "owner": owner,
        "owner_name": owner_name,
        "limit": budget.limit.to_string(),
        "period": budget.period.as_str(),
        "action": budget.action.as_str(),
        "model": budget.model.as_ref().map(ToString::to_string),
        "window_end": window_end.map(rfc3339),
    })
}

/// Id and name of the owner of a budget.
fn owner(owner: Owner, directory: &Directory) -> (String, Option<&str>) {
    match owner {
        Owner::Organization(id) => (
            id.to_string(),
            directory
                .organization(id)
                .map(|organization| organization.name.as_str()),
        ),
        Owner::Team(id) => (
            id.to_string(),
            directory.team(id).map(|team| team.name.as_str()),
        ),
        Owner::Key(id) => (
            id.to_string(),
            directory.key(id).map(|caller| caller.key.name.as_str()),
        ),
    }
}
