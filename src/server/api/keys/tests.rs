//! Tests of virtual and administrative keys: in force as soon as answered, refused once disabled or expired.

use serde_json::{Value, json};

use crate::auth;
use crate::control::test_control::TestControl;
use crate::domain::api_error::ErrorCode;
use crate::policy::access;
use crate::server::api::test_calls::{
    answer, call, created, text, with_body, with_id, with_id_and_body, with_query,
};
use crate::server::api::{keys, teams};

#[tokio::test]
async fn team_and_key_are_in_force_once_answered() {
    let instance = TestControl::open().await;
    let body =
        r#"{"name":"eng","models":["gpt-5*"],"budgets":[{"limit":"12.50","period":"monthly"}]}"#;
    let team = created(teams::create(with_body(&instance, body))).await;
    assert_eq!(team["budgets"][0]["remaining"], "12.5");
    assert_eq!(team["budgets"][0]["resets_at"], "2026-12-01T00:00:00Z");
    let body = r#"{"name":"CI","team":"eng","budget_limit":10,"expires":"7d"}"#;
    let key = created(keys::create(with_body(&instance, body))).await;
    assert_eq!(
        (&key["team"], &key["expires_at"]),
        (&team["id"], &"2026-11-30T10:00:00Z".into())
    );
    let secret = text(&key["key"]);
    assert!(secret.starts_with("sk-gk-ci-") && secret.ends_with(text(&key["hint"])));

    let caller = instance.caller(secret).expect("a live key");
    let budgets: Vec<String> = caller.budgets.iter().map(ToString::to_string).collect();
    assert_eq!(
        budgets,
        [&key, &team].map(|owner| text(&owner["budgets"][0]["id"]))
    );
    assert!(instance.ledger.budget_status(caller.budgets[0]).is_some());
    let tenants = (&caller.organization, &caller.team);
    let keys_of_caller = caller.keys();
    assert!(access::is_model_allowed(
        tenants,
        keys_of_caller,
        &["gpt-5.1"],
        ("openai", "gpt-5.1")
    ));

    let (_, shown) = answer(keys::get(with_id(&instance, &key["id"]))).await;
    assert_eq!(
        (shown["name"].clone(), shown.get("key")),
        ("CI".into(), None)
    );
    let (_, list) = answer(keys::list(call(&instance))).await;
    assert_eq!(
        (&list["data"][0]["id"], &list["next"]),
        (&key["id"], &Value::Null)
    );
}

#[tokio::test]
async fn disabled_or_expired_key_is_refused_on_the_next_request() {
    let instance = TestControl::open().await;
    created(teams::create(with_body(&instance, r#"{"name":"eng"}"#))).await;
    let key = r#"{"name":"ci","team":"eng"}"#;
    let key = created(keys::create(with_body(&instance, key))).await;
    let change = async |body: &str| {
        answer(keys::change(with_id_and_body(&instance, &key["id"], body))).await
    };
    let (status, changed) = change(r#"{"disabled":true}"#).await;
    assert_eq!((status, &changed["disabled"]), (200, &true.into()));
    let secret = text(&key["key"]);
    assert_eq!(
        instance.caller(secret).expect_err("disabled").code,
        ErrorCode::Authentication
    );
    change(r#"{"disabled":false,"expires":"30m"}"#).await;
    assert!(instance.caller(secret).is_ok());
    instance.clock.advance_ms(30 * 60_000);
    assert_eq!(
        instance.caller(secret).expect_err("expired").code,
        ErrorCode::KeyExpired
    );
    let (_, changed) = change(r#"{"expires":null}"#).await;
    assert_eq!(changed["expires_at"], Value::Null);
    assert!(instance.caller(secret).is_ok());
}

#[tokio::test]
async fn change_completes_after_its_caller_hangs_up() {
    let instance = TestControl::open().await;
    created(teams::create(with_body(&instance, r#"{"name":"eng"}"#))).await;
    let key = r#"{"name":"ci","team":"eng"}"#;
    let key = created(keys::create(with_body(&instance, key))).await;
    let change = with_id_and_body(&instance, &key["id"], r#"{"disabled":true}"#);
    let hung_up = futures_util::FutureExt::now_or_never(keys::change(change));
    assert!(hung_up.is_none());
    // the next change is behind it in the queues of the writer and the directory
    created(teams::create(with_body(&instance, r#"{"name":"next"}"#))).await;
    assert!(instance.caller(text(&key["key"])).is_err());
}

#[tokio::test]
async fn verify_reports_the_status_that_a_call_would_have() {
    let mut instance = TestControl::open().await;
    let names = |visit: &mut dyn FnMut(&str, &str, &str)| {
        visit("gpt-5.1", "openai", "gpt-5.1");
        visit("claude-haiku-4-5", "anthropic", "claude-haiku-4-5");
    };
    instance.control = instance
        .control
        .clone()
        .with_catalogue(std::sync::Arc::new(names));
    let team = r#"{"name":"eng","models":["anthropic/*"]}"#;
    created(teams::create(with_body(&instance, team))).await;
    let key = r#"{"name":"ci","team":"eng","budget_limit":3}"#;
    let key = created(keys::create(with_body(&instance, key))).await;
    let verify = async |secret: &str| {
        let body = json!({ "key": secret }).to_string();
        answer(keys::verify(with_body(&instance, &body))).await.1
    };
    let status = verify(text(&key["key"])).await;
    assert_eq!(
        (&status["valid"], &status["kind"], &status["team_name"]),
        (&true.into(), &"virtual".into(), &"eng".into())
    );
    assert_eq!(
        (&status["models"], &status["key"]["budgets"][0]["limit"]),
        (&json!(["claude-haiku-4-5"]), &"3".into())
    );
    let status = verify(instance.admin.expose()).await;
    assert_eq!(status["kind"], "administrative");
    let status = verify("sk-gk-nonsense").await;
    assert_eq!(
        (&status["valid"], &status["code"]),
        (&false.into(), &"authentication_error".into())
    );
}

#[tokio::test]
async fn administrative_key_authenticates_until_disabled() {
    let instance = TestControl::open().await;
    let body = r#"{"name":"ops","admin":true}"#;
    let admin = created(keys::create(with_body(&instance, body))).await;
    let secret = text(&admin["key"]);
    let control = &instance.control;
    let actor = || auth::authenticate_admin(&control.directory(), Some(secret), control.now_ms());
    assert!(actor().is_ok());
    assert_eq!(
        instance.caller(secret).expect_err("no caller").code,
        ErrorCode::PermissionDenied
    );
    let (_, list) = answer(keys::list(with_query(&instance, "admin=true"))).await;
    assert_eq!(list["data"].as_array().expect("a list").len(), 2);
    let change = with_id_and_body(&instance, &admin["id"], r#"{"disabled":true}"#);
    let (status, _) = answer(keys::change(change)).await;
    assert_eq!(
        (status, actor().expect_err("disabled").code),
        (200, ErrorCode::Authentication)
    );
}
