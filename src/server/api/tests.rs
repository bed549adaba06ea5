//! Tests that span resources: budgets and rate limits of any owner, audit events, errors.

mod audit_failure;

use serde_json::{Value, json};

use super::*;
use crate::auth::role::may;
use crate::control::test_control::{TestControl, grant};
use crate::domain::id::BudgetId;
use crate::server::api::test_calls::{
    answer, call, created, text, with_body, with_id, with_id_and_body,
};

async fn change_team(instance: &TestControl, team: &Value, body: &str) -> (u16, Value) {
    answer(teams::change(with_id_and_body(instance, &team["id"], body))).await
}

#[tokio::test]
async fn changed_budget_keeps_its_id_and_removed_one_is_forgotten() {
    let instance = TestControl::open().await;
    let body = r#"{"name":"eng","budgets":[{"limit":10,"period":"monthly"},{"limit":1,"period":"daily"}]}"#;
    let team = created(teams::create(with_body(&instance, body))).await;
    let body = r#"{"budgets":[{"limit":"20","period":"monthly","action":"warn"},{"limit":5,"period":"weekly"}]}"#;
    let (_, changed) = change_team(&instance, &team, body).await;
    let (before, after) = (&team["budgets"], &changed["budgets"]);
    assert_eq!(
        (&after[0]["id"], &after[0]["limit"], &after[0]["action"]),
        (&before[0]["id"], &"20".into(), &"warn".into())
    );
    assert_ne!(after[1]["id"], before[1]["id"]);
    let removed = BudgetId::parse(text(&before[1]["id"])).expect("an id");
    assert!(instance.ledger.budget_status(removed).is_none());
    let (_, read) = answer(teams::get(with_id(&instance, &team["id"]))).await;
    assert_eq!(read["budgets"], changed["budgets"]);
}

