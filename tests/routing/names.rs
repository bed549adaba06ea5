//! Names: routes, aliases, `*` and the default; and the allow-lists of teams and keys.

use serde_json::json;

use super::fixture::{Fixture, chat, rejection};

const NAMES: &str = r#"
aliases = { "gpt-4o" = "smart", "tiny" = "a/m-small" }
[routes.smart]
targets = ["a/m-large"]
[routes."old/*"]
targets = ["b/*"]
[routes."*"]
targets = ["c/c-small"]
"#;

#[test]
fn name_resolves_to_route_then_alias_then_star_then_model_then_default() {
    let fixture = Fixture::new(NAMES);
    for (name, provider, model) in [
        ("smart", "a", "m-large"),
        ("gpt-4o", "a", "m-large"),
        ("tiny", "a", "m-small"),
        ("old/m-big", "b", "m-big"),
        ("a/m-large", "a", "m-large"),
        ("m-big", "b", "m-big"),
        // two providers list it, so only the default route serves it
        ("m-small", "c", "c-small"),
        ("nonsense", "c", "c-small"),
    ] {
        let response = fixture.call(name);
        response.assert_status(200);
        assert_eq!(
            response.header("x-gatekeeper-provider"),
            Some(provider),
            "{name}"
        );
        assert_eq!(response.header("x-gatekeeper-model"), Some(model), "{name}");
    }
}

#[test]
fn allow_list_that_names_a_route_or_alias_grants_its_targets_only() {
    let fixture = Fixture::new(
        "aliases = { \"gpt-4o\" = \"smart\" }\n[routes.smart]\ntargets = [\"a/m-large\"]\nfallbacks = [\"b/m-big\"]\n\
         [routes.\"*\"]\ntargets = [\"c/c-small\"]\n",
    );
    let key = |models: serde_json::Value| {
        let key = json!({"name": format!("{models}"), "team": fixture.team.id, "models": models});
        fixture.gateway.key(&key)
    };
    let call = |key, model| {
        let user = fixture.gateway.user(key);
        user.post("/v1/chat/completions", &chat(model, false))
            .status
    };
    let by_route = key(json!(["smart"]));
    assert_eq!(
        (call(&by_route, "smart"), call(&by_route, "gpt-4o")),
        (200, 200)
    );
    assert_eq!(
        (call(&by_route, "a/m-large"), call(&by_route, "any")),
        (403, 403)
    );
    let by_alias = key(json!(["gpt-4o"]));
    assert_eq!(
        (call(&by_alias, "gpt-4o"), call(&by_alias, "smart")),
        (200, 403)
    );
    // a name that only the default route serves grants nothing, whatever the list says of it
    let by_pattern = key(json!(["any*"]));
    assert_eq!(call(&by_pattern, "anything"), 403);
    // a fallback needs permission by its own name
    fixture.a.respond_with(rejection(500, "server_error", "no"));
    assert_eq!(call(&by_route, "smart"), 502);
    assert_eq!(fixture.counts()[1], 0);
    let with_fallback = key(json!(["smart", "b/m-big"]));
    assert_eq!(call(&with_fallback, "smart"), 200);
    assert_eq!(fixture.counts()[1], 1);
}

#[test]
fn route_of_the_api_obeys_the_allow_lists_of_the_files_routes() {
    let fixture = Fixture::new("");
    let route = json!({"name": "declared", "targets": ["a/m-large"], "max_retries": 0, "fallbacks": ["b/m-big"],
        "context_fallbacks": ["b/m-big"], "content_fallbacks": ["b/m-big"]});
    let admin = fixture.gateway.admin();
    admin.post("/v1/routes", &route).assert_status(201);
    let key = |name: &str, models: serde_json::Value| {
        let key = json!({"name": name, "team": fixture.team.id, "models": models});
        fixture.gateway.key(&key)
    };
    let (by_route, with_fallback) = (
        key("by-route", json!(["declared"])),
        key("with-fallback", json!(["declared", "b/m-big"])),
    );
    let by_fallback = key("by-fallback", json!(["b/m-big"]));
    let call = |key| {
        let user = fixture.gateway.user(key);
        user.post("/v1/chat/completions", &chat("declared", false))
            .status
    };
    assert_eq!((call(&by_route), call(&by_fallback)), (200, 403));
    for (status, code) in [
        (503, "overloaded"),
        (400, "context_length_exceeded"),
        (400, "content_filter"),
    ] {
        fixture.a.respond_with(rejection(status, code, "no"));
        let before = fixture.counts()[1];
        assert_eq!((call(&by_route), call(&with_fallback)), (status, 200));
        assert_eq!(fixture.counts()[1], before + 1, "{code}");
    }
}

#[test]
fn model_list_shows_routes_and_aliases_that_the_key_may_call() {
    let fixture = Fixture::new(NAMES);
    let names = |response: crate::harness::client::Response| {
        let list = response.assert_status(200).json();
        let data = list["data"].as_array().expect("a list").clone();
        let name = |model: &serde_json::Value| model["id"].as_str().unwrap_or_default().to_owned();
        data.iter().map(name).collect::<Vec<_>>()
    };
    let all = names(fixture.user().get("/v1/models"));
    assert!(
        all.contains(&"smart".to_owned()) && all.contains(&"gpt-4o".to_owned()),
        "{all:?}"
    );
    assert!(!all.iter().any(|name| name.contains('*')), "{all:?}");
    let key = json!({"name": "one", "team": fixture.team.id, "models": ["smart"]});
    let key = fixture.gateway.key(&key);
    // the alias leads to what the list grants
    assert_eq!(
        names(fixture.gateway.user(&key).get("/v1/models")),
        ["gpt-4o", "smart"]
    );
}
