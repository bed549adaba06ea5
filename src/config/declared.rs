//! Providers, routes and aliases that are declared outside the file, by the rules of the file: the members of a JSON object are the keys
//! of its section. Secrets come apart from the members, and no message repeats one. Places of secrets on this machine, and its files,
//! are named by the file only.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::file::{self, ConfigErrors, Section};
use super::provider;
use super::routes::{self, RouteConfig};
use super::settings::Provider;
use crate::domain::cache::CachePolicy;

/// Members of a provider that hold secrets.
pub const SECRET_MEMBERS: [&str; 5] = [
    "api_key",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "headers",
];
/// Member with the names, shares and bounds of several API keys; their secrets are `api_keys.NAME`.
pub const API_KEYS: &str = "api_keys";
/// Keys of a provider's section that name files of this machine.
const FILES: [&str; 3] = ["ca_file", "client_cert", "client_key"];
/// Beginnings of the sources of secrets.
const SOURCES: [&str; 3] = ["env:", "file:", "credential:"];
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Invalid member of a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMember {
    /// empty: the object itself
    pub member: String,
    /// cause and remedy
    pub message: String,
}

impl InvalidMember {
    fn new(member: &str, message: impl Into<String>) -> InvalidMember {
        InvalidMember {
            member: member.to_owned(),
            message: message.into(),
        }
    }
}

/// Resolves a provider; `secrets` are its members that hold some.
pub fn declared_provider(
    name: &str,
    members: &Map<String, Value>,
    secrets: &Map<String, Value>,
) -> Result<Arc<Provider>, InvalidMember> {
    check_members(members)?;
    let mut section = members.clone();
    if let Some(keys) = section.get_mut(API_KEYS) {
        refer_to_variables(keys)?;
    }
    for (member, secret) in secrets {
        if member.starts_with(API_KEYS) {
            check_secret(API_KEYS, secret.as_str().unwrap_or_default())?;
            continue;
        }
        let value = match (member.as_str(), secret) {
            ("headers", Value::Object(headers)) => {
                headers.iter().try_for_each(check_header)?;
                secret.clone()
            }
            (_, Value::String(text)) => {
                check_secret(member, text)?;
                format!("env:{member}").into()
            }
            (member, _) => return Err(InvalidMember::new(member, "must be a string")),
        };
        section.insert(member.clone(), value);
    }
    // the section reads its secrets as variables of an environment of its own
    let environment = |name: &str| {
        let member = match name.strip_prefix(KEY_VARIABLE) {
            Some(position) => {
                let position: usize = position.parse().ok()?;
                key_secret(members[API_KEYS][position]["name"].as_str()?)
            }
            None => name.to_owned(),
        };
        Some(secrets.get(&member)?.as_str()?.to_owned())
    };
    let resolved = resolve("providers", name, &section, |section, errors| {
        provider::resolve_all(section, Path::new(""), &environment, errors)
    });
    let providers = resolved.map_err(|error| {
        let lacks_key = ["missing api_key;", "missing credential;"];
        match lacks_key
            .iter()
            .any(|words| error.message.starts_with(words))
        {
            true => InvalidMember::new(
                "api_key",
                "is missing; give the key itself, which is stored sealed",
            ),
            false => error,
        }
    })?;
    first(providers)
}

/// Secret member of one of several API keys.
pub fn key_secret(name: &str) -> String {
    format!("{API_KEYS}.{name}")
}

/// Variable of the section's own environment with the key at a position.
const KEY_VARIABLE: &str = "api_keys_";

/// Adds to each of several API keys the variable that has its secret.
fn refer_to_variables(keys: &mut Value) -> Result<(), InvalidMember> {
    let expected = || InvalidMember::new(API_KEYS, "must be a list of API keys");
    let keys = keys.as_array_mut().ok_or_else(expected)?;
    for (position, key) in keys.iter_mut().enumerate() {
        let key = key.as_object_mut().ok_or_else(expected)?;
        let variable = format!("env:{KEY_VARIABLE}{position}");
        key.insert("key".to_owned(), variable.into());
    }
    Ok(())
}

