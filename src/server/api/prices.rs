//! `/v1/prices/sheet`: the price sheet in force; application of another one, and return to the embedded one.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::prices::{SheetFacts, SheetPlan};
use crate::domain::api_error::ApiError;
use crate::price::sheet_difference::{ChangedMember, ChangedRow};
use crate::server::api::body::Fields;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;

/// `GET /v1/prices/sheet`
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadPrices)?;
    let sheets = call.control.price_sheet(&grant).await?;
    let mut json = facts_json(&sheets.in_force);
    json["outdated"] = json!(sheets.outdated.as_ref().map(facts_json));
    ApiReply::ok(&json)
}

/// `GET /v1/prices/sheet/text`: the file, byte by byte.
pub(crate) async fn text(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadPrices)?;
    Ok(ApiReply::text(call.control.price_sheet_text(&grant).await?))
}

/// `POST /v1/prices/sheet`: applies a sheet; `dry_run` shows the difference alone.
pub(crate) async fn apply(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangePrices)?;
    let mut fields = Fields::of_body(&call.body)?;
    let text: String = fields.require("sheet", "the text of a price sheet")?;
    let dry_run = fields.take("dry_run", "true or false")?.unwrap_or(false);
    fields.finish()?;
    let plan = match dry_run {
        true => call.control.plan_price_sheet(&grant, text).await?,
        false => call.control.apply_price_sheet(&grant, text).await?,
    };
    ApiReply::ok(&plan_json(&plan, dry_run))
}

/// `DELETE /v1/prices/sheet`
pub(crate) async fn reset(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangePrices)?;
    let facts = call.control.reset_price_sheet(&grant).await?;
    let mut json = facts_json(&facts);
    json["outdated"] = Value::Null;
    ApiReply::ok(&json)
}

pub(super) fn facts_json(facts: &SheetFacts) -> Value {
    json!({
        "object": "price_sheet",
        "source": if facts.applied_ms.is_some() { "applied" } else { "embedded" },
        "as_of": facts.as_of,
        "sha256": facts.sha256,
        "models": facts.models,
        "applied_at": facts.applied_ms.map(rfc3339),
    })
}

fn plan_json(plan: &SheetPlan, dry_run: bool) -> Value {
    let member = |member: &ChangedMember| json!({ "name": member.name, "before": member.before, "after": member.after });
    let row = |row: &ChangedRow| {
        let members: Vec<Value> = row.members.iter().map(member).collect();
        json!({ "name": row.name, "members": members })
    };
    let changed: Vec<Value> = plan.difference.changed.iter().map(row).collect();
    json!({
        "object": "price_sheet_change",
        "dry_run": dry_run,
        "before": facts_json(&plan.before),
        "after": facts_json(&plan.after),
        "added": plan.difference.added,
        "removed": plan.difference.removed,
        "changed": changed,
    })
}
