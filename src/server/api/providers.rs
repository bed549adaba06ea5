//! `/v1/providers`: list, create, get, change, delete and test. Roles of an organization or team see names only. `/v1/prices`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::config::{PriceSetting, Provider};
use crate::control::DeclaredObject;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::provider_key::ProviderKey;
use crate::domain::role::Scope;
use crate::gateway::{PricedModel, ProviderVerdict};
use crate::price::Row;
use crate::server::api::call::ApiCall;
use crate::server::api::declaration_fields::{add_declaration, parse_change, parse_new};
use crate::server::api::list_query::ListQuery;
use crate::server::api::reply::ApiReply;

/// `GET /v1/providers`: roles of an organization or team see names only.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadProviders)?;
    let (in_force, declared) = known(&call, &grant)?;
    let out_of_force = declared.iter().filter(|declared| {
        !in_force
            .iter()
            .any(|provider| provider.name == declared.row.name)
    });
    let detailed = grant.covers_all(Scope::Instance);
    let listed = in_force.iter().map(|provider| {
        let declared = declared.iter().find(|one| one.row.name == provider.name);
        provider_json(Some(provider), declared, detailed)
    });
    let faulty = out_of_force.map(|declared| provider_json(None, Some(declared), detailed));
    let data: Vec<Value> = listed.chain(faulty).collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

/// `GET /v1/providers/{id}`.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadProviders)?;
    show(&call, &grant, &call.id, None)
}

/// `POST /v1/providers`.
pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeProviders)?;
    let (name, members) = parse_new(&call.body)?;
    let created = call.control.create_provider(&grant, &name, members).await?;
    let shown = show(
        &call,
        &call.grant(may::ReadProviders)?,
        &name,
        Some(created),
    )?;
    Ok(ApiReply {
        status: 201,
        ..shown
    })
}

/// `PATCH /v1/providers/{id}`.
pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeProviders)?;
    let members = parse_change(&call.body)?;
    let changed = call.control.change_provider(&grant, &call.id, members);
    let changed = changed.await?;
    show(
        &call,
        &call.grant(may::ReadProviders)?,
        &call.id,
        Some(changed),
    )
}

/// `DELETE /v1/providers/{id}`.
pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeProviders)?;
    call.control.delete_provider(&grant, &call.id).await?;
    Ok(ApiReply::deleted())
}

type KnownProviders = (Vec<Arc<Provider>>, Vec<DeclaredObject>);

/// Providers in force, and those declared through the API.
fn known(call: &ApiCall, grant: &Grant<may::ReadProviders>) -> Result<KnownProviders, ApiError> {
    let declared = call.control.declared_providers(grant)?;
    Ok((call.gateway.providers(), declared))
}

/// The provider of a name; `edited` is its declaration as an edit has left it.
fn show(
    call: &ApiCall,
    grant: &Grant<may::ReadProviders>,
    name: &str,
    edited: Option<DeclaredObject>,
) -> Result<ApiReply, ApiError> {
    let (in_force, declared) = known(call, grant)?;
    let provider = in_force.iter().find(|provider| provider.name == name);
    let stored = declared.into_iter().find(|one| one.row.name == name);
    let declared = edited.or(stored);
    if provider.is_none() && declared.is_none() {
        return Err(unknown_provider());
    }
    let detailed = grant.covers_all(Scope::Instance);
    let provider = provider.map(Arc::as_ref);
    let reply = ApiReply::ok(&provider_json(provider, declared.as_ref(), detailed))?;
    Ok(match &declared {
        Some(declared) => reply.with_version(&declared.version),
        None => reply,
    })
}

fn unknown_provider() -> ApiError {
    let message = "unknown provider; list them to see which exist";
    ApiError::new(ErrorCode::NotFound, message)
}

/// `POST /v1/providers/{id}/test`.
pub(crate) async fn test(call: ApiCall) -> Result<ApiReply, ApiError> {
    call.grant(may::TestProviders)?;
    let mut providers = call.gateway.providers().into_iter();
    let provider = providers.find(|provider| provider.name == call.id);
    let provider = provider.ok_or_else(unknown_provider)?;
    let tested = call.gateway.test_provider(&call.client, &provider).await;
    let tested = tested.ok_or_else(|| {
        let message = "this provider has no endpoint for conversations to test";
        ApiError::new(ErrorCode::Conflict, message)
    })?;
    let reason = match &tested.verdict {
        ProviderVerdict::Unreachable(reason) => Some(reason.as_str()),
        _ => None,
    };
    ApiReply::ok(&json!({
        "object": "provider_test",
        "provider": provider.name,
        "ok": tested.verdict == ProviderVerdict::Ok,
        "verdict": tested.verdict.as_str(),
        "status": tested.status,
        "reason": reason,
        "total_ms": tested.total_ms,
        "key": tested.key,
    }))
}

