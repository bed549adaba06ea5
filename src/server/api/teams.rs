//! `/v1/teams`: list, create, get, change.

use crate::auth::role::may;
use crate::control::teams::{NewTeam, TeamChange};
use crate::domain::api_error::ApiError;
use crate::domain::id::TeamId;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{take_models, take_name};
use crate::server::api::views::{List, TeamJson};

pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    let teams = call.control.teams(&grant).await?;
    ApiReply::ok(&List::of(teams.iter().map(TeamJson::of)))
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeTeams)?;
    let new = parse_new(&call.body)?;
    let created = call.control.create_team(&grant, new).await?;
    ApiReply::created(&TeamJson::of(&created))
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    let id = known(TeamId::parse(&call.id), "team")?;
    let team = call.control.team(&grant, id).await?;
    ApiReply::ok(&TeamJson::of(&team))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeTeams)?;
    let id = known(TeamId::parse(&call.id), "team")?;
    let update = parse_change(&call.body)?;
    let changed = call.control.change_team(&grant, id, update).await?;
    ApiReply::ok(&TeamJson::of(&changed))
}

fn parse_new(body: &[u8]) -> Result<NewTeam, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let new = NewTeam {
        name: take_name(&mut fields)?,
        organization: fields.take("organization", "an id or a name")?,
        models: take_models(&mut fields)?.unwrap_or_default(),
        budgets: take_budgets(&mut fields)?.unwrap_or_default(),
        limits: take_limits(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

fn parse_change(body: &[u8]) -> Result<TeamChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = TeamChange {
        models: take_models(&mut fields)?,
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
    };
    fields.finish()?;
    if change.models.is_none() && change.budgets.is_none() && change.limits.is_none() {
        return Err(ApiError::invalid(
            "nothing to change; give `models`, `budgets` or `limits`",
        ));
    }
    Ok(change)
}
