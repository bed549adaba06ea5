//! Life of a key: rotation with a grace period, revocation of running calls, last use, its own view of itself.

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::budget::call::Call;
use crate::harness::client::{self, HttpClient};
use crate::harness::gate::Gate;
use crate::harness::instance::text;
use crate::harness::model;

fn call() -> Value {
    Call::chat().at_most(10).body()
}

fn caller(tenancy: &Tenancy, key: &Value) -> HttpClient {
    client::user(tenancy.gateway.address(), &text(key, "key"))
}

#[test]
fn rotated_key_has_two_secrets_until_the_grace_period_ends() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let key = json!({"name": "ci", "team": "rockets"});
    let first = create(&admin, "keys", &key);
    let rotate = |body: &Value| {
        let path = format!("/v1/keys/{}/rotate", text(&first, "id"));
        admin.post(&path, body).assert_status(200).json()
    };
    let second = rotate(&json!({"grace": "2h"}));
    assert_eq!(
        (&second["id"], &second["previous_hint"]),
        (&first["id"], &first["hint"])
    );
    for key in [&first, &second] {
        caller(&tenancy, key).chat(&call()).assert_status(200);
    }
    tenancy.gateway.clock.advance_ms(2 * 3_600_000);
    let expired = caller(&tenancy, &first).chat(&call());
    assert_eq!(expired.assert_status(401).error_type(), "key_expired");
    caller(&tenancy, &second).chat(&call()).assert_status(200);
    let third = rotate(&json!({}));
    let fourth = rotate(&json!({"grace": "24h"}));
    caller(&tenancy, &second).chat(&call()).assert_status(401);
    for key in [&third, &fourth] {
        caller(&tenancy, key).chat(&call()).assert_status(200);
    }
    let last = rotate(&json!({"grace": "0h"}));
    caller(&tenancy, &fourth).chat(&call()).assert_status(401);
    caller(&tenancy, &last).chat(&call()).assert_status(200);
    for grace in ["91d", "1", "-1h"] {
        let path = format!("/v1/keys/{}/rotate", text(&first, "id"));
        let refused = admin.post(&path, &json!({"grace": grace}));
        assert_eq!(refused.assert_status(400).json()["error"]["param"], "grace");
    }
}

#[test]
fn stream_of_a_key_ends_with_an_error_only_if_revoked_now() {
    for (query, ends) in [("", false), ("&now=true", true)] {
        let tenancy = Tenancy::start();
        let admin = tenancy.gateway.admin();
        let parent = create(&admin, "keys", &json!({"name": "ci", "team": "rockets"}));
        let child = json!({"name": "child", "parent": parent["id"]});
        let child = create(&admin, "keys", &child);
        let gate = Gate::default();
        tenancy
            .upstream
            .respond_with(model::with_usage(10, 60).held_after(20, &gate));
        let body = Call::chat().streamed(true).at_most(60).body();
        let mut stream = caller(&tenancy, &child).open_stream("/v1/chat/completions", &body);
        stream.read_deltas(5);
        let path = format!("/v1/keys/{}?cascade=true{query}", text(&parent, "id"));
        admin.delete(&path).assert_status(204);
        if !ends {
            gate.open();
        }
        let (rest, _) = stream.read_bytes();
        let rest = String::from_utf8_lossy(&rest);
        gate.open();
        assert_eq!(rest.contains("the key was revoked"), ends, "{rest}");
        assert_eq!(rest.contains("[DONE]"), !ends, "{rest}");
    }
}

