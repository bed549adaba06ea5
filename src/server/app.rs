//! Every URL and method of the server on one page, on actix-web's router. Contains no handler.

use std::sync::OnceLock;

use actix_web::guard::fn_guard;
use actix_web::http::Method;
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route};

use crate::auth::role::{Action, may};
use crate::dialect::{Dialect, Operation};
use crate::server::api::{
    ApiResource, alerts, audit, audit_verification, backup, budgets, cache, captures, clock,
    drills, instance as instance_facts, keys, ledger, me, openapi, organizations, prices,
    providers, reasoning_memory, requests, resolution, resource, routes as api_routes, settings,
    sign_in, state, teams, usage, users,
};
use crate::server::endpoint_row::{EndpointAccess, EndpointRow};
use crate::server::public_url::OIDC_CALLBACK;
use crate::server::surface::Surface;
use crate::server::{dashboard, health, inference, oidc};

/// Prefixes that SDKs make of a base URL with or without `/v1`.
const PREFIXES: [&str; 3] = ["/v1", "", "/v1/v1"];
const INFERENCE: [(&str, Dialect, Operation); 5] = [
    ("/chat/completions", Dialect::Chat, Operation::Conversation),
    ("/responses", Dialect::Responses, Operation::Conversation),
    ("/messages", Dialect::Messages, Operation::Conversation),
    (
        "/messages/count_tokens",
        Dialect::Messages,
        Operation::TokenCount,
    ),
    ("/embeddings", Dialect::Chat, Operation::Embeddings),
];

pub(super) fn routes(app: &mut ServiceConfig, surface: Surface) {
    // first, because a path is compared with one URL after the other
    if surface != Surface::Administration {
        for prefix in PREFIXES {
            data_plane(app, prefix);
        }
    }
    health(app);
    if surface != Surface::Models {
        operation(app);
        pages(app);
        sign_in(app);
        control_plane(app);
    }
    app.default_service(web::to(inference::not_served));
}

fn health(app: &mut ServiceConfig) {
    let home = url("/", "GET, HEAD").route(web::get().to(dashboard::home));
    app.service(home.route(web::head().to(health::probe)));
    for path in ["/healthz", "/health/liveliness"] {
        app.route(path, web::get().to(health::alive));
    }
    for path in ["/readyz", "/health/readiness"] {
        app.route(path, web::get().to(health::ready));
    }
}

fn operation(app: &mut ServiceConfig) {
    app.route("/metrics", web::get().to(health::metrics));
}

/// Files of the dashboard.
fn pages(app: &mut ServiceConfig) {
    let asset = web::get().to(dashboard::asset);
    app.service(url("/ui/assets/{hash}/{file:.+}", "GET").route(asset));
    for path in ["/ui", "/ui/{page:.*}"] {
        app.service(url(path, "GET").route(web::get().to(dashboard::page)));
    }
}

/// Calls without a credential that start a session.
fn sign_in(app: &mut ServiceConfig) {
    let start = web::post().to(sign_in::start);
    let ways = web::get().to(sign_in::ways);
    app.service(url("/v1/sign-in", "GET, POST").route(start).route(ways));
    let redeem = web::post().to(sign_in::redeem);
    app.service(url("/v1/sign-in/link", "POST").route(redeem));
    let begin = web::get().to(oidc::begin);
    app.service(url("/sign-in/oidc", "GET").route(begin));
    let callback = web::get().to(oidc::callback);
    app.service(url(OIDC_CALLBACK, "GET").route(callback));
}

/// Dialect and operation of a model call at one of the usual URLs, which is answered without the router. All other spellings of a
/// URL are left to it.
pub(super) fn model_call(
    surface: Surface,
    method: &Method,
    path: &str,
) -> Option<(Dialect, Operation)> {
    if surface == Surface::Administration || method != Method::POST {
        return None;
    }
    let served = |prefix: &&str| {
        let rest = path.strip_prefix(prefix)?;
        INFERENCE.iter().find(|(path, ..)| *path == rest)
    };
    let (_, dialect, operation) = PREFIXES.iter().find_map(served)?;
    Some((*dialect, *operation))
}

