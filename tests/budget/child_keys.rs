//! Child keys: all ancestors are charged in the same step, restrict their descendants, and disable them with themselves.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Instance, Key, text};
use crate::harness::upstream::Upstream;

/// A call that costs 110 micro-dollars and is held at about 195.
fn call() -> Value {
    Call::chat().at_most(20).body()
}

fn send(gateway: &InProcessGateway, key: &Key) -> Response {
    gateway.user(key).chat(&call())
}

fn child(instance: &Instance, name: &str, parent: &Key, mut terms: Value) -> Key {
    (terms["name"], terms["parent"]) = (json!(name), json!(parent.id));
    instance.key(&terms)
}

fn show_key(instance: &Instance, key: &Key) -> Value {
    instance
        .admin()
        .get(&format!("/v1/keys/{}", key.id))
        .assert_status(200)
        .json()
}

fn spent(instance: &Instance, key: &Key) -> String {
    text(&show_key(instance, key)["budgets"][0], "spent")
}

/// A key, its child and its grandchild with these settings.
fn key_chain(
    upstream: &Upstream,
    terms: Value,
    of_child: Value,
    of_grandchild: Value,
) -> (InProcessGateway, [Key; 3]) {
    let mut gateway = Gatekeeper::with_upstream(upstream)
        .ledger("segment_mb = 1")
        .start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let mut of_parent = terms;
    (of_parent["name"], of_parent["team"]) = (json!("parent"), json!(team.id));
    let parent = gateway.key(&of_parent);
    let middle = child(&gateway, "child", &parent, of_child);
    let grandchild = child(&gateway, "grandchild", &middle, of_grandchild);
    (gateway, [parent, middle, grandchild])
}

#[test]
fn child_key_call_is_charged_to_all_ancestors_and_tightest_blocks() {
    let upstream = Upstream::start();
    let budget = |usd: &str| json!({"budget_limit": usd});
    let (gateway, [parent, middle, grandchild]) =
        key_chain(&upstream, budget("0.0006"), budget("0.0004"), budget("10"));
    for _ in 0..2 {
        send(&gateway, &grandchild).assert_status(200);
    }
    assert_eq!(
        [&parent, &middle, &grandchild].map(|key| spent(&gateway, key)),
        ["0.00022"; 3].map(str::to_owned)
    );
    let refusal = send(&gateway, &grandchild);
    assert_eq!(refusal.assert_status(402).error_type(), "budget_exceeded");
    let above = "key child above this one has used".to_owned();
    assert!(
        refusal.error_message().contains(&above),
        "{}",
        refusal.error_message()
    );
    send(&gateway, &parent).assert_status(200);
    assert_eq!(
        spent(&gateway, &middle),
        "0.00022",
        "a parent's call is not charged to its child"
    );
    send(&gateway, &parent).assert_status(200);
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", middle.id), &budget("10"))
        .assert_status(200);
    assert!(
        send(&gateway, &middle)
            .assert_status(402)
            .error_message()
            .contains("key parent above this one")
    );
    assert!(
        send(&gateway, &parent)
            .assert_status(402)
            .error_message()
            .contains("this key has used")
    );
    assert_eq!(
        [&parent, &middle, &grandchild].map(|key| spent(&gateway, key)),
        ["0.00044", "0.00022", "0.00022"]
    );
}

#[test]
fn child_key_call_refused_by_ancestor_takes_nothing() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = key_chain(
        &upstream,
        json!({"rpm": 3}),
        json!({"rpm": 10, "budget_limit": "1"}),
        json!({"rpm": 10}),
    );
    let statuses = [(); 5].map(|()| send(&gateway, &grandchild).status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refusal = send(&gateway, &grandchild);
    assert!(
        refusal
            .error_message()
            .contains("key parent above this one"),
        "{}",
        refusal.error_message()
    );
    assert_eq!(refusal.header("x-ratelimit-limit-requests"), Some("3"));
    let left = [&parent, &middle, &grandchild]
        .map(|key| show_key(&gateway, key)["limits"][0]["remaining_requests"].clone());
    assert_eq!(left, [0, 7, 7].map(|left| json!(left)));
    assert_eq!(
        text(&show_key(&gateway, &middle)["budgets"][0], "held"),
        "0"
    );
}

