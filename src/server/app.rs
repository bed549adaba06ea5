//! Every URL and method of the server on one page, on actix-web's router. Contains no handler.

use actix_web::Resource;
use actix_web::web::{self, ServiceConfig};

use crate::dialect::{Dialect, Operation};
use crate::server::api::{
    audit, backup, clock, keys, ledger, organizations, reasoning_memory, requests, resource,
    sign_in, teams, usage, users,
};
use crate::server::surface::Surface;
use crate::server::{health, home_page, inference};

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
    health(app);
    if surface != Surface::Administration {
        for prefix in PREFIXES {
            data_plane(app, prefix);
        }
    }
    if surface != Surface::Models {
        operation(app);
        sign_in(app);
        control_plane(app);
    }
    app.default_service(web::to(inference::not_served));
}

fn health(app: &mut ServiceConfig) {
    let home = url("/", "GET, HEAD").route(web::get().to(home_page::page));
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

/// Calls without a credential that start a session.
fn sign_in(app: &mut ServiceConfig) {
    let start = web::post().to(sign_in::start);
    app.service(url("/v1/sign-in", "POST").route(start));
    let redeem = web::post().to(sign_in::redeem);
    app.service(url("/v1/sign-in/link", "POST").route(redeem));
}

fn data_plane(app: &mut ServiceConfig, prefix: &str) {
    for (path, dialect, operation) in INFERENCE {
        let infer = move |request, payload| inference::infer(dialect, operation, request, payload);
        let mut url = url(&format!("{prefix}{path}"), "POST").route(web::post().to(infer));
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

/// A URL on which every method without a route is refused with 405; `allowed` is the content of its `Allow` header.
fn url(path: &str, allowed: &'static str) -> Resource {
    let refuse = move |request| inference::wrong_method(request, allowed);
    web::resource(path).default_service(web::to(refuse))
}

fn control_plane(app: &mut ServiceConfig) {
    app.service(
        resource("/v1/organizations")
            .get(organizations::list)
            .post(organizations::create),
    )
    .service(
        resource("/v1/organizations/{id}")
            .get(organizations::get)
            .patch(organizations::change)
            .delete(organizations::delete),
    )
    .service(resource("/v1/teams").get(teams::list).post(teams::create))
    .service(
        resource("/v1/teams/{id}")
            .get(teams::get)
            .patch(teams::change)
            .delete(teams::delete),
    )
    .service(
        resource("/v1/teams/{id}/members")
            .get(users::members)
            .post(users::put_member),
    )
    .service(resource("/v1/teams/{id}/members/{member}").delete(users::remove_member))
    .service(resource("/v1/users").get(users::list).post(users::create))
    .service(
        resource("/v1/users/{id}")
            .get(users::get)
            .patch(users::change)
            .delete(users::delete),
    )
    .service(resource("/v1/keys").get(keys::list).post(keys::create))
    .service(resource("/v1/keys/verify").post(keys::verify))
    .service(
        resource("/v1/keys/{id}")
            .get(keys::get)
            .patch(keys::change)
            .delete(keys::delete),
    )
    .service(resource("/v1/usage").get(usage::get))
    .service(resource("/v1/requests").get(requests::list))
    .service(resource("/v1/requests/{id}").get(requests::get))
    .service(resource("/v1/ledger/orphans").get(ledger::orphans))
    .service(resource("/v1/ledger/corrections").post(ledger::correct))
    .service(resource("/v1/ledger/verify").get(ledger::verify))
    .service(resource("/v1/reasoning-memory").delete(reasoning_memory::purge))
    .service(
        resource("/v1/session")
            .get(sign_in::current)
            .delete(sign_in::sign_out),
    )
    .service(resource("/v1/session/password").post(sign_in::change_password))
    .service(resource("/v1/sessions").get(sign_in::sessions))
    .service(resource("/v1/sessions/{id}").delete(sign_in::end_session))
    .service(resource("/v1/setup").post(sign_in::create_setup_link))
    .service(resource("/v1/users/{id}/invitation").post(sign_in::invite))
    .service(url("/v1/backup", "POST").route(web::post().to(backup::take)))
    .service(resource("/v1/restore/accept").post(backup::accept))
    .service(resource("/v1/audit").get(audit::list))
    .service(resource("/v1/audit/checkpoint").get(audit::checkpoint))
    .service(resource("/v1/audit/public-keys").get(audit::public_keys))
    .service(resource("/v1/audit/proofs/{id}").get(audit::prove))
    .service(resource("/v1/audit/export").get(audit::export))
    .service(resource("/v1/clock").get(clock::get))
    .service(resource("/v1/clock/accept").post(clock::accept));
}

#[cfg(test)]
mod tests;