fn data_plane(app: &mut ServiceConfig, prefix: &str) {
    for (path, dialect, operation) in INFERENCE {
        let infer = move |request: HttpRequest, payload: Payload| {
            inference::infer(dialect, operation, request, payload)
        };
        let mut url = url(&format!("{prefix}{path}"), "POST").route(post().to(infer));
        if dialect == Dialect::Responses {
            url = url.route(web::get().to(inference::no_upgrade));
        }
        app.service(url);
    }
    let list = web::get().to(inference::models);
    app.service(url(&format!("{prefix}/models"), "GET").route(list));
    let model = web::get().to(inference::model);
    app.service(url(&format!("{prefix}/models/{{id:.+}}"), "GET").route(model));
}

/// A route for `POST`. Its guard keeps no list of methods for each request, as that of `web::post` does.
fn post() -> Route {
    web::route().guard(fn_guard(|context| context.head().method == Method::POST))
}

/// A URL on which every method without a route is refused with 405; `allowed` is the content of its `Allow` header.
fn url(path: &str, allowed: &'static str) -> Resource {
    let refuse = move |request| inference::wrong_method(request, allowed);
    web::resource(path).default_service(web::to(refuse))
}

/// Organizations, teams, users and keys.
fn tenants() -> Vec<ApiResource> {
    vec![
        resource("/v1/organizations")
            .get(may::ReadOrganizations, organizations::list)
            .create(
                may::ChangeOrganizations,
                organizations::create,
                organizations::get,
            ),
        resource("/v1/organizations/{id}")
            .get(may::ReadOrganizations, organizations::get)
            .patch(may::ChangeOrganizations, organizations::change)
            .delete(may::ChangeOrganizations, organizations::delete),
        resource("/v1/teams")
            .get(may::ReadTeams, teams::list)
            .create(may::ChangeTeams, teams::create, teams::get),
        resource("/v1/teams/{id}")
            .get(may::ReadTeams, teams::get)
            .patch(may::ManageTeams, teams::change)
            .delete(may::ChangeTeams, teams::delete),
        resource("/v1/teams/{id}/capture").patch(may::ChangeCaptures, captures::change_team),
        resource("/v1/teams/{id}/members")
            .get(may::ReadUsers, users::members)
            .post(may::ChangeUsers, users::put_member),
        resource("/v1/teams/{id}/members/{member}").delete(may::ChangeUsers, users::remove_member),
        resource("/v1/users")
            .get(may::ReadUsers, users::list)
            .create(may::ChangeUsers, users::create, users::get),
        resource("/v1/users/{id}")
            .get(may::ReadUsers, users::get)
            .patch(may::ChangeUsers, users::change)
            .delete(may::ChangeUsers, users::delete),
        resource("/v1/keys").get(may::ReadKeys, keys::list).create(
            may::ChangeKeys,
            keys::create,
            keys::get,
        ),
        resource("/v1/keys/{id}/rotate").post(may::ChangeKeys, keys::rotate),
        resource("/v1/keys/{id}/capture").patch(may::ChangeCaptures, captures::change_key),
        resource("/v1/keys/verify").post(may::ReadKeys, keys::verify),
        resource("/v1/keys/import").post(may::ImportKeys, keys::import),
        resource("/v1/keys/{id}/resolve").get(may::ReadKeys, resolution::get),
        resource("/v1/keys/{id}")
            .get(may::ReadKeys, keys::get)
            .patch(may::ChangeKeys, keys::change)
            .delete(may::ChangeKeys, keys::delete),
        resource("/v1/users/{id}/invitation").post(may::ChangeUsers, sign_in::invite),
        resource("/v1/session")
            .any_role(Method::GET, sign_in::current)
            .any_role(Method::DELETE, sign_in::sign_out),
        resource("/v1/session/password").any_role(Method::POST, sign_in::change_password),
        resource("/v1/sessions").any_role(Method::GET, sign_in::sessions),
        resource("/v1/sessions/{id}").any_role(Method::DELETE, sign_in::end_session),
        resource("/v1/setup").any_role(Method::POST, sign_in::create_setup_link),
    ]
}

