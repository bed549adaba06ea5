//! Operations of prompt capture, with their bodies and answers.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::bodies::{Body, body, capture_days, capture_readers};
use super::operations::{Operation, get, operation};
use super::parameters as query;
use super::replies;
use super::schema::{
    array, closed, constant, count, flag, instant, nullable, object, page, text, words,
};

pub(super) fn operations() -> Vec<Operation> {
    let change = |path, summary| operation("PATCH", path, summary).body(change_body);
    vec![
        get("/v1/captures", "Teams and keys with prompt capture").answers(200, settings),
        operation("DELETE", "/v1/captures", "Delete captured calls")
            .query(&[query::PURGED_KEY, query::PURGED_TEAM, query::PURGED_ALL])
            .answers(200, replies::purge),
        change("/v1/teams/{id}/capture", "Prompt capture of a team").answers(200, setting),
        change("/v1/keys/{id}/capture", "Prompt capture of a key").answers(200, setting),
        get("/v1/requests/{id}/capture", "A captured call").answers(200, capture),
        operation(
            "DELETE",
            "/v1/requests/{id}/capture",
            "Delete a captured call",
        )
        .answers(200, replies::purge),
    ]
}

fn change_body() -> Body {
    let (days, readers) = (capture_days(), capture_readers());
    let members = [("on", flag()), ("keep_days", days), ("readers", readers)];
    body(closed(&[], &members), json!({ "on": false }))
}

fn setting_members() -> Vec<(&'static str, Value)> {
    vec![
        ("object", constant("capture_setting")),
        ("kind", words(&["team", "key"])),
        ("owner", text()),
        ("on", flag()),
        ("keep_days", nullable(count())),
        ("since", nullable(instant())),
        ("readers", array(text())),
    ]
}

fn setting(_: &mut SchemaGenerator) -> Value {
    object(&setting_members())
}

fn settings(_: &mut SchemaGenerator) -> Value {
    let mut members = setting_members();
    members.extend([("name", text()), ("team", text()), ("organization", text())]);
    page(object(&members))
}

fn capture(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("capture")),
        ("request", text()),
        ("organization", text()),
        ("team", text()),
        ("key", text()),
        ("captured_at", instant()),
        ("expires_at", instant()),
        ("status", count()),
        ("stream", flag()),
        ("complete", flag()),
        ("media_replaced", count()),
        ("request_body", text()),
        ("response_body", text()),
    ])
}
