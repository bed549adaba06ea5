//! `/v1/keys`: virtual and administrative keys: list, create, get, change, verify. A secret is rendered once, in the answer to
//! its creation.

use crate::auth::role::may;
use crate::control::input::Name;
use crate::control::keys::{KeyChange, KeyParent, NewKey, NewVirtualKey};
use crate::domain::api_error::ApiError;
use crate::domain::id::{AdminKeyId, KeyId};
use crate::domain::secret::Secret;
use crate::domain::zone::Zone;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::query;
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{take_models, take_name};
use crate::server::api::views::{AdminKeyJson, KeyJson, KeyStatusJson, List};

const EXPIRY_DAYS_MAX: u64 = 3_650;
const TEAM: &str = "the id or the name of a team";

/// `?admin=true` lists administrative keys instead.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    if wants_admin_keys(&call.query)? {
        let keys = call.control.admin_keys(&grant).await?;
        return ApiReply::ok(&List::of(keys.iter().map(AdminKeyJson::of)));
    }
    let keys = call.control.keys(&grant).await?;
    ApiReply::ok(&List::of(keys.iter().map(KeyJson::of)))
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    match parse_new(&call.body, call.control.now_ms())? {
        NewKey::Virtual(new) => {
            let grant = call.grant(may::ChangeKeys)?;
            let (key, secret) = call.control.create_key(&grant, new).await?;
            ApiReply::created(&KeyJson::of(&key).with_secret(&secret))
        }
        NewKey::Administrative(name) => {
            let grant = call.grant(may::ChangeAdminKeys)?;
            let (key, secret) = call.control.create_admin_key(&grant, name).await?;
            ApiReply::created(&AdminKeyJson::of(&key).with_secret(&secret))
        }
    }
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    if let Some(id) = AdminKeyId::parse(&call.id) {
        let keys = call.control.admin_keys(&grant).await?;
        let key = known(keys.iter().find(|key| key.id == id), "key")?;
        return ApiReply::ok(&AdminKeyJson::of(key));
    }
    let id = known(KeyId::parse(&call.id), "key")?;
    let key = call.control.key(&grant, id).await?;
    ApiReply::ok(&KeyJson::of(&key))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    if let Some(id) = AdminKeyId::parse(&call.id) {
        let grant = call.grant(may::ChangeAdminKeys)?;
        let disabled = parse_admin_change(&call.body)?;
        let key = call.control.disable_admin_key(&grant, id, disabled).await?;
        return ApiReply::ok(&AdminKeyJson::of(&key));
    }
    let grant = call.grant(may::ChangeKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    let update = parse_change(&call.body, call.control.now_ms())?;
    let changed = call.control.change_key(&grant, id, update).await?;
    ApiReply::ok(&KeyJson::of(&changed))
}

/// `POST /v1/keys/verify`: status of the key with the secret in the body.
pub(crate) async fn verify(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTenants)?;
    let secret = parse_secret(&call.body)?;
    let status = call.control.key_status(&grant, secret.expose()).await?;
    ApiReply::ok(&KeyStatusJson::of(&status))
}

fn wants_admin_keys(query: &str) -> Result<bool, ApiError> {
    let parameters = query::parameters(query)?;
    let mut parameters = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    match (parameters.next(), parameters.next()) {
        (None | Some(("admin", "false")), None) => Ok(false),
        (Some(("admin", "true")), None) => Ok(true),
        _ => Err(
            ApiError::invalid("the list of keys takes `admin=true` or nothing").with_param("admin"),
        ),
    }
}

/// `"admin": true` asks for an administrative key, which has a name and nothing else.
fn parse_new(body: &[u8], now_ms: u64) -> Result<NewKey, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let name: Name = take_name(&mut fields)?;
    if fields.take("admin", "true or false")?.unwrap_or(false) {
        fields.finish()?;
        return Ok(NewKey::Administrative(name));
    }
    let new = NewVirtualKey {
        name,
        parent: take_parent(&mut fields)?,
        models: take_models(&mut fields)?.unwrap_or_default(),
        expires_ms: take_expiry(&mut fields, now_ms)?.flatten(),
        budgets: take_budgets(&mut fields)?.unwrap_or_default(),
        limits: take_limits(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(NewKey::Virtual(new))
}

fn take_parent(fields: &mut Fields) -> Result<KeyParent, ApiError> {
    let parent: Option<String> = fields.take("parent", "the id of a key")?;
    let Some(parent) = parent else {
        return Ok(KeyParent::Team(fields.require("team", TEAM)?));
    };
    let parent = KeyId::parse(&parent)
        .ok_or_else(|| fields.invalid("parent", "must be the id of a key, like key_3"))?;
    Ok(KeyParent::Key {
        parent,
        team: fields.take("team", TEAM)?,
    })
}

fn parse_change(body: &[u8], now_ms: u64) -> Result<KeyChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = KeyChange {
        models: take_models(&mut fields)?,
        expires_ms: take_expiry(&mut fields, now_ms)?,
        disabled: fields.take_not_null("disabled", "true or false")?,
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
    };
    fields.finish()?;
    let KeyChange {
        models,
        expires_ms,
        disabled,
        budgets,
        limits,
    } = &change;
    if models.is_none()
        && expires_ms.is_none()
        && disabled.is_none()
        && budgets.is_none()
        && limits.is_none()
    {
        return Err(ApiError::invalid(
            "nothing to change; give `models`, `expires`, `disabled`, `budgets` or `limits`",
        ));
    }
    Ok(change)
}

/// `disabled`, the only member of an administrative key that can change.
fn parse_admin_change(body: &[u8]) -> Result<bool, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let disabled = fields.require("disabled", "true or false")?;
    fields.finish()?;
    Ok(disabled)
}

fn parse_secret(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let text: String = fields.require("key", "the text of a key")?;
    fields.finish()?;
    Ok(Secret::new(text))
}

/// `Some(None)`: null, the key never expires.
fn take_expiry(fields: &mut Fields, now_ms: u64) -> Result<Option<Option<u64>>, ApiError> {
    let text: Option<Option<String>> =
        fields.take_nullable("expires", "a text like `7d`, or null for never")?;
    let Some(text) = text else { return Ok(None) };
    text.map(|text| fields.within("expires", parse_expiry(&text, now_ms)))
        .transpose()
        .map(Some)
}

/// A duration from now such as `7d`, `12h`, `30m`, or a future RFC 3339 instant.
fn parse_expiry(text: &str, now_ms: u64) -> Result<u64, ApiError> {
    let from_now_ms = duration_ms(text).map(|duration_ms| now_ms.saturating_add(duration_ms));
    let Some(expires_ms) = from_now_ms.or_else(|| Zone::parse_rfc3339(text)) else {
        return Err(ApiError::invalid(
            "must be a time from now like `7d`, `12h`, `30m`, or an instant like `2026-12-31T00:00:00Z`",
        ));
    };
    if expires_ms <= now_ms {
        return Err(ApiError::invalid("must be in the future"));
    }
    if expires_ms - now_ms > EXPIRY_DAYS_MAX * 86_400_000 {
        return Err(ApiError::invalid(format!(
            "must be at most {EXPIRY_DAYS_MAX} days ahead; leave it out for a key that never expires"
        )));
    }
    Ok(expires_ms)
}

fn duration_ms(text: &str) -> Option<u64> {
    let (count, unit_ms) = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000u64)]
        .into_iter()
        .find_map(|(letter, unit_ms)| Some((text.strip_suffix(letter)?, unit_ms)))?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    count.parse::<u64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests;
