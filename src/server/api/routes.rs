//! `/v1/routes`: names of the routes, with what only roles of the instance see: targets, policies, and the health of each deployment.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::role::may;
use crate::config::{CallTimeouts, TargetConfig};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::role::Scope;
use crate::route::{Health, Route};
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;

/// `GET /v1/routes`: roles of an organization or team see names only.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadRoutes)?;
    let detailed = grant.covers_all(Scope::Instance);
    let table = call.gateway.routes();
    let data: Vec<Value> = table
        .all_routes()
        .map(|route| route_json(route, detailed))
        .collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

/// `GET /v1/routes/{id}`, by the name of the route.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadRoutes)?;
    let route = find(&call)?;
    ApiReply::ok(&route_json(&route, grant.covers_all(Scope::Instance)))
}

/// `GET /v1/routes/{id}/health`: breaker, calls in flight and bounds of every deployment of the route.
pub(crate) async fn health(call: ApiCall) -> Result<ApiReply, ApiError> {
    call.grant(may::ReadRouteHealth)?;
    let route = find(&call)?;
    let now_ms = call.control.boot_ms();
    let deployments = route.health().flat_map(|(target, health)| {
        health
            .iter()
            .map(move |health| health_json(target, health, now_ms))
    });
    ApiReply::ok(&json!({
        "object": "route_health",
        "name": route.config.name,
        "deployments": deployments.collect::<Vec<_>>(),
    }))
}

fn find(call: &ApiCall) -> Result<Arc<Route>, ApiError> {
    let name = decoded(&call.id);
    let table = call.gateway.routes();
    let found = table.all_routes().find(|route| route.config.name == name);
    found.cloned().ok_or_else(|| {
        let message = "unknown route; list them to see which exist";
        ApiError::new(ErrorCode::NotFound, message)
    })
}

/// The part of a path with its percent-encoding undone; names of routes may contain a slash.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = part.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if escaped.is_some() { 3 } else { 1 };
        decoded.push(escaped.unwrap_or(*byte));
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn route_json(route: &Route, detailed: bool) -> Value {
    let config = &route.config;
    let mut json = json!({ "object": "route", "name": config.name });
    if !detailed {
        return json;
    }
    let targets: Vec<Value> = config.targets.iter().map(target_json).collect();
    let retry_on = FailureClass::ALL.into_iter();
    let retry_on = retry_on.filter(|class| config.retry.retry_on.contains(*class));
    let retry_on: Vec<&str> = retry_on.map(FailureClass::as_str).collect();
    json["strategy"] = json!(config.strategy.as_str());
    json["affinity"] = json!(if config.affinity { "cache_key" } else { "off" });
    json["targets"] = json!(targets);
    json["retry_on"] = json!(retry_on);
    json["max_retries"] = json!(config.retry.max_retries);
    json["max_attempts"] = json!(config.retry.max_attempts);
    json["timeouts"] = timeouts_json(config.timeouts);
    json["defaults"] = parameters(&config.defaults);
    json["override"] = parameters(&config.overrides);
    json["fallbacks"] = json!(config.fallbacks);
    json["context_fallbacks"] = json!(config.context_fallbacks);
    json["content_fallbacks"] = json!(config.content_fallbacks);
    json["managed_by_file"] = json!(true);
    json
}

fn target_json(target: &TargetConfig) -> Value {
    json!({
        "model": target.model,
        "weight": target.weight,
        "order": target.order,
        "rpm": target.limits.rpm,
        "tpm": target.limits.tpm,
        "timeouts": timeouts_json(target.timeouts),
    })
}

/// Timeouts of this place alone; those that are null are inherited.
fn timeouts_json(timeouts: CallTimeouts) -> Value {
    let seconds = |ms: Option<u64>| ms.map(|ms| ms / 1_000);
    json!({
        "connect_timeout_s": seconds(timeouts.connect_ms),
        "head_timeout_s": seconds(timeouts.head_ms),
        "first_content_timeout_s": seconds(timeouts.first_content_ms),
        "idle_timeout_s": seconds(timeouts.idle_ms),
        "call_timeout_s": seconds(timeouts.call_ms),
    })
}

fn parameters(parameters: &[(String, String)]) -> Value {
    let members = parameters.iter().map(|(name, json)| {
        let value = serde_json::from_str(json).unwrap_or_default();
        (name.clone(), value)
    });
    Value::Object(members.collect::<Map<String, Value>>())
}

fn health_json(target: &TargetConfig, health: &Health, now_ms: u64) -> Value {
    let status = health.status(now_ms);
    json!({
        "target": target.model,
        "deployment": health.name,
        "key": health.key,
        "state": status.state.as_str(),
        "cooldown_ms": status.cooldown_ms,
        "cooldowns": status.opened,
        "in_flight": status.in_flight,
        "first_content_ms": status.first_content_ms,
        "rpm": status.limits.rpm,
        "tpm": status.limits.tpm,
        // of the last minute, counted where there are bounds
        "requests": status.requests,
        "tokens": status.tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_name_in_a_path_is_decoded_once() {
        for (part, name) in [
            ("smart", "smart"),
            ("openai%2F*", "openai/*"),
            ("a%252Fb%zz%4", "a%2Fb%zz%4"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(decoded(part), name);
        }
    }
}