/// Reports, captures, books, audit log, backup, clock.
fn instance() -> Vec<ApiResource> {
    vec![
        resource("/v1/usage").get(may::ReadUsage, usage::get),
        resource("/v1/requests").get(may::ReadUsage, requests::list),
        resource("/v1/requests/{id}").get(may::ReadUsage, requests::get),
        resource("/v1/requests/{id}/capture")
            .get(may::ReadCaptures, captures::get)
            .delete(may::PurgeCaptures, captures::purge_request),
        resource("/v1/captures")
            .get(may::ReadTeams, captures::list)
            .delete(may::PurgeCaptures, captures::purge),
        resource("/v1/ledger/orphans").get(may::ReadLedger, ledger::orphans),
        resource("/v1/ledger/corrections").post(may::CorrectLedger, ledger::correct),
        resource("/v1/ledger/verify").get(may::ReadLedger, ledger::verify),
        resource("/v1/reasoning-memory").delete(may::PurgeMemory, reasoning_memory::purge),
        resource("/v1/cache")
            .get(may::ReadCache, cache::get)
            .delete(may::PurgeCache, cache::purge),
        resource("/v1/cache/difference").get(may::ReadCaptures, cache::difference),
        resource("/v1/audit").get(may::ReadAudit, audit::list),
        resource("/v1/audit/checkpoint").get(may::ReadAudit, audit::checkpoint),
        resource("/v1/audit/public-keys").get(may::ReadAudit, audit::public_keys),
        resource("/v1/audit/proofs/{id}").get(may::ReadAudit, audit::prove),
        resource("/v1/audit/export").get(may::ReadAudit, audit::export),
        resource("/v1/audit/verify")
            .get(may::ReadAudit, audit_verification::get)
            .post(may::ReadAudit, audit_verification::start),
        resource("/v1/state")
            .get(may::ReadState, state::export)
            .post(may::ApplyState, state::apply),
        resource("/v1/budgets").get(may::ReadBudgets, budgets::list),
        resource("/v1/alerts/test").post(may::TestAlerts, alerts::test),
        resource("/v1/restore/accept").post(may::AcceptRestore, backup::accept),
        resource("/v1/instance").get(may::ReadSettings, instance_facts::get),
        resource("/v1/clock").get(may::ReadClock, clock::get),
        resource("/v1/clock/accept").post(may::AcceptClock, clock::accept),
    ]
}

/// Providers, routes, aliases, settings and prices: what the configuration file may declare too.
fn declarations() -> Vec<ApiResource> {
    vec![
        resource("/v1/providers")
            .get(may::ReadProviders, providers::list)
            .create(may::ChangeProviders, providers::create, providers::get),
        resource("/v1/providers/{id}")
            .get(may::ReadProviders, providers::get)
            .patch(may::ChangeProviders, providers::change)
            .delete(may::ChangeProviders, providers::delete),
        resource("/v1/providers/{id}/test").post(may::TestProviders, providers::test),
        resource("/v1/routes/{id}/drill").post(may::DrillRoutes, drills::run),
        resource("/v1/routes/{id}/health").get(may::ReadRouteHealth, api_routes::health),
        resource("/v1/routes")
            .get(may::ReadRoutes, api_routes::list)
            .create(may::ChangeRoutes, api_routes::create, api_routes::get),
        resource("/v1/routes/{id}")
            .get(may::ReadRoutes, api_routes::get)
            .patch(may::ChangeRoutes, api_routes::change)
            .delete(may::ChangeRoutes, api_routes::delete),
        resource("/v1/aliases")
            .get(may::ReadRoutes, api_routes::list_aliases)
            .create(
                may::ChangeRoutes,
                api_routes::create_alias,
                api_routes::get_alias,
            ),
        resource("/v1/aliases/{id}")
            .get(may::ReadRoutes, api_routes::get_alias)
            .patch(may::ChangeRoutes, api_routes::change_alias)
            .delete(may::ChangeRoutes, api_routes::delete_alias),
        resource("/v1/settings")
            .get(may::ReadSettings, settings::list)
            .patch(may::ChangeSettings, settings::change),
        resource("/v1/prices").get(may::ReadPrices, providers::prices),
        resource("/v1/prices/sheet")
            .get(may::ReadPrices, prices::get)
            .post(may::ChangePrices, prices::apply)
            .delete(may::ChangePrices, prices::reset),
        resource("/v1/prices/sheet/text").get(may::ReadPrices, prices::text),
    ]
}

