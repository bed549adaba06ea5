//! Every URL on one page.

use actix_web::web::{self, ServiceConfig};

use crate::dialect::Dialect;
use crate::server::{api, health, inference};

/// Paths that SDKs make of a base URL with or without `/v1`.
const PREFIXES: [&str; 3] = ["/v1", "", "/v1/v1"];
const INFERENCE: [(&str, Dialect); 5] = [
    ("/chat/completions", Dialect::Chat),
    ("/responses", Dialect::Responses),
    ("/messages", Dialect::Messages),
    ("/messages/count_tokens", Dialect::TokenCount),
    ("/embeddings", Dialect::Embeddings),
];

pub(super) fn routes(app: &mut ServiceConfig) {
    app.route("/", web::head().to(health::probe));
    for path in ["/healthz", "/health/liveliness"] {
        app.route(path, web::get().to(health::alive));
    }
    for path in ["/readyz", "/health/readiness"] {
        app.route(path, web::get().to(health::ready));
    }
    app.route("/metrics", web::get().to(health::metrics));
    for prefix in PREFIXES {
        for (path, dialect) in INFERENCE {
            app.route(
                &format!("{prefix}{path}"),
                web::post().to(move |request, payload| inference::infer(dialect, request, payload)),
            );
        }
        app.route(
            &format!("{prefix}/responses"),
            web::get().to(inference::no_upgrade),
        );
        app.route(
            &format!("{prefix}/models"),
            web::get().to(inference::models),
        );
        app.route(
            &format!("{prefix}/models/{{id:.+}}"),
            web::get().to(inference::model),
        );
    }
    for (path, _) in api::ROUTES {
        app.service(web::resource(path).to(inference::administer));
    }
    app.default_service(web::to(inference::not_served));
}

/// The dialect in which an error on a path is told.
pub(super) fn dialect_of(path: &str) -> Dialect {
    if path.contains("/messages") {
        Dialect::Messages
    } else {
        Dialect::Chat
    }
}