/// Resolves a route.
pub fn declared_route(
    name: &str,
    members: &Map<String, Value>,
) -> Result<RouteConfig, InvalidMember> {
    // the `[cache]` of the file holds for the routes of the file
    let cache = CachePolicy::default();
    let resolved = resolve("routes", name, members, |section, errors| {
        routes::resolve_all(section, &cache, errors)
    });
    first(resolved?)
}

/// Resolves an alias; returns the name that it leads to.
pub fn declared_alias(name: &str, members: &Map<String, Value>) -> Result<String, InvalidMember> {
    let mut rest = members.clone();
    let target = rest.remove("target").unwrap_or_default();
    if let Some(unknown) = rest.keys().next() {
        let message = "is unknown; an alias has the member target";
        return Err(InvalidMember::new(unknown, message));
    }
    toml_of("aliases", name, &target)
        .and_then(|aliases| read("aliases", name, &aliases, routes::resolve_aliases))
        .and_then(|resolved| first(resolved.into_values()))
        .map_err(|error| InvalidMember {
            member: "target".to_owned(),
            ..error
        })
}

fn first<T>(resolved: impl IntoIterator<Item = T>) -> Result<T, InvalidMember> {
    let first = resolved.into_iter().next();
    first.ok_or_else(|| InvalidMember::new("", "no declaration"))
}

fn check_members(members: &Map<String, Value>) -> Result<(), InvalidMember> {
    for file in FILES {
        if members.contains_key(file) {
            let message = "names a file of the gateway's machine; declare the provider in the configuration file";
            return Err(InvalidMember::new(file, message));
        }
    }
    match members.get("base_url").and_then(Value::as_str) {
        Some(url) if url.starts_with("env:") => Err(InvalidMember::new(
            "base_url",
            "names a variable of the gateway's environment; write the URL itself",
        )),
        _ => Ok(()),
    }
}

fn check_source(member: &str, text: &str) -> Result<(), InvalidMember> {
    match SOURCES.iter().any(|source| text.starts_with(source)) {
        true => Err(InvalidMember::new(
            member,
            "names a place on the gateway's machine, which only the configuration file may do; give the secret itself, which is stored \
             sealed",
        )),
        false => Ok(()),
    }
}

fn check_header((name, value): (&String, &Value)) -> Result<(), InvalidMember> {
    match value.as_str() {
        Some(text) => check_source("headers", text),
        None => {
            let name: String = name.chars().take(64).collect();
            let message = format!("must be an object of strings; `{name}` is none");
            Err(InvalidMember::new("headers", message))
        }
    }
}