/// Every resource of the API.
fn resources() -> Vec<ApiResource> {
    let all = [tenants(), declarations(), instance()];
    all.into_iter().flatten().collect()
}

/// OpenAPI document, made once.
async fn openapi() -> HttpResponse {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| openapi::document(&endpoints()).to_string());
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text.as_str())
}

fn control_plane(app: &mut ServiceConfig) {
    app.service(url("/openapi.json", "GET").route(web::get().to(openapi)));
    for resource in resources() {
        app.service(resource);
    }
    app.service(url("/v1/me", "GET").route(web::get().to(me::get)))
        .service(url("/v1/me/requests", "GET").route(web::get().to(me::requests)))
        .service(url("/v1/backup", "POST").route(web::post().to(backup::take)));
}

/// Every method and URL of the server with the access that it needs, as they are registered.
pub fn endpoints() -> Vec<EndpointRow> {
    let mut rows = Vec::new();
    for (method, path, access) in OPEN {
        rows.push(EndpointRow::new(method, path, access));
    }
    for prefix in PREFIXES {
        for (path, _, _) in INFERENCE {
            let path = format!("{prefix}{path}");
            rows.push(EndpointRow::new("POST", path, EndpointAccess::VirtualKey));
        }
        for path in ["/models", "/models/{id:.+}"] {
            let path = format!("{prefix}{path}");
            rows.push(EndpointRow::new("GET", path, EndpointAccess::VirtualKey));
        }
    }
    for resource in &resources() {
        let actions = resource.actions();
        rows.extend(actions.map(|(method, action)| {
            let access = action.map_or(EndpointAccess::AnyRole, EndpointAccess::Action);
            EndpointRow::new(method, resource.path(), access)
        }));
    }
    rows
}

/// URLs that are no resources of the control plane.
const OPEN: [(&str, &str, EndpointAccess); 19] = [
    ("GET", "/openapi.json", EndpointAccess::Public),
    ("GET", "/", EndpointAccess::Public),
    ("GET", "/ui", EndpointAccess::Public),
    ("GET", "/ui/{page:.*}", EndpointAccess::Public),
    ("GET", "/ui/assets/{hash}/{file:.+}", EndpointAccess::Public),
    ("HEAD", "/", EndpointAccess::Public),
    ("GET", "/healthz", EndpointAccess::Public),
    ("GET", "/health/liveliness", EndpointAccess::Public),
    ("GET", "/readyz", EndpointAccess::Public),
    ("GET", "/health/readiness", EndpointAccess::Public),
    (
        "GET",
        "/metrics",
        EndpointAccess::Action(Action::ReadMetrics),
    ),
    (
        "POST",
        "/v1/backup",
        EndpointAccess::Action(Action::TakeBackup),
    ),
    ("GET", "/v1/sign-in", EndpointAccess::Public),
    ("GET", "/sign-in/oidc", EndpointAccess::SignIn),
    ("GET", OIDC_CALLBACK, EndpointAccess::SignIn),
    ("POST", "/v1/sign-in", EndpointAccess::SignIn),
    ("POST", "/v1/sign-in/link", EndpointAccess::SignIn),
    ("GET", "/v1/me", EndpointAccess::AnyKey),
    ("GET", "/v1/me/requests", EndpointAccess::VirtualKey),
];

#[cfg(test)]
mod tests;