#[test]
fn parent_key_limits_are_shared_by_children() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) =
        key_chain(&upstream, json!({"tpm": 1000}), json!({}), json!({}));
    let sister = child(&gateway, "sister", &parent, json!({}));
    for key in [&middle, &grandchild, &sister, &parent] {
        send(&gateway, key).assert_status(200);
    }
    let limit = &show_key(&gateway, &parent)["limits"][0];
    assert_eq!(
        (&limit["remaining_tokens"], &limit["running"]),
        (&json!(1_000 - 4 * 30), &json!(0))
    );
}

#[test]
fn child_key_models_are_restricted_by_all_ancestors() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = key_chain(
        &upstream,
        json!({"models": ["m-*"]}),
        json!({"models": ["m-small", "c-*"]}),
        json!({"models": ["*"]}),
    );
    send(&gateway, &grandchild).assert_status(200);
    let mut large = call();
    large["model"] = json!("m-large");
    let refusal = gateway.user(&grandchild).chat(&large);
    assert_eq!(refusal.assert_status(403).error_type(), "model_not_allowed");
    assert!(
        refusal.error_message().contains("the key `child`"),
        "{}",
        refusal.error_message()
    );
    gateway.user(&parent).chat(&large).assert_status(200);
    let models = |key: &Key| {
        let status = gateway
            .admin()
            .post("/v1/keys/verify", &json!({"key": key.secret}))
            .json();
        status["models"].clone()
    };
    assert_eq!(
        (models(&middle), models(&grandchild)),
        (json!(["m-small"]), json!(["m-small"]))
    );
    gateway
        .admin()
        .patch(
            &format!("/v1/keys/{}", parent.id),
            &json!({"budget_limit": "5", "budget_period": "daily"}),
        )
        .assert_status(200);
    let status = gateway
        .admin()
        .post("/v1/keys/verify", &json!({"key": grandchild.secret}))
        .json();
    assert_eq!(
        status["above"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );
    assert_eq!(
        (&status["above"][0]["owner"], &status["above"][0]["name"]),
        (&json!(parent.id), &json!("parent"))
    );
    assert_eq!(
        status["above"][0]["budgets"][0]["resets_at"],
        json!("2026-11-24T00:00:00Z")
    );
}

#[test]
fn child_key_is_refused_while_any_ancestor_is_disabled_or_expired() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = key_chain(
        &upstream,
        json!({"expires": "2h"}),
        json!({}),
        json!({"expires": "9h"}),
    );
    let change = |key: &Key, change: Value| {
        gateway
            .admin()
            .patch(&format!("/v1/keys/{}", key.id), &change)
            .assert_status(200);
    };
    send(&gateway, &grandchild).assert_status(200);
    change(&middle, json!({"disabled": true}));
    let refusal = send(&gateway, &grandchild);
    assert_eq!(
        refusal.assert_status(401).error_type(),
        "authentication_error"
    );
    assert!(
        refusal.error_message().contains("is disabled"),
        "{}",
        refusal.error_message()
    );
    send(&gateway, &parent).assert_status(200);
    change(&middle, json!({"disabled": false}));
    send(&gateway, &grandchild).assert_status(200);
    gateway.clock.advance_ms(2 * 3_600_000);
    for key in [&parent, &middle, &grandchild] {
        assert_eq!(
            send(&gateway, key).assert_status(401).error_type(),
            "key_expired"
        );
    }
    change(&parent, json!({"expires": null}));
    send(&gateway, &grandchild).assert_status(200);
}

#[test]
fn child_key_after_restart_keeps_its_ancestors() {
    let upstream = Upstream::start();
    let (mut gateway, [parent, middle, grandchild]) = key_chain(
        &upstream,
        json!({"budget_limit": "0.00031"}),
        json!({}),
        json!({}),
    );
    send(&gateway, &grandchild).assert_status(200);
    gateway.stop();
    gateway.start();
    assert_eq!(show_key(&gateway, &grandchild)["parent"], json!(middle.id));
    send(&gateway, &middle).assert_status(200);
    send(&gateway, &grandchild).assert_status(402);
    assert_eq!(spent(&gateway, &parent), "0.00022");
    let audit = gateway.audit();
    let created = audit.iter().rfind(|event| event["action"] == "key.create");
    let created = created.expect("the creation is audited");
    assert_eq!(created["detail"]["parent"], json!(middle.id));
}

