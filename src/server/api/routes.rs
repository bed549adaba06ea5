//! `/v1/routes` and `/v1/aliases`: list, create, get, change, delete. Roles of an organization or team see names only.

use serde_json::{Map, Value, json};

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::config::{CallTimeouts, MirrorConfig, RouteConfig, TargetConfig};
use crate::control::{DeclaredObject, RoutedName};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::role::Scope;
use crate::route::Health;
use crate::server::api::call::ApiCall;
use crate::server::api::declaration_fields::{add_declaration, parse_change, parse_new};
use crate::server::api::reply::ApiReply;

/// `GET /v1/routes`.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    list_of(&call, RoutedName::Route)
}

/// `POST /v1/routes`.
pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    create_as(call, RoutedName::Route).await
}

/// `GET /v1/routes/{id}`.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    get_as(&call, RoutedName::Route)
}

/// `PATCH /v1/routes/{id}`.
pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    change_as(call, RoutedName::Route).await
}

/// `DELETE /v1/routes/{id}`.
pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    delete_as(call, RoutedName::Route).await
}

/// `GET /v1/routes/{id}/health`: breaker, calls in flight and bounds of every deployment of the route; figures of its mirror.
pub(crate) async fn health(call: ApiCall) -> Result<ApiReply, ApiError> {
    call.grant(may::ReadRouteHealth)?;
    let (name, table) = (name_of(&call.id), call.gateway.routes());
    let found = table.all_routes().find(|route| route.config.name == name);
    let route = found.ok_or_else(|| {
        let message = "unknown route; list them to see which exist";
        ApiError::new(ErrorCode::NotFound, message)
    })?;
    let now_ms = call.control.boot_ms();
    let mut deployments = Vec::new();
    for (target, health) in route.health() {
        let of_target = health.iter().map(|one| health_json(target, one, now_ms));
        deployments.extend(of_target);
    }
    let mirror = route.config.mirror.as_ref();
    ApiReply::ok(&json!({
        "object": "route_health",
        "name": route.config.name,
        "deployments": deployments,
        "mirror": mirror.map(|mirror| mirror_figures(&call, mirror)),
    }))
}

/// Figures of the copies at the target of a mirror since the start, from whichever route.
fn mirror_figures(call: &ApiCall, mirror: &MirrorConfig) -> Value {
    let resolved = call.gateway.routes().resolve(&mirror.target).ok();
    let mut targets = resolved.into_iter().flat_map(|found| found.targets);
    let deployment = targets.next().map(|target| target.deployment.qualified());
    let figures = deployment
        .as_deref()
        .map(|name| call.gateway.mirrors().of_target(name));
    let figures = figures.unwrap_or_default();
    let mut json = mirror_json(mirror);
    json["deployment"] = json!(deployment);
    json["ok"] = json!(figures.ok);
    json["failed"] = json!(figures.failed);
    json["cost_usd"] = json!(figures.cost.to_string());
    json["total_ms"] = json!(figures.total_ms);
    json["first_content_ms"] = json!(figures.first_content_ms);
    json
}

fn mirror_json(mirror: &MirrorConfig) -> Value {
    json!({
        "target": mirror.target,
        "share": f64::from(mirror.share_ppm) / 1e6,
        "budget": mirror.budget.to_string(),
    })
}

/// `GET /v1/aliases`.
pub(crate) async fn list_aliases(call: ApiCall) -> Result<ApiReply, ApiError> {
    list_of(&call, RoutedName::Alias)
}

/// `POST /v1/aliases`.
pub(crate) async fn create_alias(call: ApiCall) -> Result<ApiReply, ApiError> {
    create_as(call, RoutedName::Alias).await
}

/// `GET /v1/aliases/{id}`.
pub(crate) async fn get_alias(call: ApiCall) -> Result<ApiReply, ApiError> {
    get_as(&call, RoutedName::Alias)
}

/// `PATCH /v1/aliases/{id}`.
pub(crate) async fn change_alias(call: ApiCall) -> Result<ApiReply, ApiError> {
    change_as(call, RoutedName::Alias).await
}

/// `DELETE /v1/aliases/{id}`.
pub(crate) async fn delete_alias(call: ApiCall) -> Result<ApiReply, ApiError> {
    delete_as(call, RoutedName::Alias).await
}

fn list_of(call: &ApiCall, kind: RoutedName) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadRoutes)?;
    let detailed = grant.covers_all(Scope::Instance);
    let listed = objects(call, &grant, kind)?;
    let data: Vec<Value> = listed
        .iter()
        .map(|object| object.json(kind, detailed))
        .collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

