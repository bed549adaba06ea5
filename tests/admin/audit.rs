//! Audit log: one event per control-plane change, numbered without gaps; none for a rejected change; never a secret.

use serde_json::{Value, json};

use crate::harness::client::{Connection, HttpClient};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, text};
use crate::harness::workers::run_workers;

fn actions(gateway: &InProcessGateway) -> Vec<String> {
    gateway
        .audit()
        .iter()
        .map(|event| event["action"].as_str().expect("an action").to_owned())
        .collect()
}

const ACTIONS: [&str; 8] = [
    "organization.create",
    "organization.change",
    "team.create",
    "team.change",
    "key.create",
    "key.change",
    "admin_key.create",
    "admin_key.change",
];

/// Responses that created resources.
struct Created {
    organization: Value,
    key: Value,
    admin_key: Value,
}

fn change(admin: &HttpClient, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let response = match method {
        "POST" => admin.post(path, body),
        _ => admin.patch(path, body),
    };
    response.assert_status(status).json()
}

/// Creates and changes one resource of each kind: the changes of `ACTIONS`.
fn make_changes(admin: &HttpClient) -> Created {
    let create = |path: &str, body: Value| change(admin, "POST", path, &body, 201);
    let update = |path: &str, resource: &Value, body: Value| {
        let path = format!("{path}/{}", text(resource, "id"));
        change(admin, "PATCH", &path, &body, 200)
    };
    let budget = json!([{"limit": "5", "period": "monthly"}]);
    let organization = create("/v1/organizations", json!({"name": "acme"}));
    update(
        "/v1/organizations",
        &organization,
        json!({"budgets": budget}),
    );
    let team = create(
        "/v1/teams",
        json!({"name": "eng", "organization": organization["id"]}),
    );
    update(
        "/v1/teams",
        &team,
        json!({"models": ["m-*"], "budgets": budget}),
    );
    let key = create("/v1/keys", json!({"name": "laptop", "team": team["id"]}));
    update("/v1/keys", &key, json!({"disabled": true}));
    let admin_key = create("/v1/keys", json!({"name": "ops", "admin": true}));
    update("/v1/keys", &admin_key, json!({"disabled": true}));
    Created {
        organization: organization["id"].clone(),
        key,
        admin_key,
    }
}

/// Sends rejected changes and a read.
fn make_no_changes(admin: &HttpClient, created: &Created) {
    let team = |name: &str| json!({"name": name, "organization": created.organization});
    change(admin, "POST", "/v1/teams", &team("eng"), 409);
    change(admin, "POST", "/v1/teams", &team(""), 400);
    change(
        admin,
        "PATCH",
        "/v1/keys/key_999",
        &json!({"disabled": true}),
        404,
    );
    change(
        admin,
        "POST",
        "/v1/keys/verify",
        &json!({"key": created.key["key"]}),
        200,
    );
}

/// Checks the numbers and the form of all events, and the actors of those after the setup.
fn assert_events(events: &[Value], setup: usize) {
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], json!(place + 1));
        assert!(
            event["detail"].is_object() && event["actor"].is_string(),
            "{event}"
        );
    }
    let is_by_admin = |event: &Value| text(event, "actor").starts_with("admin:adm_");
    assert!(events[setup..].iter().all(is_by_admin));
}

#[test]
fn control_plane_change_leaves_one_numbered_audit_event() {
    let mut gateway = Gatekeeper::without_providers()
        .ledger("segment_mb = 1")
        .start_in_process();
    let setup = actions(&gateway).len();
    assert_ne!(setup, 0, "init leaves events");
    let created = make_changes(&gateway.admin());
    make_no_changes(&gateway.admin(), &created);
    assert_eq!(actions(&gateway)[setup..], ACTIONS);
    let events = gateway.audit();
    assert_events(&events, setup);
    let all = json!(events).to_string();
    for secret in [
        &created.key["key"],
        &created.admin_key["key"],
        &json!(gateway.admin_key),
    ] {
        assert!(
            !all.contains(secret.as_str().expect("a secret")),
            "the audit log contains a secret"
        );
    }
    let disabled = events
        .iter()
        .find(|event| event["action"] == "key.change")
        .expect("an event for the disabled key");
    assert_eq!(
        (&disabled["subject"], &disabled["detail"]["disabled"]),
        (&created.key["id"], &json!({"from": false, "to": true}))
    );
    gateway.stop();
    gateway.start();
    assert_eq!(
        json!(gateway.audit()[..events.len()]),
        json!(events),
        "a restart keeps all events"
    );
    let before = gateway.audit().len();
    gateway.team(&json!({"name": "later", "organization": created.organization}));
    assert_eq!(
        gateway.audit().last().expect("an event")["seq"],
        json!(before + 1)
    );
}

#[test]
fn concurrent_changes_get_consecutive_audit_numbers() {
    let gateway = Gatekeeper::without_providers()
        .ledger("segment_mb = 1")
        .start_in_process();
    let before = gateway.audit().len();
    let create = |connection: &mut Connection, number: usize| {
        let body = json!({"name": format!("team {number}")}).to_string();
        connection
            .call("POST", "/v1/teams", Some(body.as_bytes()))
            .assert_status(201)
            .status
    };
    run_workers(8, 40, |_| gateway.admin().connect(), create);
    let events = gateway.audit();
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=before as u64 + 40).collect::<Vec<_>>());
}