#[test]
fn child_key_with_invalid_parent_is_refused() {
    let upstream = Upstream::start();
    let (mut gateway, [parent, ..]) = key_chain(&upstream, json!({}), json!({}), json!({}));
    let other = gateway.team(&json!({"name": "ops"}));
    let create = |body: Value| gateway.admin().post("/v1/keys", &body);
    for (body, status, param) in [
        (json!({"name": "a", "parent": "key_999"}), 404, "parent"),
        (json!({"name": "a", "parent": "eng"}), 400, "parent"),
        (
            json!({"name": "a", "parent": parent.id, "team": other.id}),
            400,
            "team",
        ),
        (json!({"name": "a"}), 400, "team"),
        (json!({"name": "child", "parent": parent.id}), 409, "name"),
        (
            json!({"name": "a", "admin": true, "parent": parent.id}),
            400,
            "parent",
        ),
    ] {
        let response = create(body.clone());
        assert_eq!(
            (response.assert_status(status).json()["error"]["param"].clone()),
            json!(param),
            "{body}"
        );
    }
    create(json!({"name": "a", "parent": parent.id, "team": "eng"})).assert_status(201);
    let moved = gateway.admin().patch(
        &format!("/v1/keys/{}", parent.id),
        &json!({"parent": "key_3"}),
    );
    assert_eq!(
        moved.assert_status(400).json()["error"]["param"],
        json!("parent"),
        "the parent of a key is fixed"
    );
    let mut last = parent;
    for depth in 1..=8 {
        last = child(&gateway, &format!("deep-{depth}"), &last, json!({}));
    }
    let response = create(json!({"name": "too-deep", "parent": last.id}));
    assert_eq!(
        response.assert_status(400).json()["error"]["param"],
        json!("parent")
    );
    gateway.user(&last).chat(&call()).assert_status(200);
}

#[test]
fn model_pattern_budget_counts_matching_calls_at_every_level() {
    let upstream = Upstream::start();
    let of_model =
        |model: &str, limit: &str| json!({"budgets": [{"limit": limit, "model": model}]});
    let (gateway, [parent, middle, grandchild]) = key_chain(
        &upstream,
        of_model("m-l*", "1"),
        of_model("up/m-large", "1"),
        of_model("m-small", "1"),
    );
    let team = text(&gateway.admin().get("/v1/teams").json()["data"][0], "id");
    let organization = text(
        &gateway.admin().get("/v1/organizations").json()["data"][0],
        "id",
    );
    gateway
        .admin()
        .patch(&format!("/v1/teams/{team}"), &of_model("m-large", "1"))
        .assert_status(200);
    gateway
        .admin()
        .patch(
            &format!("/v1/organizations/{organization}"),
            &of_model("*-large", "0.00035"),
        )
        .assert_status(200);
    let send_model = |model: &str| {
        let mut body = call();
        body["model"] = json!(model);
        gateway.user(&grandchild).chat(&body)
    };
    for model in ["m-large", "m-small", "up/m-large", "m-small"] {
        send_model(model).assert_status(200);
    }
    let refusal = send_model("m-large");
    assert!(
        refusal
            .assert_status(402)
            .error_message()
            .contains("organization default has used"),
        "{}",
        refusal.error_message()
    );
    send_model("m-small").assert_status(200);
    assert_eq!(
        [&parent, &middle, &grandchild].map(|key| spent(&gateway, key)),
        ["0.00022", "0.00022", "0.00033"]
    );
    let of = |path: String| {
        text(
            &gateway.admin().get(&path).json()["data"][0]["budgets"][0],
            "spent",
        )
    };
    assert_eq!(
        (of("/v1/teams".into()), of("/v1/organizations".into())),
        ("0.00022".into(), "0.00022".into())
    );
}
