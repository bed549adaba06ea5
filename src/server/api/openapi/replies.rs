//! Schemas of answers: of the types that handlers render, and of those that have no type.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::schema::{
    any_object, array, constant, count, flag, instant, integer, money, nullable, object, page,
    text as text_schema, words,
};
use crate::server::api::ledger::OrphanJson;
use crate::server::api::user_views::{AdminKeyJson, MembershipJson};
use crate::server::api::views::{KeyJson, KeyStatusJson};

/// The schema of a type, by reference.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

pub(super) fn list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    page(of::<T>(generator))
}

/// A page of a log, with the cursor that follows it.
pub(super) fn log<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    object(&[
        ("data", array(of::<T>(generator))),
        ("next", nullable(text_schema())),
        ("follow", nullable(text_schema())),
    ])
}

pub(super) fn text(_: &mut SchemaGenerator) -> Value {
    text_schema()
}

pub(super) fn any(_: &mut SchemaGenerator) -> Value {
    any_object()
}

/// A virtual or an administrative key.
pub(super) fn key(generator: &mut SchemaGenerator) -> Value {
    json!({ "anyOf": [of::<KeyJson>(generator), of::<AdminKeyJson>(generator)] })
}

pub(super) fn keys(generator: &mut SchemaGenerator) -> Value {
    page(key(generator))
}

pub(super) fn me(generator: &mut SchemaGenerator) -> Value {
    let actor = object(&[
        ("object", constant("me")),
        (
            "kind",
            words(&["local", "process", "administrative", "user"]),
        ),
        ("id", nullable(text_schema())),
        ("name", nullable(text_schema())),
        ("memberships", array(of::<MembershipJson>(generator))),
    ]);
    json!({ "anyOf": [actor, of::<KeyStatusJson>(generator)] })
}

fn session_members() -> Value {
    object(&[
        ("object", constant("session")),
        ("id", text_schema()),
        ("user", text_schema()),
        ("address", text_schema()),
        ("created_at", instant()),
        ("last_used_at", instant()),
        ("current", flag()),
    ])
}

pub(super) fn drill(_: &mut SchemaGenerator) -> Value {
    let outcome = object(&[
        ("class", text_schema()),
        ("failing", words(&["first", "all"])),
        ("form", words(&["whole", "stream", "cut_stream"])),
        ("request", nullable(text_schema())),
        ("client", any_object()),
        ("took_ms", count()),
        ("cost_usd", money()),
        ("attempts", array(any_object())),
    ]);
    object(&[
        ("object", constant("drill")),
        ("route", text_schema()),
        ("is_route", flag()),
        ("live", flag()),
        ("team", text_schema()),
        ("key", text_schema()),
        ("cost_usd", money()),
        ("data", array(outcome)),
    ])
}

pub(super) fn resolution(_: &mut SchemaGenerator) -> Value {
    let target = object(&[
        (
            "list",
            words(&[
                "targets",
                "fallbacks",
                "context_fallbacks",
                "content_fallbacks",
            ]),
        ),
        ("name", text_schema()),
        ("target", nullable(text_schema())),
        ("weight", nullable(count())),
        ("order", nullable(count())),
        ("allowed", flag()),
        ("reason", nullable(text_schema())),
    ]);
    object(&[
        ("object", constant("resolution")),
        ("name", text_schema()),
        ("key", text_schema()),
        ("route", nullable(text_schema())),
        ("strategy", nullable(text_schema())),
        ("targets", array(target)),
    ])
}

pub(super) fn session(_: &mut SchemaGenerator) -> Value {
    session_members()
}

pub(super) fn sessions(_: &mut SchemaGenerator) -> Value {
    page(session_members())
}

pub(super) fn actor(generator: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("actor")),
        ("actor", text_schema()),
        ("name", text_schema()),
        ("email", nullable(text_schema())),
        ("memberships", array(of::<MembershipJson>(generator))),
        ("session", nullable(session_members())),
        ("timezone", text_schema()),
        ("version", text_schema()),
    ])
}

pub(super) fn ways(_: &mut SchemaGenerator) -> Value {
    let oidc = object(&[("issuer", text_schema()), ("path", text_schema())]);
    object(&[
        ("object", constant("sign_in")),
        ("password", flag()),
        ("oidc", nullable(oidc)),
    ])
}

pub(super) fn link(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("link")),
        ("url", text_schema()),
        ("path", text_schema()),
        ("expires_at", instant()),
    ])
}

/// Attempts of a request, its budgets and its sums.
pub(super) fn request(_: &mut SchemaGenerator) -> Value {
    object(&[("id", text_schema()), ("object", text_schema())])
}