#[test]
fn key_asks_about_itself_and_sees_nothing_else() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let user = json!({"email": "ada@example.org", "name": "Ada", "memberships": [{"role": "admin", "team": "rockets"}]});
    create(&admin, "users", &user);
    let key = json!({"name": "ci", "team": "rockets", "budget_limit": "5", "budget_period": "daily", "rpm": 60});
    let key = create(&admin, "keys", &key);
    let user = caller(&tenancy, &key);
    let me = user.get("/v1/me").assert_status(200).json();
    assert_eq!(
        (&me["object"], &me["kind"], &me["valid"]),
        (&json!("me"), &json!("virtual"), &json!(true))
    );
    assert_eq!(me["key"]["budgets"][0]["remaining"], "5");
    assert!(me["key"]["budgets"][0]["resets_at"].is_string());
    assert_eq!(
        me["administrators"],
        json!([{"name": "Ada", "email": "ada@example.org"}])
    );
    assert!(
        me["models"]
            .as_array()
            .is_some_and(|models| !models.is_empty())
    );
    assert_eq!(me["key"]["last_used_at"], me["key"]["last_used_at"]);
    user.chat(&call()).assert_status(200);
    let other = create(&admin, "keys", &json!({"name": "other", "team": "rockets"}));
    caller(&tenancy, &other).chat(&call()).assert_status(200);
    tenancy.gateway.usage();
    let own = user.get("/v1/me/requests").assert_status(200).json();
    assert_eq!(own["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(own["data"][0]["key"], key["id"]);
    user.get(&format!("/v1/me/requests?key={}", text(&other, "id")))
        .assert_status(400);
    for path in [
        "/v1/keys",
        "/v1/teams",
        "/v1/budgets",
        "/v1/providers",
        "/v1/audit",
    ] {
        user.get(path).assert_status(403);
    }
    tenancy.gateway.anon().get("/v1/me").assert_status(401);
    let owner = admin.get("/v1/me").assert_status(200).json();
    assert_eq!(
        (&owner["kind"], &owner["memberships"][0]["role"]),
        (&json!("administrative"), &json!("owner"))
    );
    let keys = admin.get("/v1/keys").json();
    assert_eq!(keys["data"][0]["last_used_at"], "2026-11-23T10:00:00Z");
}

#[test]
fn budgets_are_listed_with_their_owners_in_the_scope_of_the_role() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let key = json!({"name": "ci", "team": "rockets", "budget_limit": "5"});
    let key = create(&admin, "keys", &key);
    create(
        &admin,
        "keys",
        &json!({"name": "x", "team": "support", "budget_limit": "7"}),
    );
    let team = format!("/v1/teams/{}", tenancy.rockets);
    admin
        .patch(
            &team,
            &json!({"budget_limit": "9", "budget_action": "warn"}),
        )
        .assert_status(200);
    caller(&tenancy, &key).chat(&call()).assert_status(200);
    let all = listed(&admin, "/v1/budgets", "owner_name");
    assert_eq!(all, ["ci", "x", "rockets"]);
    assert_eq!(listed(&admin, "/v1/budgets?action=warn", "limit"), ["9"]);
    let viewer = tenancy.with_role(&json!({"role": "viewer", "team": "rockets"}));
    let seen = viewer.get("/v1/budgets").assert_status(200).json();
    assert_eq!(seen["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&seen["data"][0]["owner"], &seen["data"][0]["owner_kind"]),
        (&key["id"], &json!("key"))
    );
    assert_ne!(seen["data"][0]["spent"], "0");
}

#[test]
fn provider_is_tested_without_a_model_call() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    let providers = admin.get("/v1/providers").assert_status(200).json();
    assert!(providers["data"][0]["base_url"].is_string(), "{providers}");
    let name = text(&providers["data"][0], "name");
    let tested = admin.post(&format!("/v1/providers/{name}/test"), &json!({}));
    let tested = tested.assert_status(200).json();
    assert!(
        tested["status"].is_number() && tested["verdict"].is_string(),
        "{tested}"
    );
    assert!(
        tenancy.gateway.requests().is_empty(),
        "a test is not metered"
    );
    admin
        .post("/v1/providers/nobody/test", &json!({}))
        .assert_status(404);
    let viewer = tenancy.with_role(&json!({"role": "viewer", "team": "rockets"}));
    let names = viewer.get("/v1/providers").assert_status(200).json();
    assert_eq!(
        names["data"][0],
        json!({"object": "provider", "id": name, "name": name})
    );
    viewer
        .post(&format!("/v1/providers/{name}/test"), &json!({}))
        .assert_status(403);
    let prices = admin.get("/v1/prices?limit=1").assert_status(200).json();
    assert_eq!(prices["data"].as_array().map(Vec::len), Some(1));
    assert!(prices["data"][0]["input_per_million"].is_string());
    let hidden = viewer.get("/v1/prices?limit=1").assert_status(200).json();
    assert!(hidden["data"][0]["input_per_million"].is_null(), "{hidden}");
    let refused = admin.post("/v1/alerts/test", &json!({}));
    assert!(refused.assert_status(409).text().contains("webhook"));
}
