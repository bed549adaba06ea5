//! `/v1/state`: organizations, teams, keys, budgets and limits as one document.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::state::{
    Plan, Step, StepKind, WantedCapture, WantedKey, WantedOrganization, WantedTeam,
};
use crate::domain::api_error::ApiError;
use crate::domain::capture::CaptureReaders;
use crate::domain::zone::Zone;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::ApiCall;
use crate::server::api::captures::{take_keep, take_readers};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{
    take_endpoints, take_labels, take_max_cost, take_member_keys, take_models, take_name,
};

/// `GET /v1/state`: the document that `apply` finds without a difference. It has no secret.
pub(crate) async fn export(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadState)?;
    ApiReply::ok(&call.control.export_state(&grant))
}

/// `POST /v1/state`: applies a document in one transaction; `dry_run` shows the plan alone.
pub(crate) async fn apply(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ApplyState)?;
    let mut fields = Fields::of_body(&call.body)?;
    let dry_run = fields.take("dry_run", "true or false")?.unwrap_or(false);
    let organizations = take_list(&mut fields, "organizations", organization)?;
    fields.finish()?;
    let plan = call.control.apply_state(&grant, organizations, dry_run);
    ApiReply::ok(&plan_json(&plan.await?, dry_run))
}

/// Objects of a list; an absent one is empty.
fn take_list<T>(
    fields: &mut Fields,
    name: &'static str,
    parse: fn(&mut Fields) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let objects = fields.take_objects(name)?.unwrap_or_default();
    let one = |mut object: Fields| {
        let parsed = parse(&mut object)?;
        object.finish()?;
        Ok(parsed)
    };
    objects.into_iter().map(one).collect()
}

fn organization(fields: &mut Fields) -> Result<WantedOrganization, ApiError> {
    Ok(WantedOrganization {
        name: take_name(fields)?,
        models: take_models(fields)?.unwrap_or_default(),
        budgets: take_budgets(fields)?.unwrap_or_default(),
        limits: take_limits(fields)?.unwrap_or_default(),
        teams: take_list(fields, "teams", team)?,
    })
}

fn team(fields: &mut Fields) -> Result<WantedTeam, ApiError> {
    Ok(WantedTeam {
        name: take_name(fields)?,
        models: take_models(fields)?.unwrap_or_default(),
        endpoints: take_endpoints(fields)?.flatten(),
        labels: take_labels(fields)?.into_new(),
        member_keys: take_member_keys(fields)?.into_new(),
        max_cost: take_max_cost(fields)?.flatten(),
        budgets: take_budgets(fields)?.unwrap_or_default(),
        limits: take_limits(fields)?.unwrap_or_default(),
        capture: WantedCapture {
            keep: take_keep(fields, "capture_keep_days")?,
            readers: take_readers(fields, "capture_readers")?.unwrap_or_default(),
        },
        keys: take_list(fields, "keys", key)?,
    })
}

fn key(fields: &mut Fields) -> Result<WantedKey, ApiError> {
    let disabled: Option<bool> = fields.take("disabled", "true or false")?;
    Ok(WantedKey {
        name: take_name(fields)?,
        parent: fields.take("parent", "the name of a key of the team")?,
        user: fields.take("user", "the e-mail address of a user")?,
        models: take_models(fields)?.unwrap_or_default(),
        endpoints: take_endpoints(fields)?.flatten(),
        labels: take_labels(fields)?.into_new(),
        max_cost: take_max_cost(fields)?.flatten(),
        expires_ms: take_instant(fields)?,
        disabled: disabled.unwrap_or(false),
        budgets: take_budgets(fields)?.unwrap_or_default(),
        limits: take_limits(fields)?.unwrap_or_default(),
        capture: WantedCapture {
            keep: take_keep(fields, "capture_keep_days")?,
            readers: CaptureReaders::default(),
        },
    })
}

/// An instant, because a time from now would be another one at each application.
fn take_instant(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    const EXPECTED: &str = "an instant like 2027-01-31T00:00:00Z, or null for never";
    let text: Option<String> = fields.take("expires_at", EXPECTED)?;
    let parse = |text: String| {
        Zone::parse_rfc3339(&text)
            .ok_or_else(|| fields.invalid("expires_at", format!("must be {EXPECTED}")))
    };
    text.map(parse).transpose()
}

fn plan_json(plan: &Plan, dry_run: bool) -> Value {
    let step = |step: &Step| {
        let action = match step.kind {
            StepKind::Create => "create",
            StepKind::Change => "change",
        };
        json!({
            "action": action,
            "kind": step.object,
            "name": step.name,
            // a planned object has no id yet
            "id": (!dry_run || step.kind == StepKind::Change).then_some(&step.id),
            "detail": step.detail,
        })
    };
    let secrets = plan.secrets.iter();
    let keys: Vec<Value> = secrets
        .map(
            |new| json!({ "id": new.id.to_string(), "name": new.name, "key": new.secret.expose() }),
        )
        .collect();
    json!({
        "object": "plan",
        "dry_run": dry_run,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "keys": keys,
    })
}
