//! Single requests over HTTP: pages of them, and one with all that its cost came from. Money is a decimal string with all
//! its digits, instants are RFC 3339 UTC.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::control::requests::{QueryContext, RequestDetail, RequestQuery};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::Tag;
use crate::domain::budget::{Budget, Owner};
use crate::domain::event::{Charge, Correction, CostLine, StatusClass};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::usage::Usage;
use crate::domain::zone::Zone;
use crate::server::api::accept::ReportFormat;
use crate::server::api::csv;
use crate::server::api::views::instant;
use crate::server::api::{ApiReply, parameters};
use crate::store::{Record, RequestLogEntry};

/// The columns of the list as a table.
const COLUMNS: [&str; 25] = [
    "id",
    "attempt",
    "at",
    "organization",
    "team",
    "key",
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

/// `GET /v1/requests`, with filters, a cursor to go back (`before`) or to follow (`after`, `wait`), in JSON or CSV.
pub async fn requests(
    control: &Control,
    actor: &Actor,
    query: &str,
    wanted: ReportFormat,
) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadUsage)?;
    let (zone, directory, pseudonyms) =
        (control.zone(), &control.directory(), control.pseudonyms());
    let query = RequestQuery::parse(
        &parameters(query)?,
        &QueryContext {
            zone,
            directory,
            pseudonyms,
        },
    )?;
    let page = control.requests(&grant, query).await?;
    let (data, next) = (
        page.entries
            .iter()
            .map(RequestJson::of_entry)
            .collect::<Vec<_>>(),
        page.next,
    );
    match wanted {
        ReportFormat::Json => {
            ApiReply::ok(&json!({"data": data, "next": next, "follow": page.follow}))
        }
        ReportFormat::Csv => Ok(ApiReply::csv(table(&data), next)),
    }
}

fn table(rows: &[RequestJson<'_>]) -> String {
    let flat = |row: &RequestJson<'_>| match serde_json::to_value(row) {
        Ok(Value::Object(mut members)) => {
            if let Some(Value::Object(usage)) = members.remove("usage") {
                members.extend(usage);
            }
            members
        }
        _ => Map::new(),
    };
    csv::table(&COLUMNS, &rows.iter().map(flat).collect::<Vec<_>>())
}

/// `GET /v1/requests/{id}`: every attempt, and the budgets that were charged.
pub async fn request(control: &Control, actor: &Actor, text: &str) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadUsage)?;
    let id = RequestId::parse(text).ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            "this is not the id of a request; it is `req_` and 26 letters, as in x-gatekeeper-request-id",
        )
    })?;
    let one = control.request(&grant, id).await?;
    ApiReply::ok(&one_json(id, &one, control.zone(), &control.directory()))
}

fn one_json(id: RequestId, one: &RequestDetail, zone: &Zone, directory: &Directory) -> Value {
    let sum =
        |amount: fn(&Record) -> Money| one.attempts.iter().map(amount).sum::<Money>().to_string();
    let charged = |record: &Record, budget: &Budget| {
        let charge = record
            .settlement
            .hold
            .charges
            .iter()
            .find(|charge| charge.budget == budget.id)?;
        Some(zone.window(budget.period, charge.window_start_ms).end_ms)
            .filter(|end_ms| *end_ms != u64::MAX)
    };
    let budget = |budget: &Budget| {
        let end_ms = one
            .attempts
            .iter()
            .find_map(|record| charged(record, budget));
        let (owner, name) = owner(budget.owner, directory);
        json!({
            "id": budget.id.to_string(),
            "owner": owner,
            "owner_name": name,
            "limit": budget.limit.to_string(),
            "period": budget.period.as_str(),
            "action": budget.action.as_str(),
            "model": budget.model.as_ref().map(ToString::to_string),
            "window_end": end_ms.map(instant),
        })
    };
    let names = one
        .attempts
        .first()
        .map(|record| &record.settlement.hold.subject)
        .map(|subject| (subject.key, subject.team));
    let names = names.or(one
        .refusal
        .as_ref()
        .map(|refusal| (refusal.key, refusal.team)));
    json!({
        "id": id.to_string(),
        "object": "request",
        "key_name": names.and_then(|(key, _)| directory.key(key)).map(|caller| &caller.key.name),
        "team_name": names.and_then(|(_, team)| directory.team(team)).map(|team| &team.name),
        "cost_usd": sum(|record| record.settlement.ending.cost),
        "net_cost_usd": sum(Record::net_cost),
        "refusal": one.refusal.as_ref().map(RequestJson::refused),
        "attempts": one.attempts.iter().map(RequestJson::of).collect::<Vec<_>>(),
        "budgets": one.budgets.iter().map(budget).collect::<Vec<_>>(),
    })
}

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

