//! Administrative keys below `/v1/keys`: `"admin": true` in a body, `?admin=true` in a list, ids like `adm_3`.

use crate::auth::role::may;
use crate::control::admin_keys::{self, NewAdminAccess, NewAdminKey};
use crate::control::memberships::MembershipInput;
use crate::domain::api_error::ApiError;
use crate::domain::id::AdminKeyId;
use crate::server::api::body::Fields;
use crate::server::api::call::ApiCall;
use crate::server::api::expiry::take_expiry;
use crate::server::api::list_query::{ListQuery, next};
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::take_name;
use crate::server::api::user_views::AdminKeyJson;
use crate::server::api::views::List;

pub(super) async fn list(call: &ApiCall, query: ListQuery) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAdminKeys)?;
    let page = query.finish("the list of administrative keys")?;
    let page = call.control.admin_keys(&grant, page).await?;
    ApiReply::ok(&List {
        data: page.items.iter().map(AdminKeyJson::of).collect(),
        next: next(&page, |admin| admin.id),
    })
}

pub(super) async fn create(call: &ApiCall, fields: Fields) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeAdminKeys)?;
    let new = parse_new(fields, call.control.now_ms())?;
    let (key, secret) = call.control.create_admin_key(&grant, new).await?;
    Ok(
        ApiReply::created(&AdminKeyJson::of(&key).with_secret(&secret))?
            .with_version(&admin_keys::version(&key)),
    )
}

pub(super) async fn get(call: &ApiCall, id: AdminKeyId) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAdminKeys)?;
    let key = call.control.admin_key(&grant, id).await?;
    Ok(ApiReply::ok(&AdminKeyJson::of(&key))?.with_version(&admin_keys::version(&key)))
}

pub(super) async fn change(call: &ApiCall, id: AdminKeyId) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeAdminKeys)?;
    let disabled = parse_change(&call.body)?;
    let key = call.control.disable_admin_key(&grant, id, disabled).await?;
    Ok(ApiReply::ok(&AdminKeyJson::of(&key))?.with_version(&admin_keys::version(&key)))
}

pub(super) async fn delete(call: &ApiCall, id: AdminKeyId) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeAdminKeys)?;
    call.control.delete_admin_key(&grant, id).await?;
    Ok(ApiReply::deleted())
}

/// A key without `role` and `user` is an owner's.
fn parse_new(mut fields: Fields, now_ms: u64) -> Result<NewAdminKey, ApiError> {
    let name = take_name(&mut fields)?;
    let user: Option<String> = fields.take("user", "the id or the e-mail address of a user")?;
    let role: Option<String> = fields.take("role", "the word of a role, like admin or viewer")?;
    let role = MembershipInput {
        role: role.unwrap_or_else(|| MembershipInput::owner().role),
        organization: fields.take("organization", "an id or a name")?,
        team: fields.take("team", "an id or a name")?,
    };
    let access = match user {
        Some(_) if role != MembershipInput::owner() => {
            let problem = "has the roles of the user; leave out `role`, `organization` and `team`";
            return Err(fields.invalid("user", problem));
        }
        Some(user) => NewAdminAccess::User(user),
        None => NewAdminAccess::Role(role),
    };
    let expires_ms = take_expiry(&mut fields, now_ms)?.flatten();
    fields.finish()?;
    Ok(NewAdminKey {
        name,
        access,
        expires_ms,
    })
}

/// `disabled`, the only member of an administrative key that can change.
fn parse_change(body: &[u8]) -> Result<bool, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let disabled = fields.require("disabled", "true or false")?;
    fields.finish()?;
    Ok(disabled)
}