pub(super) fn state(_: &mut SchemaGenerator) -> Value {
    let organization = object(&[("name", text_schema())]);
    object(&[("organizations", array(organization))])
}

pub(super) fn plan(_: &mut SchemaGenerator) -> Value {
    let step = object(&[
        ("action", words(&["create", "change"])),
        ("kind", words(&["organization", "team", "key"])),
        ("name", text_schema()),
        ("id", nullable(text_schema())),
        ("detail", any_object()),
    ]);
    let key = object(&[
        ("id", text_schema()),
        ("name", text_schema()),
        ("key", text_schema()),
    ]);
    object(&[
        ("object", constant("plan")),
        ("dry_run", flag()),
        ("steps", array(step)),
        ("keys", array(key)),
    ])
}

pub(super) fn orphans(generator: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("orphans")),
        ("uncorrected", count()),
        ("data", array(of::<OrphanJson>(generator))),
        ("next", nullable(text_schema())),
    ])
}

pub(super) fn corrections(_: &mut SchemaGenerator) -> Value {
    let entry = object(&[
        ("request", text_schema()),
        ("attempt", count()),
        ("at", instant()),
        ("amount_usd", money()),
        ("reason", text_schema()),
        ("actor", text_schema()),
    ]);
    object(&[
        ("object", constant("corrections")),
        ("corrected", count()),
        ("amount_usd", money()),
        ("orphans_uncorrected", count()),
        ("data", array(entry)),
    ])
}

pub(super) fn ledger_verification(_: &mut SchemaGenerator) -> Value {
    let log = object(&[
        ("written", count()),
        ("synced", count()),
        ("applied", count()),
    ]);
    object(&[
        ("object", constant("verification")),
        ("agrees", flag()),
        ("records", count()),
        ("corrections", count()),
        ("balances", count()),
        ("rollups", count()),
        ("compared_from", nullable(instant())),
        ("log", log),
        ("differing", any_object()),
        ("differences", array(any_object())),
    ])
}

pub(super) fn purge(_: &mut SchemaGenerator) -> Value {
    object(&[("object", constant("purge")), ("entries", count())])
}

pub(super) fn cache_difference(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("cache_difference")),
        ("entry", array(text_schema())),
        ("other", array(text_schema())),
    ])
}

pub(super) fn cache(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("cache")),
        ("enabled", flag()),
        ("entries", count()),
        ("entry_bytes", count()),
        ("file_bytes", count()),
        ("size_bytes_max", nullable(count())),
    ])
}

pub(super) fn audit(_: &mut SchemaGenerator) -> Value {
    let event = object(&[
        ("seq", count()),
        ("at_ms", count()),
        ("at", instant()),
        ("actor", text_schema()),
        ("action", text_schema()),
        ("subject", text_schema()),
    ]);
    object(&[
        ("object", constant("list")),
        ("data", array(event)),
        ("next", nullable(text_schema())),
        ("follow", text_schema()),
    ])
}

pub(super) fn audit_export(_: &mut SchemaGenerator) -> Value {
    let tree = object(&[("size", count()), ("peaks", array(text_schema()))]);
    object(&[
        ("object", constant("audit_export")),
        ("after", count()),
        ("to", count()),
        ("tree", tree),
        ("public_keys", array(text_schema())),
        ("checkpoints", array(text_schema())),
        ("events", array(text_schema())),
        ("next", nullable(count())),
    ])
}

pub(super) fn audit_verification(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("audit_verification")),
        ("state", words(&["running", "done", "failed"])),
        ("started_at", instant()),
        ("ended_at", nullable(instant())),
        ("result", nullable(any_object())),
        ("error", nullable(text_schema())),
        ("covers", text_schema()),
    ])
}

/// An object of the configuration. Roles of an organization or a team see its name only.
pub(super) fn declared(kind: &str, members: &[(&str, Value)]) -> Value {
    let mut declared = object(&[
        ("object", constant(kind)),
        ("id", text_schema()),
        ("name", text_schema()),
    ]);
    let credential = object(&[
        ("members", array(text_schema())),
        ("seal_key_id", text_schema()),
        ("created_at", instant()),
    ]);
    let shared = [
        ("managed_by_file", flag()),
        ("members", any_object()),
        ("credentials", array(credential)),
        ("created_at", instant()),
        ("fault", nullable(text_schema())),
    ];
    for (name, schema) in members.iter().chain(&shared) {
        declared["properties"][name] = schema.clone();
    }
    declared
}

