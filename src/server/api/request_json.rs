//! JSON of entries of the request log: attempts and refusals. Money is an exact decimal string, instants are RFC 3339 in UTC.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::auth::directory::Directory;
use crate::domain::attempt::FailureNote;
use crate::domain::attribution::Tag;
use crate::domain::cache::CacheNote;
use crate::domain::event::{Charge, Correction, CostLine, PriceCard, StatusClass};
use crate::domain::id::KeyId;
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::usage::{SecondModel, Usage};
use crate::server::api::views::rfc3339;
use crate::store::{Record, RequestLogEntry};

/// Record of one attempt, or a refusal.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Request")]
pub(crate) struct RequestJson<'a> {
    id: String,
    object: &'static str,
    attempt: u8,
    at: String,
    organization: String,
    team: String,
    /// names of tenants in a list; null once they are deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    team_name: Option<String>,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<String>,
    model_asked: &'a str,
    /// null for a refusal
    model: Option<&'a str>,
    provider: Option<&'a str>,
    dialect: &'a str,
    stream: Option<bool>,
    /// pseudonym of the end user
    user: Option<String>,
    tag: Option<&'a str>,
    status: &'static str,
    /// error code of a refusal
    code: Option<&'static str>,
    flags: Vec<&'static str>,
    usage: Value,
    /// tier and place as priced, by the card of the first line; null without one
    priced_tier: Option<&'a str>,
    priced_place: Option<&'a str>,
    /// cost that the vendor reported
    reported_cost_usd: Option<String>,
    /// as booked: the sum of `cost_lines`
    cost_usd: String,
    /// with corrections: what usage and budgets count
    net_cost_usd: String,
    cost_lines: Vec<Value>,
    corrections: Vec<Value>,
    charges: Vec<Value>,
    ceiling_usd: String,
    output_cap: Option<u64>,
    /// null: the upstream did not answer
    upstream_status: Option<u16>,
    first_content_ms: Option<u64>,
    total_ms: u64,
    /// route behind the name; null for a model called by its own name
    route: Option<&'a str>,
    /// strategy and the figures that it saw
    chosen: Option<&'a str>,
    /// wait before the attempt
    wait_ms: u64,
    /// class of the failure, and the decision that followed
    failure: Option<Value>,
    /// `reason: cause` of a failure that is the provider's
    upstream_error_detail: Option<&'a str>,
    /// lookup in the cache of answers; null where it is off
    cache: Option<Value>,
    /// cost that an answer of the cache saved
    saved_cost_usd: Option<String>,
}

impl RequestJson<'_> {
    pub fn of_entry(entry: &RequestLogEntry) -> RequestJson<'_> {
        match entry {
            RequestLogEntry::Record(record) => RequestJson::of(record),
            RequestLogEntry::Refusal(refusal) => RequestJson::of_refusal(refusal),
        }
    }

    /// Adds the names of team and key.
    pub fn with_names(self, directory: &Directory) -> Self {
        let key = KeyId::parse(&self.key).and_then(|id| directory.key(id));
        RequestJson {
            team_name: key.map(|caller| caller.team.name.clone()),
            key_name: key.map(|caller| caller.key.name.clone()),
            ..self
        }
    }

    /// A refusal: nothing was held, sent or booked.
    pub fn of_refusal(refusal: &Refusal) -> RequestJson<'_> {
        let zero = Money::ZERO.to_string();
        RequestJson {
            id: refusal.request.to_string(),
            object: "request",
            attempt: 0,
            at: rfc3339(refusal.at_ms),
            organization: refusal.organization.to_string(),
            team: refusal.team.to_string(),
            team_name: None,
            key_name: None,
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
            usage: usage_json(&Usage::default()),
            priced_tier: None,
            priced_place: None,
            reported_cost_usd: None,
            cost_usd: zero.clone(),
            net_cost_usd: zero.clone(),
            cost_lines: Vec::new(),
            corrections: Vec::new(),
            charges: Vec::new(),
            ceiling_usd: zero,
            output_cap: None,
            upstream_status: None,
            first_content_ms: None,
            total_ms: 0,
            route: None,
            chosen: None,
            wait_ms: 0,
            failure: None,
            upstream_error_detail: None,
            cache: None,
            saved_cost_usd: None,
        }
    }

    pub fn of(row: &Record) -> RequestJson<'_> {
        let (hold, ending) = (&row.settlement.hold, &row.settlement.ending);
        let (subject, note) = (&hold.subject, ending.note.as_deref());
        let filled = |text: &&str| !text.is_empty();
        let card = ending.lines.iter().find_map(|line| line.card.as_deref());
        let failure = note.and_then(|note| note.failure.as_ref());
        let hit = ending.cache.as_deref().filter(|note| note.outcome.is_hit());
        RequestJson {
            id: hold.id.request.to_string(),
            object: "request",
            attempt: hold.id.attempt,
            at: rfc3339(hold.at_ms),
            organization: subject.organization.to_string(),
            team: subject.team.to_string(),
            team_name: None,
            key_name: None,
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
            usage: usage_json(&ending.usage),
            priced_tier: card.map(|card| &*card.tier),
            priced_place: card.and_then(|card| card.place.as_deref()),
            reported_cost_usd: ending.usage.reported_cost.map(|cost| cost.to_string()),
            cost_usd: ending.cost.to_string(),
            net_cost_usd: row.net_cost().to_string(),
            cost_lines: ending.lines.iter().map(cost_line_json).collect(),
            corrections: row.corrections.iter().map(correction_json).collect(),
            charges: hold.charges.iter().map(charge_json).collect(),
            ceiling_usd: hold.ceiling.to_string(),
            output_cap: ending.output_cap,
            upstream_status: Some(ending.upstream_status).filter(|status| *status != 0),
            first_content_ms: ending.first_content_ms,
            total_ms: ending.ended_ms.saturating_sub(hold.at_ms),
            route: note.map(|note| note.route.as_str()).filter(filled),
            chosen: note.map(|note| note.chosen.as_str()).filter(filled),
            wait_ms: note.map_or(0, |note| note.wait_ms),
            failure: failure.map(failure_json),
            upstream_error_detail: failure
                .map(|failure| failure.detail.as_str())
                .filter(filled),
            cache: ending.cache.as_deref().map(cache_json),
            saved_cost_usd: hit.map(|note| note.saved.to_string()),
        }
    }
}

