//! Separation of requests by scope, conversation, parameters, route and its version, dialect of the answer, and a key that may no longer call.

use serde_json::{Value, json};

use super::fixture::{CHAT, Fixture, ask, with};

#[test]
fn scope_decides_which_keys_share_an_answer() {
    let fixture = Fixture::start();
    for (route, of_team, of_other) in [
        ("exact", "exact", "miss"),
        ("by-key", "miss", "miss"),
        ("by-org", "exact", "exact"),
    ] {
        let body = ask(route, "scope");
        assert_eq!(fixture.chat(&fixture.one, &body), "miss", "{route}");
        assert_eq!(fixture.chat(&fixture.two, &body), of_team, "{route}");
        assert_eq!(fixture.chat(&fixture.other, &body), of_other, "{route}");
        assert_eq!(fixture.chat(&fixture.one, &body), "exact", "{route}");
    }
}

#[test]
fn any_difference_in_the_request_is_a_miss() {
    let fixture = Fixture::start();
    let system = json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "isolation"}]});
    let tool = |name: &str| json!({"tools": [{"type": "function", "function": {"name": name, "parameters": {}}}]});
    let body = ask("exact", "isolation");
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    for members in [
        system,
        tool("f"),
        tool("g"),
        json!({"temperature": 0.1}),
        json!({"temperature": 0.2}),
        json!({"seed": 1}),
        json!({"max_tokens": 51}),
        json!({"user": "a"}),
        json!({"user": "b"}),
        json!({"metadata": {"a": "b"}}),
        json!({"response_format": {"type": "json_object"}}),
    ] {
        let other = with(body.clone(), members.clone());
        assert_eq!(fixture.chat(&fixture.one, &other), "miss", "{members}");
        assert_eq!(fixture.chat(&fixture.one, &other), "exact", "{members}");
    }
    assert_eq!(fixture.chat(&fixture.one, &body), "exact");
    let user = |name: &str| with(ask("by-org", "user"), json!({"user": name}));
    assert_eq!(fixture.chat(&fixture.one, &user("a")), "miss");
    assert_eq!(
        fixture.chat(&fixture.one, &user("b")),
        "exact",
        "the route ignores the user"
    );
}

#[test]
fn dialect_of_the_answer_separates_requests() {
    let fixture = Fixture::start();
    let body = ask("exact", "dialect");
    assert_eq!(fixture.send(&fixture.one, CHAT, &body).1, "miss");
    assert_eq!(fixture.send(&fixture.one, "/v1/messages", &body).1, "miss");
    assert_eq!(fixture.send(&fixture.one, "/v1/messages", &body).1, "exact");
}

#[test]
fn answer_of_a_key_that_may_no_longer_call_is_unreachable() {
    let fixture = Fixture::start();
    let admin = fixture.gateway.admin();
    let key = format!("/v1/keys/{}", fixture.one.id);
    let body = ask("exact", "revoked");
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    assert_eq!(fixture.chat(&fixture.two, &body), "exact");
    admin
        .patch(&key, &json!({"disabled": true}))
        .assert_status(200);
    // the other key's answer takes the place of the unreachable one
    let no_store = fixture
        .client(&fixture.two)
        .with("x-gatekeeper-cache", "no-store");
    let found = super::fixture::outcome(no_store.chat(&body)).1;
    assert_eq!(found, "miss");
    admin
        .patch(&key, &json!({"disabled": false}))
        .assert_status(200);
    assert_eq!(fixture.chat(&fixture.two, &body), "exact");
    admin.delete(&key).assert_status(204);
    assert_eq!(fixture.chat(&fixture.two, &body), "miss");
    assert_eq!(fixture.chat(&fixture.two, &body), "exact");
}

#[test]
fn answer_of_a_deployment_that_the_caller_may_not_use_is_not_served() {
    let fixture = Fixture::with(
        "[routes.both]\ntargets = [\"claude/c-small\", \"openai/m-small\"]\nstrategy = \"ordered\"\ncache = \"exact\"",
    );
    let team = &fixture.rockets.id;
    let key = json!({"name": "narrow", "team": team, "models": ["openai/m-small"]});
    let narrow = fixture.gateway.key(&key);
    let body: Value = ask("both", "granted");
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    assert_eq!(fixture.chat(&fixture.two, &body), "exact");
    assert_eq!(fixture.chat(&narrow, &body), "miss");
}

#[test]
fn change_of_the_route_makes_its_answers_unreachable() {
    let mut fixture = Fixture::start();
    let body = ask("exact", "version");
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    let path = fixture.gateway.data().with_file_name("gatekeeper.toml");
    let before = std::fs::read_to_string(&path).expect("the file");
    let restart = |fixture: &mut Fixture, text: &str| {
        fixture.gateway.stop();
        std::fs::write(&path, text).expect("written");
        fixture.gateway.start();
    };
    // the second change shows in no request
    for line in ["defaults = { temperature = 0.3 }", "strategy = \"ordered\""] {
        let changed = before.replace("[routes.exact]\n", &format!("[routes.exact]\n{line}\n"));
        assert_ne!(before, changed);
        restart(&mut fixture, &changed);
        assert_eq!(fixture.chat(&fixture.one, &body), "miss", "{line}");
    }
    restart(&mut fixture, &before);
    assert_eq!(
        fixture.chat(&fixture.one, &body),
        "exact",
        "the same route again"
    );
}