pub(super) fn provider(_: &mut SchemaGenerator) -> Value {
    let price = json!({ "anyOf": [text_schema(), object(&[("sheet", text_schema())])] });
    let key = object(&[
        ("id", text_schema()),
        ("name", text_schema()),
        ("weight", count()),
        ("rpm", nullable(count())),
        ("tpm", nullable(count())),
    ]);
    let members = [
        ("type", text_schema()),
        ("base_url", text_schema()),
        ("has_credential", flag()),
        ("api_keys", array(key)),
        ("price", price),
        ("models", array(text_schema())),
    ];
    declared("provider", &members)
}

pub(super) fn providers(generator: &mut SchemaGenerator) -> Value {
    page(provider(generator))
}

pub(super) fn provider_test(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("provider_test")),
        ("provider", text_schema()),
        ("ok", flag()),
        ("verdict", text_schema()),
        ("status", nullable(count())),
        ("reason", nullable(text_schema())),
        ("total_ms", count()),
        ("key", nullable(text_schema())),
    ])
}

pub(super) fn prices(_: &mut SchemaGenerator) -> Value {
    let listed = object(&[
        ("model", text_schema()),
        ("mode", text_schema()),
        ("capabilities", array(text_schema())),
        ("lacks", array(text_schema())),
        ("deprecated_on", nullable(text_schema())),
        ("successor", nullable(text_schema())),
        ("profile_of", nullable(text_schema())),
        ("cache_write_ttl", nullable(text_schema())),
        ("cache_min_tokens", nullable(count())),
        ("vector_size", nullable(count())),
        ("doubtful", array(text_schema())),
    ]);
    let price = object(&[
        ("object", constant("price")),
        ("name", text_schema()),
        ("provider", text_schema()),
        ("model", text_schema()),
        ("source", text_schema()),
        ("input_per_million", nullable(money())),
        ("cached_input_per_million", nullable(money())),
        ("output_per_million", nullable(money())),
        ("place", nullable(text_schema())),
        ("context", nullable(count())),
        ("max_output", nullable(count())),
        ("listed", nullable(listed)),
    ]);
    object(&[
        ("data", array(price)),
        ("next", nullable(text_schema())),
        ("as_of", text_schema()),
    ])
}

fn sheet_facts() -> Vec<(&'static str, Value)> {
    vec![
        ("object", constant("price_sheet")),
        ("source", words(&["embedded", "applied"])),
        ("as_of", text_schema()),
        ("sha256", text_schema()),
        ("models", count()),
        ("applied_at", nullable(instant())),
    ]
}

pub(super) fn price_sheet(_: &mut SchemaGenerator) -> Value {
    let mut members = sheet_facts();
    members.push(("outdated", nullable(object(&sheet_facts()))));
    object(&members)
}

pub(super) fn price_sheet_change(_: &mut SchemaGenerator) -> Value {
    let member = object(&[
        ("name", text_schema()),
        ("before", nullable(text_schema())),
        ("after", nullable(text_schema())),
    ]);
    let row = object(&[("name", text_schema()), ("members", array(member))]);
    object(&[
        ("object", constant("price_sheet_change")),
        ("dry_run", flag()),
        ("before", object(&sheet_facts())),
        ("after", object(&sheet_facts())),
        ("added", array(text_schema())),
        ("removed", array(text_schema())),
        ("changed", array(row)),
    ])
}

pub(super) fn alert_test(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("alert_test")),
        ("ok", flag()),
        ("reason", nullable(text_schema())),
    ])
}

pub(super) fn restore(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("restore_acceptance")),
        ("backup", instant()),
    ])
}

pub(super) fn instance(_: &mut SchemaGenerator) -> Value {
    let certificate = object(&[("ends_at", instant())]);
    let backup = object(&[("at", instant()), ("by", text_schema())]);
    object(&[
        ("object", constant("instance")),
        ("id", text_schema()),
        ("version", text_schema()),
        ("binary_sha256", nullable(text_schema())),
        ("seal_key_id", text_schema()),
        ("certificate", nullable(certificate)),
        ("last_backup", nullable(backup)),
        ("price_sheet", object(&sheet_facts())),
    ])
}

pub(super) fn clock(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("clock")),
        ("adopted", instant()),
        ("wall", instant()),
        ("ahead_ms", integer()),
        ("in_step", flag()),
        ("steady_ms", nullable(count())),
        ("adopted_after_ms", count()),
    ])
}

pub(super) fn clock_adoption(_: &mut SchemaGenerator) -> Value {
    object(&[
        ("object", constant("clock_adoption")),
        ("from", instant()),
        ("to", instant()),
        ("by_ms", integer()),
    ])
}

pub(super) fn health(_: &mut SchemaGenerator) -> Value {
    object(&[("status", text_schema())])
}