async fn create_as(call: ApiCall, kind: RoutedName) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeRoutes)?;
    let (name, members) = parse_new(&call.body)?;
    let created = call.control.create_route(&grant, kind, &name, members);
    created.await?;
    Ok(ApiReply {
        status: 201,
        ..show(&call, kind, &name)?
    })
}

fn get_as(call: &ApiCall, kind: RoutedName) -> Result<ApiReply, ApiError> {
    show(call, kind, &name_of(&call.id))
}

async fn change_as(call: ApiCall, kind: RoutedName) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeRoutes)?;
    let (name, members) = (name_of(&call.id), parse_change(&call.body)?);
    let changed = call.control.change_route(&grant, kind, &name, members);
    changed.await?;
    show(&call, kind, &name)
}

async fn delete_as(call: ApiCall, kind: RoutedName) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeRoutes)?;
    let name = name_of(&call.id);
    call.control.delete_route(&grant, kind, &name).await?;
    Ok(ApiReply::deleted())
}

fn show(call: &ApiCall, kind: RoutedName, name: &str) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadRoutes)?;
    let listed = objects(call, &grant, kind)?;
    let found = listed.into_iter().find(|object| object.name == name);
    let object = found.ok_or_else(|| {
        let message = format!("unknown {}; list them to see which exist", kind.as_str());
        ApiError::new(ErrorCode::NotFound, message)
    })?;
    let detailed = grant.covers_all(Scope::Instance);
    let reply = ApiReply::ok(&object.json(kind, detailed))?;
    Ok(match &object.declared {
        Some(declared) => reply.with_version(&declared.version),
        None => reply,
    })
}

/// The router leaves these three as they are written in a path.
fn name_of(id: &str) -> String {
    let name = id.replace("%2F", "/").replace("%2f", "/");
    name.replace("%2B", "+")
        .replace("%2b", "+")
        .replace("%25", "%")
}

/// A route or an alias, in force or only declared.
struct RoutedObject {
    name: String,
    /// members of what is in force
    in_force: Option<Value>,
    declared: Option<DeclaredObject>,
}

impl RoutedObject {
    fn json(&self, kind: RoutedName, detailed: bool) -> Value {
        let mut json = json!({ "object": kind.as_str(), "id": self.name, "name": self.name });
        if !detailed {
            return json;
        }
        if let Some(members) = self.in_force.as_ref().and_then(Value::as_object) {
            for (name, value) in members {
                json[name] = value.clone();
            }
        }
        add_declaration(&mut json, self.declared.as_ref());
        json
    }
}

fn objects(
    call: &ApiCall,
    grant: &Grant<may::ReadRoutes>,
    kind: RoutedName,
) -> Result<Vec<RoutedObject>, ApiError> {
    let table = call.gateway.routes();
    let in_force: Vec<(String, Value)> = match kind {
        RoutedName::Route => {
            let routes = table.all_routes();
            let route = |config: &RouteConfig| (config.name.clone(), route_json(config));
            routes.map(|found| route(&found.config)).collect()
        }
        RoutedName::Alias => {
            let aliases = table.aliases();
            let alias =
                |(name, target): (&String, &String)| (name.clone(), json!({ "target": target }));
            aliases.map(alias).collect()
        }
    };
    let mut declared = call.control.declared_routes(grant, kind)?;
    let mut objects: Vec<RoutedObject> = in_force
        .into_iter()
        .map(|(name, members)| {
            let index = declared.iter().position(|one| one.row.name == name);
            RoutedObject {
                declared: index.map(|index| declared.swap_remove(index)),
                in_force: Some(members),
                name,
            }
        })
        .collect();
    objects.extend(declared.into_iter().map(|declared| RoutedObject {
        name: declared.row.name.clone(),
        in_force: None,
        declared: Some(declared),
    }));
    objects.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(objects)
}

fn route_json(route: &RouteConfig) -> Value {
    let targets: Vec<Value> = route.targets.iter().map(target_json).collect();
    let retry_on = FailureClass::ALL.into_iter();
    let retry_on = retry_on.filter(|class| route.retry.retry_on.contains(*class));
    let retry_on: Vec<&str> = retry_on.map(FailureClass::as_str).collect();
    json!({
        "strategy": route.strategy.as_str(),
        "targets": targets,
        "affinity": route.affinity,
        "retry_on": retry_on,
        "max_retries": route.retry.max_retries,
        "max_attempts": route.retry.max_attempts,
        "timeouts": timeouts_json(route.timeouts),
        "defaults": parameters(&route.defaults),
        "override": parameters(&route.overrides),
        "fallbacks": route.fallbacks,
        "context_fallbacks": route.context_fallbacks,
        "content_fallbacks": route.content_fallbacks,
        "mirror": route.mirror.as_ref().map(mirror_json),
    })
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
