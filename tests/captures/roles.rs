//! Roles: captured calls are read by owners and administrators of the organization, by others only where an owner grants it per team;
//! each reading is an event.

use serde_json::{Value, json};

use super::{ANSWER, PROMPT, answer, chat, events, request_id};
use crate::harness::client::HttpClient;
use crate::harness::script::Script;
use crate::tenancy::Tenancy;

const ROLES: [(&str, &str); 9] = [
    ("instance", "owner"),
    ("instance", "auditor"),
    ("instance", "viewer"),
    ("organization", "admin"),
    ("organization", "auditor"),
    ("organization", "viewer"),
    ("team", "admin"),
    ("team", "member"),
    ("team", "viewer"),
];

fn membership(level: &str, role: &str) -> Value {
    match level {
        "organization" => json!({"role": role, "organization": "acme"}),
        "team" => json!({"role": role, "team": "rockets"}),
        _ => json!({"role": role}),
    }
}

/// Client of a role; a member has a user.
fn client_of(tenancy: &Tenancy, level: &str, role: &str) -> HttpClient {
    let membership = membership(level, role);
    match role {
        "member" => tenancy.as_user("member@example.org", &json!([membership])),
        _ => tenancy.with_role(&membership),
    }
}

#[test]
fn reading_is_refused_to_every_role_but_owner_and_organization_admin_until_granted() {
    let tenancy = Tenancy::start();
    let owner = tenancy.gateway.admin();
    let key = json!({"name": "k", "team": "rockets", "models": ["*"]});
    let key = tenancy.gateway.key(&key);
    let setting = format!("/v1/teams/{}/capture", tenancy.rockets);
    owner
        .patch(&setting, &json!({"on": true}))
        .assert_status(200);
    tenancy
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let call = tenancy.gateway.user(&key).chat(&chat(PROMPT));
    let path = format!(
        "/v1/requests/{}/capture",
        request_id(call.assert_status(200))
    );

    let clients = ROLES.map(|(level, role)| (level, role, client_of(&tenancy, level, role)));
    let mut reads = 0;
    for (level, role, client) in &clients {
        let (level, role) = (*level, *role);
        let response = client.get(&path);
        let may_read = [("instance", "owner"), ("organization", "admin")].contains(&(level, role));
        // the key is no personal key of the member: its requests are unknown to it
        let refusal = if role == "member" { 404 } else { 403 };
        let expected = if may_read { 200 } else { refusal };
        assert_eq!(
            response.status,
            expected,
            "{level} {role}: {}",
            response.text()
        );
        assert_eq!(response.text().contains(PROMPT), may_read, "{level} {role}");
        reads += usize::from(may_read);
        assert_eq!(
            events(&owner, "capture.read").len(),
            reads,
            "{level} {role}"
        );
    }
    // another organization's administrator and a virtual key see nothing
    let foreign = tenancy.with_role(&json!({"role": "admin", "organization": "default"}));
    foreign.get(&path).assert_status(404);
    tenancy.gateway.user(&key).get(&path).assert_status(403);

    for (level, role, client) in &clients {
        let (level, role) = (*level, *role);
        let is_granted_anyway = [("instance", "owner"), ("organization", "admin")];
        if is_granted_anyway.contains(&(level, role)) {
            continue;
        }
        let readers = json!({"readers": [format!("{level}:{role}")]});
        owner.patch(&setting, &readers).assert_status(200);
        client.get(&path).assert_status(200);
        owner
            .patch(&setting, &json!({"readers": []}))
            .assert_status(200);
        assert_ne!(client.get(&path).status, 200, "{level} {role}");
    }
}

#[test]
fn readers_are_named_by_owners_only_and_toggles_by_administrators() {
    let tenancy = Tenancy::start();
    let setting = format!("/v1/teams/{}/capture", tenancy.rockets);
    let foreign = format!("/v1/teams/{}/capture", tenancy.support);
    for (level, role) in ROLES {
        let client = client_of(&tenancy, level, role);
        let may_change = [("instance", "owner"), ("organization", "admin")];
        let expected = if may_change.contains(&(level, role)) {
            200
        } else {
            403
        };
        let changed = client.patch(&setting, &json!({"on": true}));
        assert_eq!(
            changed.status,
            expected,
            "{level} {role}: {}",
            changed.text()
        );
        let readers = client.patch(&setting, &json!({"readers": ["team:viewer"]}));
        let expected = if role == "owner" { 200 } else { 403 };
        assert_eq!(
            readers.status,
            expected,
            "{level} {role}: {}",
            readers.text()
        );
        if level == "organization" && role == "admin" {
            client
                .patch(&foreign, &json!({"on": true}))
                .assert_status(404);
            client.delete("/v1/captures?all=true").assert_status(403);
            client
                .delete(&format!("/v1/captures?team={}", tenancy.support))
                .assert_status(404);
        }
        let visible = client.get("/v1/captures").assert_status(200).json();
        assert_eq!(
            visible["data"][0]["owner"], tenancy.rockets,
            "{level} {role}"
        );
        assert_eq!(
            visible["data"][0]["readers"],
            json!(["team:viewer"]),
            "{level} {role}"
        );
    }
    let outside = tenancy.with_role(&json!({"role": "viewer", "team": "support"}));
    let visible = outside.get("/v1/captures").assert_status(200).json();
    assert_eq!(visible["data"], json!([]));
    let owner = tenancy.gateway.admin();
    for (body, message) in [
        (json!({"on": 1}), "true or false"),
        (json!({"keep_days": 0}), "from 1 to 365"),
        (json!({"readers": ["instance:owner"]}), "read without it"),
        (json!({"readers": ["team:captain"]}), "a list of roles"),
        (json!({}), ""),
    ] {
        let refused = owner.patch(&setting, &body);
        assert!(
            refused.assert_status(400).text().contains(message),
            "{}",
            refused.text()
        );
    }
    let off = owner.patch(&foreign, &json!({"keep_days": 3}));
    assert!(off.assert_status(400).text().contains("capture is off"));
}
