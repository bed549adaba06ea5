//! `GET /v1/keys/{id}/resolve?model=NAME`: the targets to which a model name leads for a key.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::domain::api_error::ApiError;
use crate::domain::id::KeyId;
use crate::gateway::ResolvedTarget;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::query::{parameters, unknown_parameter};
use crate::server::api::reply::ApiReply;

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadKeys)?;
    let id = known(KeyId::parse(&call.id), "key")?;
    let key = call.control.key(&grant, id).await?;
    let name = parse(&call.query)?;
    let directory = call.control.directory();
    let caller = known(directory.key(id), "key")?;
    let resolved = call.gateway.resolve_for(caller, &name)?;
    ApiReply::ok(&json!({
        "object": "resolution",
        "name": name,
        "key": key.record.id.to_string(),
        "route": resolved.route,
        "strategy": resolved.strategy,
        "targets": resolved.targets.iter().map(target_json).collect::<Vec<_>>(),
    }))
}

fn parse(query: &str) -> Result<String, ApiError> {
    let mut name = None;
    for (parameter, value) in parameters(query)? {
        match parameter.as_str() {
            "model" => name = Some(value),
            other => {
                return Err(unknown_parameter(
                    other,
                    "the resolution of a name",
                    "model",
                ));
            }
        }
    }
    name.ok_or_else(|| ApiError::invalid("`model` is missing; name a model").with_param("model"))
}

fn target_json(target: &ResolvedTarget) -> Value {
    json!({
        "list": target.list,
        "name": target.name,
        "target": target.deployment,
        "weight": target.weight,
        "order": target.order,
        "allowed": target.reason.is_none(),
        "reason": target.reason,
    })
}
