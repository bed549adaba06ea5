//! Every change of the control plane leaves exactly one audit event, numbered without a gap; what was refused leaves none;
//! and no event has a secret in it.

use serde_json::{Value, json};

use crate::harness::in_process::InProcessGateway;
use crate::harness::process::Gatekeeper;

fn actions(gateway: &InProcessGateway) -> Vec<String> {
    gateway
        .audit()
        .iter()
        .map(|event| event["action"].as_str().expect("an action").to_owned())
        .collect()
}

#[test]
fn every_change_leaves_one_event_numbered_without_a_gap() {
    let mut gateway = Gatekeeper::without_providers()
        .ledger("segment_mb = 1")
        .start_in_process();
    let set_up = actions(&gateway);
    assert!(!set_up.is_empty(), "setting up is a change");
    let admin = gateway.admin();
    let change = |method: &str, path: &str, body: &Value, status: u16| {
        let answer = match method {
            "POST" => admin.post(path, body),
            _ => admin.patch(path, body),
        };
        answer.assert_status(status).json()
    };
    let budget = json!([{"limit": "5", "period": "monthly"}]);
    let organization = change("POST", "/v1/organizations", &json!({"name": "acme"}), 201)["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    change(
        "PATCH",
        &format!("/v1/organizations/{organization}"),
        &json!({"budgets": budget}),
        200,
    );
    let team = change(
        "POST",
        "/v1/teams",
        &json!({"name": "eng", "organization": organization}),
        201,
    );
    let team = team["id"].as_str().expect("an id").to_owned();
    change(
        "PATCH",
        &format!("/v1/teams/{team}"),
        &json!({"models": ["m-*"], "budgets": budget}),
        200,
    );
    let key = change(
        "POST",
        "/v1/keys",
        &json!({"name": "laptop", "team": team}),
        201,
    );
    let id = key["id"].as_str().expect("an id").to_owned();
    change(
        "PATCH",
        &format!("/v1/keys/{id}"),
        &json!({"disabled": true}),
        200,
    );
    let ops = change(
        "POST",
        "/v1/keys",
        &json!({"name": "ops", "admin": true}),
        201,
    );
    change(
        "PATCH",
        &format!("/v1/keys/{}", ops["id"].as_str().expect("an id")),
        &json!({"disabled": true}),
        200,
    );
    // refused: nothing changed, nothing to tell
    change(
        "POST",
        "/v1/teams",
        &json!({"name": "eng", "organization": organization}),
        409,
    );
    change(
        "POST",
        "/v1/teams",
        &json!({"name": "", "organization": organization}),
        400,
    );
    change("PATCH", "/v1/keys/key_999", &json!({"disabled": true}), 404);
    change("POST", "/v1/keys/verify", &json!({"key": key["key"]}), 200);
    let expected = [
        "organization.create",
        "organization.change",
        "team.create",
        "team.change",
        "key.create",
        "key.change",
        "admin_key.create",
        "admin_key.change",
    ];
    assert_eq!(actions(&gateway)[set_up.len()..], expected);
    let events = gateway.audit();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], json!(place + 1));
        assert!(
            event["detail"].is_object() && event["actor"].is_string(),
            "{event}"
        );
    }
    assert!(events[set_up.len()..].iter().all(|event| {
        event["actor"]
            .as_str()
            .expect("an actor")
            .starts_with("admin:adm_")
    }));
    let all = json!(events).to_string();
    for secret in [&key["key"], &ops["key"], &json!(gateway.admin_key)] {
        assert!(
            !all.contains(secret.as_str().expect("a secret")),
            "a secret is in the audit log"
        );
    }
    let disabled = events
        .iter()
        .find(|event| event["action"] == "key.change")
        .expect("there is one");
    assert_eq!(
        (&disabled["subject"], &disabled["detail"]["disabled"]),
        (&json!(id), &json!({"from": false, "to": true}))
    );
    gateway.stop();
    gateway.start();
    assert_eq!(
        json!(gateway.audit()),
        json!(events),
        "a restart changes no event"
    );
    gateway.team(&json!({"name": "later", "organization": organization}));
    assert_eq!(
        gateway.audit().last().expect("an event")["seq"],
        json!(events.len() + 1)
    );
}

#[test]
fn changes_at_once_are_numbered_one_after_the_other() {
    let gateway = Gatekeeper::without_providers()
        .ledger("segment_mb = 1")
        .start_in_process();
    let before = gateway.audit().len();
    let create = |connection: &mut crate::harness::client::Connection, number: usize| {
        let body = json!({"name": format!("team {number}")}).to_string();
        connection
            .call("POST", "/v1/teams", Some(body.as_bytes()))
            .assert_status(201)
            .status
    };
    crate::harness::workers::run_workers(8, 40, |_| gateway.admin().connect(), create);
    let events = gateway.audit();
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=before as u64 + 40).collect::<Vec<_>>());
}
