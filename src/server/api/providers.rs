//! `/v1/providers`: names of the configured providers, with what only roles of the instance see; test of one; `/v1/prices`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::config::{PriceSetting, Provider};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::role::Scope;
use crate::gateway::{PricedModel, ProviderVerdict};
use crate::price::Row;
use crate::server::api::call::ApiCall;
use crate::server::api::list_query::ListQuery;
use crate::server::api::reply::ApiReply;

/// `GET /v1/providers`: roles of an organization or team see names only.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadProviders)?;
    let detailed = grant.covers_all(Scope::Instance);
    let providers = call.gateway.providers();
    let data: Vec<Value> = providers
        .iter()
        .map(|provider| provider_json(provider, detailed))
        .collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

/// `POST /v1/providers/{id}/test`.
pub(crate) async fn test(call: ApiCall) -> Result<ApiReply, ApiError> {
    call.grant(may::TestProviders)?;
    let mut providers = call.gateway.providers().into_iter();
    let provider = providers.find(|provider| provider.name == call.id);
    let provider = provider.ok_or_else(|| {
        let message = "unknown provider; list them to see which exist";
        ApiError::new(ErrorCode::NotFound, message)
    })?;
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

fn provider_json(provider: &Arc<Provider>, detailed: bool) -> Value {
    let mut json = json!({ "object": "provider", "name": provider.name });
    if detailed {
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
        json["managed_by_file"] = json!(true);
    }
    json
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
