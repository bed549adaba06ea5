//! Bodies of providers, routes and aliases, by the reference of the configuration file, and of settings.

use serde_json::{Value, json};

use super::bodies::{Body, Members, body, with};
use super::schema::{any_object, array, closed, described, flag, nullable, text, words};
use crate::config::reference::{self, MemberKind};
use crate::provider::REGISTRY;

/// Settings of the books; null gives one its default back.
pub(super) fn settings() -> Body {
    let days = || nullable(json!({ "type": "integer", "minimum": 0, "maximum": 36_500 }));
    let percent = json!({ "type": "integer", "minimum": 1, "maximum": 100 });
    let members = [
        ("alerts.threshold_percent", nullable(percent)),
        ("retention.days_days", days()),
        ("retention.hours_days", days()),
        ("retention.refused_days", days()),
        ("retention.requests_days", days()),
    ];
    body(
        closed(&[], &members),
        json!({ "alerts.threshold_percent": 90 }),
    )
}

/// Members of a section of the configuration file, with their meaning there.
fn section(name: &str) -> Members {
    let keys = reference::section_members(name).into_iter();
    let documented = keys.map(|key| {
        let schema = match key.kind {
            MemberKind::Text => text(),
            MemberKind::Flag => flag(),
            MemberKind::Integer(min, max) => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            MemberKind::Word(all) => words(all),
            MemberKind::Texts => array(text()),
            MemberKind::Object => any_object(),
            MemberKind::List => array(json!({})),
            MemberKind::Any => json!({}),
        };
        (key.name, described(nullable(schema), key.meaning))
    });
    documented.collect()
}

/// Several API keys: a list, which replaces the keys, or an object of keys by name, which changes single ones.
fn api_keys() -> Value {
    let secret = || described(text(), "the secret itself, which is stored sealed");
    let most = |most: u64| nullable(json!({ "type": "integer", "minimum": 1, "maximum": most }));
    let members = [
        ("key", secret()),
        ("weight", most(1_000)),
        ("rpm", most(1_000_000_000)),
        ("tpm", most(1_000_000_000)),
    ];
    let named = with(vec![("name", text())], [members.to_vec()]);
    let entry = json!({ "anyOf": [secret(), closed(&[], &named)] });
    let by_name = json!({ "anyOf": [secret(), closed(&[], &members), { "type": "null" }] });
    let object = json!({ "type": "object", "additionalProperties": by_name });
    let meaning = "API keys among which calls are spread; a list replaces them (an entry without `key` keeps the stored secret of its \
                   name), an object of keys by name adds, changes and, with null, removes single ones";
    let forms = json!({ "anyOf": [array(entry), object, { "type": "null" }] });
    described(forms, meaning)
}

/// Keys of a provider's section; files of the machine are named in the configuration file only.
fn provider_members() -> Members {
    let mut members = section("providers.NAME");
    members.retain(|(name, _)| !["ca_file", "client_cert", "client_key"].contains(name));
    for (name, schema) in &mut members {
        if *name == "api_keys" {
            *schema = api_keys();
        }
        let is_secret = [
            "api_key",
            "access_key_id",
            "secret_access_key",
            "session_token",
        ];
        if is_secret.contains(name) {
            *schema = described(
                nullable(text()),
                "the secret itself, which is stored sealed",
            );
        }
    }
    members
}

pub(super) fn new_provider() -> Body {
    body(
        closed(
            &["name"],
            &with(vec![("name", text())], [provider_members()]),
        ),
        json!({ "name": REGISTRY[0].name, "api_key": "sk-example" }),
    )
}

pub(super) fn changed_provider() -> Body {
    body(
        closed(&[], &provider_members()),
        json!({ "models": ["my-model"] }),
    )
}

pub(super) fn new_route() -> Body {
    let members = with(vec![("name", text())], [section("routes.NAME")]);
    body(
        closed(&["name", "targets"], &members),
        json!({ "name": "smart", "targets": ["openai/gpt-5.1", "anthropic/claude-sonnet-5"] }),
    )
}

pub(super) fn changed_route() -> Body {
    body(
        closed(&[], &section("routes.NAME")),
        json!({ "strategy": "ordered" }),
    )
}

pub(super) fn new_alias() -> Body {
    let members = [("name", text()), ("target", text())];
    body(
        closed(&["name", "target"], &members),
        json!({ "name": "fast", "target": "gpt-5-mini" }),
    )
}

pub(super) fn changed_alias() -> Body {
    body(
        closed(&["target"], &[("target", text())]),
        json!({ "target": "gpt-5-mini" }),
    )
}
