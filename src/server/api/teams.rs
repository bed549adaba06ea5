//! `/v1/teams`: list, create, get, change, delete.

use crate::auth::role::may;
use crate::control::teams::{NewTeam, TeamChange, TeamDetails};
use crate::domain::api_error::ApiError;
use crate::domain::id::TeamId;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::list_query::{ListQuery, next, parse_cascade};
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{
    take_endpoints, take_labels, take_max_cost, take_member_keys, take_models, take_name,
    take_optional_name,
};
use crate::server::api::views::{List, TeamJson};

/// `?organization=` filters.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTeams)?;
    let number = |text: &str| TeamId::parse(text).map(|id| id.0);
    let mut query = ListQuery::parse(&call.query, number)?;
    let organization = query.take("organization");
    let page = query.finish("the list of teams")?;
    let teams = call.control.teams(&grant, organization.as_deref(), page);
    let page = teams.await?;
    ApiReply::ok(&List {
        data: page.items.iter().map(TeamJson::of).collect(),
        next: next(&page, |team| team.record.id),
    })
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeTeams)?;
    let new = parse_new(&call.body)?;
    let created = call.control.create_team(&grant, new).await?;
    Ok(ApiReply::created(&TeamJson::of(&created))?.with_version(&created.version()))
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTeams)?;
    let id = known(TeamId::parse(&call.id), "team")?;
    let team = call.control.team(&grant, id).await?;
    Ok(ApiReply::ok(&TeamJson::of(&team))?.with_version(&team.version()))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ManageTeams)?;
    let id = known(TeamId::parse(&call.id), "team")?;
    let update = parse_change(&call.body)?;
    let changed = call.control.change_team(&grant, id, update).await?;
    Ok(ApiReply::ok(&TeamJson::of(&changed))?.with_version(&changed.version()))
}

pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeTeams)?;
    let id = known(TeamId::parse(&call.id), "team")?;
    let cascade = parse_cascade(&call.query)?;
    call.control.delete_team(&grant, id, cascade).await?;
    Ok(ApiReply::deleted())
}

fn parse_new(body: &[u8]) -> Result<NewTeam, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let new = NewTeam {
        name: take_name(&mut fields)?,
        organization: fields.take("organization", "an id or a name")?,
        models: take_models(&mut fields)?.unwrap_or_default(),
        endpoints: take_endpoints(&mut fields)?.flatten(),
        labels: take_labels(&mut fields)?.into_new(),
        member_keys: take_member_keys(&mut fields)?.into_new(),
        max_cost: take_max_cost(&mut fields)?.flatten(),
        budgets: take_budgets(&mut fields)?.unwrap_or_default(),
        limits: take_limits(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

fn parse_change(body: &[u8]) -> Result<TeamChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = TeamChange {
        name: take_optional_name(&mut fields)?,
        models: take_models(&mut fields)?,
        endpoints: take_endpoints(&mut fields)?,
        max_cost: take_max_cost(&mut fields)?,
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
        details: TeamDetails {
            labels: take_labels(&mut fields)?,
            member_keys: take_member_keys(&mut fields)?,
        },
    };
    fields.finish_change()?;
    Ok(change)
}