/// One attempt's record, or a refusal.
#[derive(Serialize)]
pub(crate) struct RequestJson<'a> {
    id: String,
    object: &'static str,
    attempt: u8,
    at: String,
    organization: String,
    team: String,
    key: String,
    model_asked: &'a str,
    /// null: refused
    model: Option<&'a str>,
    provider: Option<&'a str>,
    dialect: &'a str,
    stream: Option<bool>,
    /// the end user's pseudonym
    user: Option<String>,
    tag: Option<&'a str>,
    status: &'static str,
    /// the word of a refusal
    code: Option<&'static str>,
    flags: Vec<&'static str>,
    usage: Value,
    /// as it was booked: what the lines come to
    cost_usd: String,
    /// with its corrections: what usage and budgets count
    net_cost_usd: String,
    cost_lines: Vec<Value>,
    corrections: Vec<Value>,
    charges: Vec<Value>,
    ceiling_usd: String,
    output_cap: Option<u64>,
    /// null: no answer came
    upstream_status: Option<u16>,
    first_content_ms: Option<u64>,
    total_ms: u64,
}

impl RequestJson<'_> {
    fn of_entry(entry: &RequestLogEntry) -> RequestJson<'_> {
        match entry {
            RequestLogEntry::Booked(record) => RequestJson::of(record),
            RequestLogEntry::Refused(refusal) => RequestJson::refused(refusal),
        }
    }

    /// Nothing was held, sent or booked.
    fn refused(refusal: &Refusal) -> RequestJson<'_> {
        let nothing = Money::ZERO.to_string();
        RequestJson {
            id: refusal.request.to_string(),
            object: "request",
            attempt: 0,
            at: instant(refusal.at_ms),
            organization: refusal.organization.to_string(),
            team: refusal.team.to_string(),
            key: refusal.key.to_string(),
            model_asked: &refusal.model_asked,
            model: None,
            provider: None,
            dialect: &refusal.dialect,
            stream: None,
            user: refusal.attribution.user.map(|user| user.to_string()),
            tag: refusal.attribution.tag.as_ref().map(Tag::as_str),
            status: StatusClass::Refused.as_str(),
            code: Some(refusal.code.as_str()),
            flags: Vec::new(),
            usage: usage_of(&Usage::default()),
            cost_usd: nothing.clone(),
            net_cost_usd: nothing.clone(),
            cost_lines: Vec::new(),
            corrections: Vec::new(),
            charges: Vec::new(),
            ceiling_usd: nothing,
            output_cap: None,
            upstream_status: None,
            first_content_ms: None,
            total_ms: 0,
        }
    }

    pub fn of(row: &Record) -> RequestJson<'_> {
        let (hold, ending) = (&row.settlement.hold, &row.settlement.ending);
        let subject = &hold.subject;
        RequestJson {
            id: hold.id.request.to_string(),
            object: "request",
            attempt: hold.id.attempt,
            at: instant(hold.at_ms),
            organization: subject.organization.to_string(),
            team: subject.team.to_string(),
            key: subject.key.to_string(),
            model_asked: &subject.model_asked,
            model: Some(&subject.model),
            provider: Some(&subject.provider),
            dialect: &subject.dialect,
            stream: Some(subject.streamed),
            user: subject.attribution.user.map(|user| user.to_string()),
            tag: subject.attribution.tag.as_ref().map(Tag::as_str),
            status: ending.status.as_str(),
            code: None,
            flags: ending.flags.names().collect(),
            usage: usage_of(&ending.usage),
            cost_usd: ending.cost.to_string(),
            net_cost_usd: row.net_cost().to_string(),
            cost_lines: ending.lines.iter().map(cost_line).collect(),
            corrections: row.corrections.iter().map(correction).collect(),
            charges: hold.charges.iter().map(charge).collect(),
            ceiling_usd: hold.ceiling.to_string(),
            output_cap: ending.output_cap,
            upstream_status: Some(ending.upstream_status).filter(|status| *status != 0),
            first_content_ms: ending.first_content_ms,
            total_ms: ending.ended_ms.saturating_sub(hold.at_ms),
        }
    }
}

pub(crate) fn usage_of(usage: &Usage) -> Value {
    let writes = [
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_write_other,
    ];
    json!({
        "input_tokens": usage.in_total(),
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": writes.into_iter().fold(0, u64::saturating_add),
        "output_tokens": usage.out_total,
        "reasoning_tokens": usage.reasoning,
    })
}

pub(crate) fn correction(entry: &Correction) -> Value {
    json!({
        "at": instant(entry.at_ms),
        "amount_usd": entry.amount.to_string(),
        "reason": entry.reason,
        "actor": entry.actor,
    })
}

fn charge(charge: &Charge) -> Value {
    // a `total` budget has one window, which has always been open
    let start = Some(charge.window_start_ms).filter(|start_ms| *start_ms > 0);
    json!({ "budget": charge.budget.to_string(), "window_start": start.map(instant) })
}

fn cost_line(line: &CostLine) -> Value {
    json!({
        "class": line.class,
        "count": line.count,
        "rate_usd": Money::from_pico(i128::from(line.rate_pico)).to_string(),
        "amount_usd": line.amount().to_string(),
    })
}
