//! `/v1/organizations`: list, create, change.

use crate::auth::role::may;
use crate::control::organizations::{NewOrganization, OrganizationChange};
use crate::domain::api_error::ApiError;
use crate::domain::id::OrganizationId;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::take_name;
use crate::server::api::views::{List, OrganizationJson};

pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    let organizations = call.control.organizations(&grant).await?;
    ApiReply::ok(&List::of(organizations.iter().map(OrganizationJson::of)))
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeOrganizations)?;
    let new = parse_new(&call.body)?;
    let created = call.control.create_organization(&grant, new).await?;
    ApiReply::created(&OrganizationJson::of(&created))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeOrganizations)?;
    let id = known(OrganizationId::parse(&call.id), "organization")?;
    let update = parse_change(&call.body)?;
    let changed = call.control.change_organization(&grant, id, update).await?;
    ApiReply::ok(&OrganizationJson::of(&changed))
}

fn parse_new(body: &[u8]) -> Result<NewOrganization, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let new = NewOrganization {
        name: take_name(&mut fields)?,
        budgets: take_budgets(&mut fields)?.unwrap_or_default(),
        limits: take_limits(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

fn parse_change(body: &[u8]) -> Result<OrganizationChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = OrganizationChange {
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
    };
    fields.finish()?;
    if change.budgets.is_none() && change.limits.is_none() {
        return Err(ApiError::invalid(
            "nothing to change; give `budgets` or `limits`",
        ));
    }
    Ok(change)
}
