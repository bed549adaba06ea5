//! Replies of routes and aliases, and of the health of a route's deployments.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::replies::declared;
use super::schema::{
    any_object, array, constant, count, flag, money, nullable, object, page, text as text_schema,
    words,
};

pub(super) fn route(_: &mut SchemaGenerator) -> Value {
    let timeouts = [
        "connect_timeout_s",
        "head_timeout_s",
        "first_content_timeout_s",
        "idle_timeout_s",
        "call_timeout_s",
    ];
    let timeouts = object(&timeouts.map(|name| (name, nullable(count()))));
    let target = object(&[
        ("model", text_schema()),
        ("weight", count()),
        ("order", count()),
        ("rpm", nullable(count())),
        ("tpm", nullable(count())),
        ("timeouts", timeouts.clone()),
    ]);
    let members = [
        ("strategy", text_schema()),
        ("targets", array(target)),
        ("affinity", flag()),
        ("retry_on", array(text_schema())),
        ("max_retries", count()),
        ("max_attempts", count()),
        ("timeouts", timeouts),
        ("defaults", any_object()),
        ("override", any_object()),
        ("fallbacks", array(text_schema())),
        ("context_fallbacks", array(text_schema())),
        ("content_fallbacks", array(text_schema())),
        ("mirror", nullable(object(&mirror()))),
    ];
    declared("route", &members)
}

fn mirror() -> [(&'static str, Value); 3] {
    [
        ("target", text_schema()),
        ("share", json!({ "type": "number" })),
        ("budget", text_schema()),
    ]
}

pub(super) fn routes(generator: &mut SchemaGenerator) -> Value {
    page(route(generator))
}

pub(super) fn alias(_: &mut SchemaGenerator) -> Value {
    declared("alias", &[("target", text_schema())])
}

pub(super) fn aliases(generator: &mut SchemaGenerator) -> Value {
    page(alias(generator))
}

pub(super) fn route_health(_: &mut SchemaGenerator) -> Value {
    let deployment = object(&[
        ("target", text_schema()),
        ("deployment", text_schema()),
        ("key", nullable(text_schema())),
        ("state", words(&["closed", "open", "half_open"])),
        ("cooldown_ms", count()),
        ("cooldowns", count()),
        ("in_flight", count()),
        ("first_content_ms", nullable(count())),
        ("rpm", nullable(count())),
        ("tpm", nullable(count())),
        ("requests", count()),
        ("tokens", count()),
    ]);
    let [target, share, budget] = mirror();
    let figures = [
        target,
        share,
        budget,
        ("deployment", nullable(text_schema())),
        ("ok", count()),
        ("failed", count()),
        ("cost_usd", money()),
        ("total_ms", nullable(count())),
        ("first_content_ms", nullable(count())),
    ];
    object(&[
        ("object", constant("route_health")),
        ("name", text_schema()),
        ("deployments", array(deployment)),
        ("mirror", nullable(object(&figures))),
    ])
}
