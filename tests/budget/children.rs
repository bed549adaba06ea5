//! Child keys: whatever is above them is charged with them in the same step, allows no more than its own, and ends them with
//! itself.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Instance, Key, text};
use crate::harness::upstream::Upstream;

/// A call costs 110 micro-dollars and is held at some 195.
fn call() -> Value {
    Call::chat().at_most(20).body()
}

fn asks(gateway: &InProcessGateway, key: &Key) -> Response {
    gateway.user(key).chat(&call())
}

fn child(instance: &Instance, name: &str, parent: &Key, mut terms: Value) -> Key {
    (terms["name"], terms["parent"]) = (json!(name), json!(parent.id));
    instance.key(&terms)
}

fn shown(instance: &Instance, key: &Key) -> Value {
    instance
        .admin()
        .get(&format!("/v1/keys/{}", key.id))
        .assert_status(200)
        .json()
}

fn spent(instance: &Instance, key: &Key) -> String {
    text(&shown(instance, key)["budgets"][0], "spent")
}

/// A team's key with these terms, its child and its grandchild.
fn line(
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
fn a_call_is_charged_to_every_key_above_and_the_tightest_of_them_blocks() {
    let upstream = Upstream::start();
    let budget = |usd: &str| json!({"budget_limit": usd});
    let (gateway, [parent, middle, grandchild]) =
        line(&upstream, budget("0.0006"), budget("0.0004"), budget("10"));
    for _ in 0..2 {
        asks(&gateway, &grandchild).assert_status(200);
    }
    assert_eq!(
        [&parent, &middle, &grandchild].map(|key| spent(&gateway, key)),
        ["0.00022"; 3].map(str::to_owned)
    );
    let refused = asks(&gateway, &grandchild);
    assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
    let above = format!("{}, the key above this one,", middle.id);
    assert!(
        refused.error_message().contains(&above),
        "{}",
        refused.error_message()
    );
    asks(&gateway, &parent).assert_status(200);
    assert_eq!(
        spent(&gateway, &middle),
        "0.00022",
        "what a parent calls is not its child's"
    );
    asks(&gateway, &parent).assert_status(200);
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", middle.id), &budget("10"))
        .assert_status(200);
    assert!(
        asks(&gateway, &middle)
            .assert_status(402)
            .error_message()
            .contains(&parent.id)
    );
    assert!(
        asks(&gateway, &parent)
            .assert_status(402)
            .error_message()
            .contains("of this key")
    );
    assert_eq!(
        [&parent, &middle, &grandchild].map(|key| spent(&gateway, key)),
        ["0.00044", "0.00022", "0.00022"]
    );
}

#[test]
fn a_call_refused_above_takes_nothing_below() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = line(
        &upstream,
        json!({"rpm": 3}),
        json!({"rpm": 10, "budget_limit": "1"}),
        json!({"rpm": 10}),
    );
    let statuses = [(); 5].map(|()| asks(&gateway, &grandchild).status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refused = asks(&gateway, &grandchild);
    assert!(
        refused.error_message().contains(&parent.id),
        "{}",
        refused.error_message()
    );
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("3"));
    let left = [&parent, &middle, &grandchild]
        .map(|key| shown(&gateway, key)["limits"][0]["remaining_requests"].clone());
    assert_eq!(left, [0, 7, 7].map(|left| json!(left)));
    assert_eq!(text(&shown(&gateway, &middle)["budgets"][0], "held"), "0");
}

#[test]
fn the_slots_and_tokens_of_a_parent_are_shared_by_its_children() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) =
        line(&upstream, json!({"tpm": 1000}), json!({}), json!({}));
    let sister = child(&gateway, "sister", &parent, json!({}));
    for key in [&middle, &grandchild, &sister, &parent] {
        asks(&gateway, key).assert_status(200);
    }
    let limit = &shown(&gateway, &parent)["limits"][0];
    assert_eq!(
        (&limit["remaining_tokens"], &limit["running"]),
        (&json!(1_000 - 4 * 30), &json!(0))
    );
}

