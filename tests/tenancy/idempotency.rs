//! `Idempotency-Key`: a repeated creation returns the object of the first call and creates nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::harness::client::HttpClient;
use crate::harness::instance::text;

fn with_key(client: &HttpClient, key: &str) -> HttpClient {
    client.clone().with("idempotency-key", key)
}

/// Audit events of creations.
fn creations(tenancy: &Tenancy) -> usize {
    let events = tenancy.gateway.audit();
    let action = |event: &Value| event["action"].as_str().unwrap_or_default().to_owned();
    let all = events.iter().map(action);
    all.filter(|action| action.ends_with(".create")).count()
}

#[test]
fn creation_repeated_with_its_key_returns_the_same_object() {
    let tenancy = Tenancy::start();
    let admin = tenancy.gateway.admin();
    for (path, body) in [
        ("organizations", json!({"name": "globex"})),
        ("teams", json!({"name": "lasers", "organization": "acme"})),
        ("users", json!({"email": "ada@example.org"})),
        (
            "keys",
            json!({"name": "ci", "team": "rockets", "budget_limit": "3"}),
        ),
        (
            "keys",
            json!({"name": "ops", "admin": true, "role": "viewer"}),
        ),
    ] {
        let client = with_key(&admin, &format!("{path}-{}", body["name"]));
        let first = create(&client, path, &body);
        let before = creations(&tenancy);
        let second = create(&client, path, &body);
        assert_eq!(first["id"], second["id"], "{path}");
        assert_eq!(creations(&tenancy), before, "{path}");
        if path == "keys" {
            assert!(first["key"].is_string() && first["key_shown"].is_null());
            assert_eq!(second["key"], Value::Null);
            assert_eq!(second["key_shown"], true);
            assert!(
                second
                    .as_object()
                    .is_some_and(|key| key.contains_key("key")),
                "null, not absent"
            );
        }
    }
}

#[test]
fn key_with_another_body_or_a_deleted_object_is_conflict() {
    let tenancy = Tenancy::start();
    let admin = with_key(&tenancy.gateway.admin(), "one");
    let body = json!({"name": "lasers", "organization": "acme"});
    let team = create(&admin, "teams", &body);
    let other = json!({"name": "phasers", "organization": "acme"});
    let error = admin.post("/v1/teams", &other).assert_status(409).json();
    assert_eq!(error["error"]["code"], "conflict");
    assert!(text(&error["error"], "message").contains("another body"));
    // the path counts as a part of the call
    admin
        .post("/v1/organizations", &json!({"name": "x"}))
        .assert_status(409);
    let path = format!("/v1/teams/{}", text(&team, "id"));
    tenancy.gateway.admin().delete(&path).assert_status(204);
    let error = admin.post("/v1/teams", &body).assert_status(409).json();
    assert!(text(&error["error"], "message").contains("deleted"));
    for invalid in ["", "a b", &"x".repeat(256)] {
        let client = with_key(&tenancy.gateway.admin(), invalid);
        client.post("/v1/teams", &other).assert_status(400);
    }
}

#[test]
fn refused_creation_is_not_remembered() {
    let tenancy = Tenancy::start();
    let admin = with_key(&tenancy.gateway.admin(), "one");
    let body = json!({"name": "rockets", "organization": "acme"});
    admin.post("/v1/teams", &body).assert_status(409);
    let path = format!("/v1/teams/{}", tenancy.rockets);
    tenancy.gateway.admin().delete(&path).assert_status(204);
    create(&admin, "teams", &body);
}

#[test]
fn key_belongs_to_its_actor_and_ends_after_a_day() {
    let tenancy = Tenancy::start();
    let body = |name: &str| json!({"name": name, "organization": "acme"});
    let owner = with_key(&tenancy.gateway.admin(), "one");
    let admin = tenancy.with_role(&json!({"role": "admin", "organization": "acme"}));
    let admin = with_key(&admin, "one");
    create(&owner, "teams", &body("lasers"));
    create(&admin, "teams", &body("phasers"));
    tenancy.gateway.advance_to("2026-11-24T09:59:59Z");
    create(&owner, "teams", &body("lasers"));
    tenancy.gateway.advance_to("2026-11-24T10:00:30Z");
    create(&owner, "teams", &body("sensors"));
    let names = listed(
        &tenancy.gateway.admin(),
        "/v1/teams?organization=acme",
        "name",
    );
    assert_eq!(names, ["rockets", "lasers", "phasers", "sensors"]);
}

#[test]
fn concurrent_repetitions_create_one_object() {
    let tenancy = Tenancy::start();
    let admin = with_key(&tenancy.gateway.admin(), "one");
    let body = json!({"name": "ci", "team": "rockets"});
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| text(&create(&admin, "keys", &body), "id")))
            .collect();
        let ids = calls.into_iter().map(|call| call.join().expect("an id"));
        ids.collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(listed(&tenancy.gateway.admin(), "/v1/keys", "name"), ["ci"]);
}