fn provider_json(
    provider: Option<&Provider>,
    declared: Option<&DeclaredObject>,
    detailed: bool,
) -> Value {
    let stored = declared.map(|declared| declared.row.name.as_str());
    let name = provider.map(|provider| provider.name.as_str()).or(stored);
    let mut json = json!({ "object": "provider", "id": name, "name": name });
    if !detailed {
        return json;
    }
    if let Some(provider) = provider {
        let price = match provider.price {
            PriceSetting::Sheet(vendor) => json!({ "sheet": vendor }),
            PriceSetting::Free => json!("free"),
            PriceSetting::Own(_) => json!("own"),
            PriceSetting::Reported => json!("reported"),
        };
        json["type"] = json!(provider.preset.name);
        json["base_url"] = json!(provider.base_url);
        json["has_credential"] = json!(provider.has_credential());
        json["price"] = price;
        json["models"] = json!(provider.models);
        json["api_keys"] = provider.api_keys.iter().map(key_json).collect();
    }
    add_declaration(&mut json, declared);
    json
}

/// An API key without its secret.
fn key_json(key: &ProviderKey) -> Value {
    json!({
        "id": key.name,
        "name": key.name,
        "weight": key.weight,
        "rpm": key.limits.rpm,
        "tpm": key.limits.tpm,
    })
}

/// Pico-dollars per token are micro-dollars per million tokens.
fn per_million(pico: u64) -> String {
    let (dollars, micro) = (pico / 1_000_000, pico % 1_000_000);
    let text = format!("{dollars}.{micro:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `GET /v1/prices`: the models that resolve here, each with its rates; `?provider=` and `?model=` filter.
pub(crate) async fn prices(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadPrices)?;
    let own_rates = grant.covers_all(Scope::Instance);
    let mut query = ListQuery::parse(&call.query, |text| text.parse().ok())?;
    let (provider, model) = (query.take("provider"), query.take("model"));
    let page = query.finish("the list of prices")?;
    let (rows, as_of) = call.gateway.prices();
    let matching = rows.into_iter().filter(|row| {
        provider.as_ref().is_none_or(|name| row.provider == *name)
            && model
                .as_ref()
                .is_none_or(|name| row.name.contains(name.as_str()))
    });
    let after = page.after as usize;
    let mut shown: Vec<Value> = matching
        .skip(after)
        .take(page.limit + 1)
        .map(|row| price_json(&row, own_rates))
        .collect();
    let more = shown.len() > page.limit;
    shown.truncate(page.limit);
    let next = more.then(|| (after + shown.len()).to_string());
    ApiReply::ok(&json!({ "data": shown, "next": next, "as_of": as_of }))
}

/// Rates that the operator sets are shown to roles of the instance only.
pub(super) fn price_json(row: &PricedModel, own_rates: bool) -> Value {
    let rates = row.rates.filter(|_| own_rates || row.source == "sheet");
    let rate = |index: usize| rates.map(|rates| per_million(rates[index]));
    json!({
        "object": "price",
        "name": row.name,
        "provider": row.provider,
        "model": row.model,
        "source": row.source,
        "input_per_million": rate(0),
        "cached_input_per_million": rate(1),
        "output_per_million": rate(2),
        "place": row.place,
        "context": row.context,
        "max_output": row.max_output,
        "listed": row.row.as_deref().map(listed_json),
    })
}

/// Facts of the price sheet about a model.
fn listed_json(row: &Row) -> Value {
    json!({
        "model": row.model,
        "mode": row.mode.as_str(),
        "capabilities": row.capabilities,
        "lacks": row.lacks,
        "deprecated_on": row.deprecated_on,
        "successor": row.successor,
        "profile_of": row.profile_of,
        "cache_write_ttl": row.cache_write_ttl,
        "cache_min_tokens": row.cache_min_tokens,
        "vector_size": row.vector_size,
        // reasons to verify the prices: the dearer of two public figures applies
        "doubtful": row.doubtful,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_a_plain_decimal_of_dollars_per_million_tokens() {
        for (pico, expected) in [
            (2_500_000, "2.5"),
            (1, "0.000001"),
            (3_000_000, "3"),
            (0, "0"),
        ] {
            assert_eq!(per_million(pico), expected);
        }
    }
}
