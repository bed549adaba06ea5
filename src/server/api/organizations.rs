//! `/v1/organizations`: list, create, get, change, delete.

use crate::auth::role::may;
use crate::control::organizations::{NewOrganization, OrganizationChange};
use crate::domain::api_error::ApiError;
use crate::domain::id::OrganizationId;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::list_query::{ListQuery, next, parse_cascade};
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{take_models, take_name, take_optional_name};
use crate::server::api::views::{List, OrganizationJson};

pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadOrganizations)?;
    let number = |text: &str| OrganizationId::parse(text).map(|id| id.0);
    let query = ListQuery::parse(&call.query, number)?;
    let page = query.finish("the list of organizations")?;
    let page = call.control.organizations(&grant, page).await?;
    ApiReply::ok(&List {
        data: page.items.iter().map(OrganizationJson::of).collect(),
        next: next(&page, |organization| organization.record.id),
    })
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeOrganizations)?;
    let new = parse_new(&call.body)?;
    let created = call.control.create_organization(&grant, new).await?;
    Ok(ApiReply::created(&OrganizationJson::of(&created))?.with_version(&created.version()))
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadOrganizations)?;
    let id = known(OrganizationId::parse(&call.id), "organization")?;
    let organization = call.control.organization(&grant, id).await?;
    Ok(ApiReply::ok(&OrganizationJson::of(&organization))?.with_version(&organization.version()))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeOrganizations)?;
    let id = known(OrganizationId::parse(&call.id), "organization")?;
    let update = parse_change(&call.body)?;
    let changed = call.control.change_organization(&grant, id, update).await?;
    Ok(ApiReply::ok(&OrganizationJson::of(&changed))?.with_version(&changed.version()))
}

pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeOrganizations)?;
    let id = known(OrganizationId::parse(&call.id), "organization")?;
    let cascade = parse_cascade(&call.query)?;
    call.control
        .delete_organization(&grant, id, cascade)
        .await?;
    Ok(ApiReply::deleted())
}

fn parse_new(body: &[u8]) -> Result<NewOrganization, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let new = NewOrganization {
        name: take_name(&mut fields)?,
        models: take_models(&mut fields)?.unwrap_or_default(),
        budgets: take_budgets(&mut fields)?.unwrap_or_default(),
        limits: take_limits(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

fn parse_change(body: &[u8]) -> Result<OrganizationChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = OrganizationChange {
        name: take_optional_name(&mut fields)?,
        models: take_models(&mut fields)?,
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
    };
    fields.finish_change()?;
    Ok(change)
}