#[tokio::test]
async fn rate_limits_apply_from_key_to_organization_and_change_in_parts() {
    let instance = TestControl::open().await;
    let body =
        r#"{"name":"eng","limits":[{"rpm":60,"tpm":1000},{"max_parallel":2,"model":"gpt-5*"}]}"#;
    let team = created(teams::create(with_body(&instance, body))).await;
    assert_eq!(
        (&team["rpm"], &team["limits"][0]["remaining_tokens"]),
        (&60.into(), &1_000.into())
    );
    let body = r#"{"name":"ci","team":"eng","rpm":6}"#;
    let key = created(keys::create(with_body(&instance, body))).await;
    let caller = instance.caller(text(&key["key"])).expect("a live key");
    let ids: Vec<String> = caller.limits.iter().map(ToString::to_string).collect();
    let expected = [&key["limits"][0], &team["limits"][0], &team["limits"][1]];
    assert_eq!(ids, expected.map(|limit| text(&limit["id"])));

    let (_, changed) = change_team(&instance, &team, r#"{"rpm":30,"max_parallel":4}"#).await;
    let flat = [&changed["rpm"], &changed["tpm"], &changed["max_parallel"]];
    assert_eq!(json!(flat), json!([30, 1_000, 4]));
    assert_eq!(changed["limits"][0]["id"], team["limits"][0]["id"]);
    let (_, emptied) = change_team(&instance, &team, r#"{"limits":[]}"#).await;
    assert_eq!(
        (&emptied["limits"], &emptied["rpm"]),
        (&json!([]), &Value::Null)
    );
    assert!(instance.ledger.limit_status(caller.limits[1]).is_none());
    let events = instance.audit();
    let detail = &events[events.len() - 2]["detail"]["limits"];
    assert_eq!(
        (&detail["from"][0]["rpm"], &detail["to"][0]["rpm"]),
        (&60.into(), &30.into())
    );
    let (_, list) = answer(organizations::list(call(&instance))).await;
    let id = &list["data"][0]["id"];
    let change = async |body: &str| {
        answer(organizations::change(with_id_and_body(&instance, id, body))).await
    };
    assert_eq!(change(r#"{"tpm":9}"#).await.1["limits"][0]["tpm"], 9);
    assert_eq!(change("{}").await.0, 400);
}

#[tokio::test]
async fn change_writes_one_audit_event_and_refused_change_none() {
    let instance = TestControl::open().await;
    let body = r#"{"name":"acme","budget_limit":"100","budget_period":"monthly"}"#;
    created(organizations::create(with_body(&instance, body))).await;
    let team = r#"{"name":"eng","organization":"acme"}"#;
    created(teams::create(with_body(&instance, team))).await;
    let body = r#"{"name":"ci","team":"eng"}"#;
    let key = created(keys::create(with_body(&instance, body))).await;
    let change = with_id_and_body(&instance, &key["id"], r#"{"disabled":true}"#);
    answer(keys::change(change)).await;
    let duplicate = answer(teams::create(with_body(&instance, team))).await;
    assert_eq!(duplicate.0, 409);
    let orphan = r#"{"name":"x","team":"team_99"}"#;
    let orphan = answer(keys::create(with_body(&instance, orphan))).await;
    assert_eq!(orphan.0, 404);
    let events = instance.audit();
    let actions: Vec<&str> = events.iter().map(|event| text(&event["action"])).collect();
    assert_eq!(
        actions,
        [
            "instance.set_up",
            "organization.create",
            "team.create",
            "key.create",
            "key.change"
        ]
    );
    assert_eq!(
        (&events[3]["actor"], &events[3]["subject"]),
        (&"local:uid=0".into(), &key["id"])
    );
    assert_eq!(
        events[4]["detail"]["disabled"],
        json!({ "from": false, "to": true })
    );
    let secret = text(&key["key"]);
    let random = &secret[secret.len() - 34..];
    assert!(
        !events
            .iter()
            .any(|event| event.to_string().contains(random))
    );
}

/// Body of a new team, status, param of the error.
const INVALID_TEAMS: [(&str, u16, &str); 5] = [
    (r#"{"models":[]}"#, 400, "name"),
    (r#"{"name":"a\nb"}"#, 400, "name"),
    (r#"{"name":"eng"}"#, 409, "name"),
    (
        r#"{"name":"x","organization":"nobody"}"#,
        404,
        "organization",
    ),
    (
        r#"{"name":"x","budgets":[{"limit":"ten"}]}"#,
        400,
        "budgets[0].limit",
    ),
];

/// Body of a new key, status, param of the error.
const INVALID_KEYS: [(&str, u16, Option<&str>); 8] = [
    (r#"{"name":"x"}"#, 400, Some("team")),
    (r#"{"name":"x","team":"nobody"}"#, 404, Some("team")),
    (r#"{"name":"x","team":"eng","rpm":0}"#, 400, Some("rpm")),
    (
        r#"{"name":"x","team":"eng","metadata":3}"#,
        400,
        Some("metadata"),
    ),
    (
        r#"{"name":"x","team":"eng","expires":"yesterday"}"#,
        400,
        Some("expires"),
    ),
    (
        r#"{"name":"x","team":"eng","models":["a b"]}"#,
        400,
        Some("models"),
    ),
    (
        r#"{"name":"x","admin":true,"team":"eng"}"#,
        400,
        Some("role"),
    ),
    ("[]", 400, None),
];

#[tokio::test]
async fn error_names_the_invalid_member() {
    let instance = TestControl::open().await;
    created(teams::create(with_body(&instance, r#"{"name":"eng"}"#))).await;
    for (body, status, param) in INVALID_TEAMS {
        let (answered, error) = answer(teams::create(with_body(&instance, body))).await;
        assert_eq!((answered, &error[1]), (status, &json!(param)), "{body}");
    }
    for (body, status, param) in INVALID_KEYS {
        let (answered, error) = answer(keys::create(with_body(&instance, body))).await;
        assert_eq!((answered, &error[1]), (status, &json!(param)), "{body}");
    }
    let (status, error) = answer(keys::verify(with_body(&instance, "{}"))).await;
    assert_eq!((status, &error[1]), (400, &json!("key")));
    let team = json!("team_3");
    let (status, _) = answer(teams::change(with_id_and_body(&instance, &team, "{}"))).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn unknown_id_is_not_found() {
    let instance = TestControl::open().await;
    for id in ["team_99", "x"] {
        let (status, _) = answer(teams::get(with_id(&instance, &json!(id)))).await;
        assert_eq!(status, 404, "{id}");
    }
    let of_a_team = with_id_and_body(&instance, &json!("team_2"), r#"{"disabled":true}"#);
    assert_eq!(answer(keys::change(of_a_team)).await.0, 404);
}

#[tokio::test]
async fn concurrent_changes_leave_ledger_equal_to_store() {
    let instance = TestControl::open().await;
    let body = r#"{"name":"eng","budget_limit":1}"#;
    let team = created(teams::create(with_body(&instance, body))).await;
    let changes = (2..40).map(|limit| {
        let body = format!(r#"{{"budget_limit":{limit}}}"#);
        answer(teams::change(with_id_and_body(
            &instance,
            &team["id"],
            &body,
        )))
    });
    futures_util::future::join_all(changes).await;
    let stored = instance.store.tenants().expect("tenants").budgets;
    let status = instance.ledger.budget_status(stored[0].id);
    let status = status.expect("the ledger has it");
    assert_eq!((stored.len(), stored[0].limit), (1, status.limit));
}

#[tokio::test]
async fn second_setup_is_refused() {
    let instance = TestControl::open().await;
    let second = instance.control.bootstrap(&grant(may::SetUp)).await;
    assert_eq!(second.expect_err("refused").code, ErrorCode::Conflict);
}

#[test]
fn wrong_method_error_names_the_allowed_methods() {
    let allowed = [Method::GET, Method::PATCH];
    let error = method_not_allowed("/v1/teams/{id}", &allowed, &Method::DELETE);
    assert_eq!(
        error.message,
        "/v1/teams/{id} does not take DELETE; it takes GET, PATCH"
    );
}
