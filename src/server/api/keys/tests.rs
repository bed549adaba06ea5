//! Tests of virtual and administrative keys: in force as soon as answered, refused once disabled or expired.

use serde_json::{Value, json};

use super::parse_expiry;
use crate::auth;
use crate::control::test_control::TestControl;
use crate::domain::api_error::ErrorCode;
use crate::policy::access;
use crate::server::api::test_calls::{
    answer, call, created, text, with_body, with_id, with_id_and_body, with_query,
};
use crate::server::api::{keys, teams};

const NOW_MS: u64 = 1_795_000_000_000;

#[test]
fn expiry_must_be_in_the_future() {
    assert_eq!(
        parse_expiry("7d", NOW_MS).expect("days"),
        NOW_MS + 7 * 86_400_000
    );
    assert_eq!(
        parse_expiry("12h", NOW_MS).expect("hours"),
        NOW_MS + 12 * 3_600_000
    );
    assert_eq!(
        parse_expiry("30m", NOW_MS).expect("minutes"),
        NOW_MS + 30 * 60_000
    );
    assert!(parse_expiry("2026-12-31T00:00:00+01:00", NOW_MS).is_ok());
    for text in [
        "",
        "d",
        "7",
        "-7d",
        "+7d",
        "0m",
        "7w",
        "99999999999999999999d",
        "18446744073709551615d",
        "2020-01-01T00:00:00Z",
        "9999d",
        "2026-12-31",
    ] {
        assert!(parse_expiry(text, NOW_MS).is_err(), "{text}");
    }
}
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
    let (team, keys_of_caller) = (&caller.team, caller.keys());
    assert!(access::is_model_allowed(
        team,
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
    let actor = || auth::authenticate_admin(&instance.control.directory(), Some(secret));
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