fn check_secret(member: &str, text: &str) -> Result<(), InvalidMember> {
    check_source(member, text)?;
    let valid = (1..=SECRET_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match valid {
        true => Ok(()),
        false => Err(InvalidMember::new(
            member,
            "must be 1 to 65,536 visible ASCII characters without spaces",
        )),
    }
}

/// Resolves one table of a section.
fn resolve<T>(
    kind: &'static str,
    name: &str,
    members: &Map<String, Value>,
    resolver: impl FnOnce(Section<'_>, &mut ConfigErrors) -> T,
) -> Result<T, InvalidMember> {
    let text = toml_of(kind, name, &Value::Object(members.clone()))?;
    read(kind, name, &text, resolver)
}

fn read<T>(
    kind: &'static str,
    name: &str,
    text: &str,
    resolver: impl FnOnce(Section<'_>, &mut ConfigErrors) -> T,
) -> Result<T, InvalidMember> {
    let mut errors = ConfigErrors::default();
    let mut top = file::parse("declaration", text, &mut errors);
    let section = top.section(kind, &mut errors);
    let resolved = resolver(section, &mut errors);
    match errors.0.first() {
        None => Ok(resolved),
        Some(error) => Err(invalid_member(kind, name, &error.message)),
    }
}

/// Splits `providers.NAME.base_url: cause; remedy` at its member.
fn invalid_member(kind: &str, name: &str, message: &str) -> InvalidMember {
    let own = message.strip_prefix(&format!("{kind}.{name}"));
    let Some(rest) = own else {
        return InvalidMember::new("", message);
    };
    match rest.split_once(": ") {
        Some((member, message)) => InvalidMember::new(member.trim_start_matches('.'), message),
        None => InvalidMember::new("", rest),
    }
}

/// `kind = { "name" = value }` in TOML.
fn toml_of(kind: &str, name: &str, value: &Value) -> Result<String, InvalidMember> {
    let mut text = format!("{kind} = {{ ");
    write_string(name, &mut text);
    text.push_str(" = ");
    write_value(value, &mut text).map_err(|message| InvalidMember::new("", message))?;
    text.push_str(" }");
    Ok(text)
}

fn write_value(value: &Value, text: &mut String) -> Result<(), String> {
    match value {
        Value::Null => return Err("null inside a member; leave it out".to_owned()),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(item, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            let present = members.iter().filter(|(_, value)| !value.is_null());
            for (index, (name, value)) in present.enumerate() {
                text.push_str(if index == 0 { " " } else { ", " });
                write_string(name, text);
                text.push_str(" = ");
                write_value(value, text)?;
            }
            text.push_str(" }");
        }
    }
    Ok(())
}

/// A basic string: the escapes of JSON are those of TOML, but for the character DEL.
fn write_string(string: &str, text: &mut String) {
    let json = Value::from(string).to_string();
    text.push_str(&json.replace('\u{7f}', "\\u007f"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    fn provider(members: Value, secrets: Value) -> Result<Arc<Provider>, InvalidMember> {
        declared_provider("lan", &object(members), &object(secrets))
    }

    #[test]
    fn declared_provider_has_the_keys_of_its_section_and_its_secrets() {
        let resolved = declared_provider(
            "openai",
            &object(json!({ "models": ["own \u{7f}\n"], "bare_names": false })),
            &object(json!({ "api_key": "sk-1", "headers": { "x-org": "a b" } })),
        );
        let message = resolved.expect_err("an invalid model name");
        assert_eq!(message.member, "models");
        let resolved = declared_provider(
            "openai",
            &object(json!({ "models": ["own"], "bare_names": false, "price": null })),
            &object(json!({ "api_key": "sk-1", "headers": { "x-org": "a b" } })),
        )
        .expect("a provider");
        assert_eq!(
            resolved.api_keys.first().map(|key| key.secret.expose()),
            Some("sk-1")
        );
        assert_eq!(resolved.headers[0].1.expose(), "a b");
        assert!(!resolved.bare_names && resolved.models == ["own"]);
        let members = json!({
            "type": "openai_compatible", "base_url": "http://10.0.0.5:8000/v1",
            "price": { "input": "0.25", "output": 5 }, "prices": { "big*": { "factor": "0.5" } },
        });
        assert!(provider(members, json!({})).is_ok());
    }

    #[test]
    fn declared_provider_error_names_its_member() {
        let base = json!({ "type": "openai_compatible", "price": "free", "base_url": "http://h" });
        let with = |name: &str, value: Value| {
            let mut members = object(base.clone());
            members.insert(name.to_owned(), value);
            Value::Object(members)
        };
        for (members, secrets, member, message) in [
            (
                with("base_url", json!("h")),
                json!({}),
                "base_url",
                "scheme",
            ),
            (with("colour", json!(1)), json!({}), "colour", "unknown key"),
            (
                with("price", json!({ "input": 1.5, "output": 1 })),
                json!({}),
                "price.input",
                "quotes",
            ),
            (
                with("ca_file", json!("/x")),
                json!({}),
                "ca_file",
                "file of the gateway",
            ),
            (
                with("base_url", json!("env:HOME")),
                json!({}),
                "base_url",
                "environment",
            ),
            (
                base.clone(),
                json!({ "api_key": "file:/etc/shadow" }),
                "api_key",
                "only the configuration file",
            ),
            (
                base.clone(),
                json!({ "api_key": "a b" }),
                "api_key",
                "visible ASCII",
            ),
            (base.clone(), json!({ "api_key": 7 }), "api_key", "string"),
            (
                base.clone(),
                json!({ "headers": { "x": "env:HOME" } }),
                "headers",
                "only the configuration file",
            ),
            (json!({ "type": "openai" }), json!({}), "api_key", "sealed"),
            (
                json!({ "type": "vendor" }),
                json!({}),
                "type",
                "unknown provider type",
            ),
        ] {
            let error = provider(members, secrets).expect_err(member);
            assert_eq!(error.member, member, "{error:?}");
            assert!(error.message.contains(message), "{error:?}");
        }
    }

    #[test]
    fn declared_provider_has_several_keys_by_name() {
        let keys = json!([{ "name": "a", "weight": 3 }, { "name": "b", "rpm": 7 }]);
        let secrets = json!({ "api_keys.a": "sk-a", "api_keys.b": "sk-b" });
        let members = json!({ "type": "openai", "api_keys": keys });
        let resolved = provider(members, secrets).expect("a provider");
        let keys: Vec<_> = resolved
            .api_keys
            .iter()
            .map(|key| (key.name.as_str(), key.secret.expose(), key.weight))
            .collect();
        assert_eq!(keys, [("a", "sk-a", 3), ("b", "sk-b", 1)]);
        assert_eq!(resolved.api_keys[1].limits.rpm, Some(7));
        for (members, secrets) in [
            (json!([{ "name": "a b" }]), json!({ "api_keys.a b": "sk" })),
            (
                json!([{ "name": "a", "weight": 0 }]),
                json!({ "api_keys.a": "sk" }),
            ),
            (
                json!([{ "name": "a", "colour": 1 }]),
                json!({ "api_keys.a": "sk" }),
            ),
            (
                json!([{ "name": "a" }]),
                json!({ "api_keys.a": "env:HOME" }),
            ),
            (
                json!([{ "name": "a" }]),
                json!({ "api_keys.a": "sk", "api_key": "sk" }),
            ),
        ] {
            let members = json!({ "type": "openai", "api_keys": members });
            let error = provider(members, secrets).expect_err("invalid");
            assert!(error.member.starts_with("api_key"), "{error:?}");
        }
    }

    #[test]
    fn declared_secret_is_in_no_message() {
        let members = json!({ "type": "openai_compatible", "price": "free", "base_url": "h" });
        let error = provider(members, json!({ "api_key": "canary" })).expect_err("no scheme");
        assert!(!format!("{error:?}").contains("canary"));
        let error = provider(json!({}), json!({ "api_key": "'canary'" })).expect_err("no type");
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn declared_route_and_alias_are_resolved_like_the_files() {
        let route =
            json!({ "targets": ["a/m", { "model": "b/m", "weight": 3 }], "strategy": "ordered" });
        let route = declared_route("smart \"x", &object(route));
        assert_eq!(route.expect_err("a space").member, "");
        let route = json!({ "targets": ["a/m", { "model": "b/m", "weight": 3 }], "defaults": { "top_k": 5, "x": 0.1 } });
        let route = declared_route("openai/*", &object(route)).expect("a route");
        assert_eq!((route.targets.len(), route.targets[1].weight), (2, 3));
        assert_eq!(route.defaults[1], ("x".to_owned(), "0.1".to_owned()));
        let error = declared_route("r", &object(json!({ "targets": [] }))).expect_err("none");
        assert_eq!(error.member, "targets");
        let alias = |value| declared_alias("swift", &object(value));
        assert_eq!(alias(json!({ "target": "m" })).as_deref(), Ok("m"));
        for invalid in [json!({}), json!({ "target": 1 }), json!({ "target": "a*" })] {
            assert_eq!(alias(invalid).expect_err("invalid").member, "target");
        }
        assert_eq!(
            alias(json!({ "target": "m", "x": 1 }))
                .expect_err("x")
                .member,
            "x"
        );
    }
}