pub(crate) fn usage_json(usage: &Usage) -> Value {
    let tools = usage.tools.iter().map(|(tool, uses)| {
        let name = tool.name().to_owned();
        (name, json!(uses))
    });
    let second =
        |second: &SecondModel| json!({"model": second.model, "usage": usage_json(&second.usage)});
    json!({
        "input_tokens": usage.in_total(),
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_writes(),
        "output_tokens": usage.out_total,
        "reasoning_tokens": usage.reasoning,
        "image_tokens": usage.image_tokens(),
        "audio_tokens": usage.audio_tokens(),
        "searches": usage.searches(),
        "service_tier": usage.service_tier,
        "tools": Value::Object(tools.collect()),
        "second_models": usage.second_models.iter().map(second).collect::<Vec<_>>(),
    })
}

pub(crate) fn correction_json(entry: &Correction) -> Value {
    json!({
        "at": rfc3339(entry.at_ms),
        "amount_usd": entry.amount.to_string(),
        "reason": entry.reason,
        "actor": entry.actor,
    })
}

fn failure_json(failure: &FailureNote) -> Value {
    let vendor_code = Some(&failure.vendor_code).filter(|code| !code.is_empty());
    json!({
        "class": failure.class.as_str(),
        "vendor_code": vendor_code,
        "decision": failure.decision.as_str(),
        "why": failure.why,
    })
}

/// Outcome of the lookup, and the entry that answered or, for a miss, the nearest one with the guard that refused it.
fn cache_json(note: &CacheNote) -> Value {
    json!({
        "outcome": note.outcome.as_str(),
        "entry": note.entry.map(|id| id.to_string()),
        "own_entry": note.own.map(|id| id.to_string()),
        "similarity": note.similarity.map(|similarity| similarity.to_string()),
        "reason": Some(&note.reason).filter(|reason| !reason.is_empty()),
        "age_s": note.outcome.is_hit().then_some(note.age_ms / 1_000),
    })
}

fn charge_json(charge: &Charge) -> Value {
    // the one window of a `total` budget has no start
    let start = Some(charge.window_start_ms).filter(|start_ms| *start_ms > 0);
    json!({ "budget": charge.budget.to_string(), "window_start": start.map(rfc3339) })
}

fn cost_line_json(line: &CostLine) -> Value {
    json!({
        "class": line.class,
        "count": line.count,
        "rate_usd": Money::from_pico(i128::from(line.rate_pico)).to_string(),
        "amount_usd": line.amount().to_string(),
        "unit": line.unit.as_str(),
        "listed_rate_usd": Money::from_pico(i128::from(line.listed_pico)).to_string(),
        "card": line.card.as_deref().map(card_json),
        "text": line.to_string(),
    })
}

fn card_json(card: &PriceCard) -> Value {
    json!({
        "model": card.model,
        "tier": card.tier,
        "place": card.place,
        "above_input_tokens": card.above_input_tokens,
        "factor": card.factor(),
        "own": card.is_own,
    })
}