#[test]
fn a_child_may_call_only_what_every_key_above_it_may() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = line(
        &upstream,
        json!({"models": ["m-*"]}),
        json!({"models": ["m-small", "c-*"]}),
        json!({"models": ["*"]}),
    );
    asks(&gateway, &grandchild).assert_status(200);
    let mut large = call();
    large["model"] = json!("m-large");
    let refused = gateway.user(&grandchild).chat(&large);
    assert_eq!(refused.assert_status(403).error_type(), "model_not_allowed");
    assert!(
        refused.error_message().contains("the key `child`"),
        "{}",
        refused.error_message()
    );
    gateway.user(&parent).chat(&large).assert_status(200);
    let models = |key: &Key| {
        let verdict = gateway
            .admin()
            .post("/v1/keys/verify", &json!({"key": key.secret}))
            .json();
        verdict["models"].clone()
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
    let verdict = gateway
        .admin()
        .post("/v1/keys/verify", &json!({"key": grandchild.secret}))
        .json();
    assert_eq!(
        verdict["above"].as_array().map(Vec::len),
        Some(1),
        "{verdict}"
    );
    assert_eq!(
        (&verdict["above"][0]["owner"], &verdict["above"][0]["name"]),
        (&json!(parent.id), &json!("parent"))
    );
    assert_eq!(
        verdict["above"][0]["budgets"][0]["resets_at"],
        json!("2026-11-24T00:00:00Z")
    );
}

#[test]
fn a_child_ends_with_any_key_above_it() {
    let upstream = Upstream::start();
    let (gateway, [parent, middle, grandchild]) = line(
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
    asks(&gateway, &grandchild).assert_status(200);
    change(&middle, json!({"disabled": true}));
    let refused = asks(&gateway, &grandchild);
    assert_eq!(
        refused.assert_status(401).error_type(),
        "authentication_error"
    );
    assert!(
        refused.error_message().contains(&middle.id),
        "{}",
        refused.error_message()
    );
    asks(&gateway, &parent).assert_status(200);
    change(&middle, json!({"disabled": false}));
    asks(&gateway, &grandchild).assert_status(200);
    gateway.clock.advance_ms(2 * 3_600_000);
    for key in [&parent, &middle, &grandchild] {
        assert_eq!(
            asks(&gateway, key).assert_status(401).error_type(),
            "key_expired"
        );
    }
    change(&parent, json!({"expires": null}));
    asks(&gateway, &grandchild).assert_status(200);
}

#[test]
fn a_restart_knows_who_is_above_whom() {
    let upstream = Upstream::start();
    let (mut gateway, [parent, middle, grandchild]) = line(
        &upstream,
        json!({"budget_limit": "0.00031"}),
        json!({}),
        json!({}),
    );
    asks(&gateway, &grandchild).assert_status(200);
    gateway.stop();
    gateway.start();
    assert_eq!(shown(&gateway, &grandchild)["parent"], json!(middle.id));
    asks(&gateway, &middle).assert_status(200);
    asks(&gateway, &grandchild).assert_status(402);
    assert_eq!(spent(&gateway, &parent), "0.00022");
    assert_eq!(
        gateway.audit().last().expect("audited")["detail"]["parent"],
        json!(middle.id)
    );
}

#[test]
fn a_place_below_a_key_is_checked() {
    let upstream = Upstream::start();
    let (mut gateway, [parent, ..]) = line(&upstream, json!({}), json!({}), json!({}));
    let other = gateway.team(&json!({"name": "ops"}));
    let asks = |body: Value| gateway.admin().post("/v1/keys", &body);
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
        let answer = asks(body.clone());
        assert_eq!(
            (answer.assert_status(status).json()["error"]["param"].clone()),
            json!(param),
            "{body}"
        );
    }
    asks(json!({"name": "a", "parent": parent.id, "team": "eng"})).assert_status(201);
    let moved = gateway.admin().patch(
        &format!("/v1/keys/{}", parent.id),
        &json!({"parent": "key_3"}),
    );
    assert_eq!(
        moved.assert_status(400).json()["error"]["param"],
        json!("parent"),
        "a key never changes its parent"
    );
    let mut last = parent;
    for depth in 1..=8 {
        last = child(&gateway, &format!("deep-{depth}"), &last, json!({}));
    }
    let answer = asks(json!({"name": "too-deep", "parent": last.id}));
    assert_eq!(
        answer.assert_status(400).json()["error"]["param"],
        json!("parent")
    );
    gateway.user(&last).chat(&call()).assert_status(200);
}

#[test]
fn a_budget_for_some_models_counts_those_at_every_level() {
    let upstream = Upstream::start();
    let of_model =
        |model: &str, limit: &str| json!({"budgets": [{"limit": limit, "model": model}]});
    let (gateway, [parent, middle, grandchild]) = line(
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
    let asks_of = |model: &str| {
        let mut body = call();
        body["model"] = json!(model);
        gateway.user(&grandchild).chat(&body)
    };
    for model in ["m-large", "m-small", "up/m-large", "m-small"] {
        asks_of(model).assert_status(200);
    }
    let refused = asks_of("m-large");
    assert!(
        refused
            .assert_status(402)
            .error_message()
            .contains("this organization"),
        "{}",
        refused.error_message()
    );
    asks_of("m-small").assert_status(200);
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
