//! `/v1/keys`: virtual keys, and administrative keys by way of `admin_keys`: list, create, get, change, delete, verify, import. A secret is
//! rendered once, in the answer to its creation.

use crate::auth::role::may;
use crate::control::key_import::ImportedKey;
use crate::control::keys::{KeyChange, KeyFilter, KeyParent, NewVirtualKey};
use crate::control::rotation::{GRACE_DEFAULT_MS, GRACE_MAX_MS};
use crate::domain::api_error::ApiError;
use crate::domain::id::{AdminKeyId, KeyId};
use crate::domain::secret::Secret;
use crate::domain::tenant::SecretHash;
use crate::server::api::admin_keys;
use crate::server::api::body::Fields;
use crate::server::api::budget_fields::take_budgets;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::expiry::{duration_ms, take_expiry};
use crate::server::api::limit_fields::take_limits;
use crate::server::api::list_query::{Deletion, ListQuery, next, parse_deletion};
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::{
    take_endpoints, take_labels, take_max_cost, take_models, take_name, take_optional_name,
};
use crate::server::api::views::{KeyJson, KeyStatusJson, List};

const TEAM: &str = "the id or the name of a team";

/// `?admin=true` lists administrative keys instead; the other parameters filter.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let number = |text: &str| {
        let admin = AdminKeyId::parse(text).map(|id| id.0);
        admin.or(KeyId::parse(text).map(|id| id.0))
    };
    let mut query = ListQuery::parse(&call.query, number)?;
    if query.take_bool("admin")?.unwrap_or(false) {
        return admin_keys::list(&call, query).await;
    }
    let grant = call.grant(may::ReadKeys)?;
    let parent = query.take("parent");
    let filter = KeyFilter {
        team: query.take("team"),
        user: query.take("user"),
        parent: parent
            .map(|id| known(KeyId::parse(&id), "key"))
            .transpose()?,
        name: query.take("name"),
        tag: query.take("tag"),
        disabled: query.take_bool("disabled")?,
    };
    let page = query.finish("the list of keys")?;
    let page = call.control.keys(&grant, &filter, page).await?;
    ApiReply::ok(&List {
        data: page.items.iter().map(KeyJson::of).collect(),
        next: next(&page, |key| key.record.id),
    })
}

/// `"admin": true` asks for an administrative key.
pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let mut fields = Fields::of_body(&call.body)?;
    if fields.take("admin", "true or false")?.unwrap_or(false) {
        return admin_keys::create(&call, fields).await;
    }
    let grant = call.grant(may::ChangeKeys)?;
    let new = parse_new(fields, call.control.now_ms())?;
    let (key, secret) = call.control.create_key(&grant, new).await?;
    Ok(ApiReply::created(&KeyJson::of(&key).with_secret(&secret))?.with_version(&key.version()))
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    if let Some(id) = AdminKeyId::parse(&call.id) {
        return admin_keys::get(&call, id).await;
    }
    let grant = call.grant(may::ReadKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    let key = call.control.key(&grant, id).await?;
    Ok(ApiReply::ok(&KeyJson::of(&key))?.with_version(&key.version()))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    if let Some(id) = AdminKeyId::parse(&call.id) {
        return admin_keys::change(&call, id).await;
    }
    let grant = call.grant(may::ChangeKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    let update = parse_change(&call.body, call.control.now_ms())?;
    let changed = call.control.change_key(&grant, id, update).await?;
    Ok(ApiReply::ok(&KeyJson::of(&changed))?.with_version(&changed.version()))
}

pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    let Deletion { cascade, now } = parse_deletion(&call.query)?;
    if let Some(id) = AdminKeyId::parse(&call.id) {
        return admin_keys::delete(&call, id).await;
    }
    let grant = call.grant(may::ChangeKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    call.control.delete_key(&grant, id, cascade, now).await?;
    Ok(ApiReply::deleted())
}

/// `POST /v1/keys/{id}/rotate`: `grace` is a duration such as `24h`; `0h` ends the present secret at once.
pub(crate) async fn rotate(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    let grace_ms = parse_grace(&call.body)?;
    let (key, secret) = call.control.rotate_key(&grant, id, grace_ms).await?;
    Ok(ApiReply::ok(&KeyJson::of(&key).with_secret(&secret))?.with_version(&key.version()))
}

/// `POST /v1/keys/import`: a key of another gateway, by the SHA-256 of its secret.
pub(crate) async fn import(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ImportKeys)?;
    let new = parse_imported(&call.body, call.control.now_ms())?;
    let key = call.control.import_key(&grant, new).await?;
    Ok(ApiReply::created(&KeyJson::of(&key))?.with_version(&key.version()))
}

/// `POST /v1/keys/verify`: status of the key with the secret in the body.
pub(crate) async fn verify(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadKeys)?;
    let secret = parse_secret(&call.body)?;
    let status = call.control.key_status(&grant, secret.expose()).await?;
    ApiReply::ok(&KeyStatusJson::of(&status))
}

fn parse_new(mut fields: Fields, now_ms: u64) -> Result<NewVirtualKey, ApiError> {
    let parent = take_parent(&mut fields)?;
    let user = fields.take("user", "the id or the e-mail address of a user")?;
    let new = take_new(&mut fields, parent, user, now_ms)?;
    fields.finish()?;
    Ok(new)
}

fn take_new(
    fields: &mut Fields,
    parent: KeyParent,
    user: Option<String>,
    now_ms: u64,
) -> Result<NewVirtualKey, ApiError> {
    Ok(NewVirtualKey {
        name: take_name(fields)?,
        parent,
        user,
        models: take_models(fields)?.unwrap_or_default(),
        endpoints: take_endpoints(fields)?.flatten(),
        labels: take_labels(fields)?.into_new(),
        max_cost: take_max_cost(fields)?.flatten(),
        expires_ms: take_expiry(fields, now_ms)?.flatten(),
        budgets: take_budgets(fields)?.unwrap_or_default(),
        limits: take_limits(fields)?.unwrap_or_default(),
    })
}

fn parse_imported(body: &[u8], now_ms: u64) -> Result<ImportedKey, ApiError> {
    const HINT_CHARS_MAX: usize = 4;
    let mut fields = Fields::of_body(body)?;
    let sha256: String = fields.require("sha256", "64 hexadecimal digits")?;
    let sha256 = parse_sha256(&sha256).ok_or_else(|| {
        fields.invalid(
            "sha256",
            "must be the SHA-256 of a secret, 64 hexadecimal digits",
        )
    })?;
    let hint: String = fields
        .take("hint", "the last characters of the secret")?
        .unwrap_or_default();
    if hint.len() > HINT_CHARS_MAX || !hint.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!("must be at most {HINT_CHARS_MAX} visible characters");
        return Err(fields.invalid("hint", problem));
    }
    let disabled: Option<bool> = fields.take("disabled", "true or false")?;
    let spent = fields.take_money("spent_usd")?;
    let team = KeyParent::Team(fields.require("team", TEAM)?);
    let new = ImportedKey {
        key: take_new(&mut fields, team, None, now_ms)?,
        sha256,
        hint,
        disabled: disabled.unwrap_or(false),
        spent: spent.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

fn parse_sha256(text: &str) -> Option<SecretHash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(hash)
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
        name: take_optional_name(&mut fields)?,
        models: take_models(&mut fields)?,
        endpoints: take_endpoints(&mut fields)?,
        labels: take_labels(&mut fields)?,
        max_cost: take_max_cost(&mut fields)?,
        expires_ms: take_expiry(&mut fields, now_ms)?,
        disabled: fields.take_not_null("disabled", "true or false")?,
        now: fields.take("now", "true or false")?.unwrap_or(false),
        budgets: take_budgets(&mut fields)?,
        limits: take_limits(&mut fields)?,
    };
    fields.finish_change()?;
    Ok(change)
}

/// The body may be empty.
fn parse_grace(body: &[u8]) -> Result<u64, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    let mut fields = Fields::of_body(body)?;
    let text: Option<String> = fields.take("grace", "a duration like `24h`")?;
    let grace_ms = match &text {
        None => GRACE_DEFAULT_MS,
        Some(text) => duration_ms(text)
            .filter(|grace_ms| *grace_ms <= GRACE_MAX_MS)
            .ok_or_else(|| {
                fields.invalid(
                    "grace",
                    "must be a duration like `24h`, `30m` or `7d`, at most `90d`",
                )
            })?,
    };
    fields.finish()?;
    Ok(grace_ms)
}

fn parse_secret(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let text: String = fields.require("key", "the text of a key")?;
    fields.finish()?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests;
