//! Refusals in the request log and in usage: ten rows per key, reason and minute, the rest as a count; they cost nothing
//! and are not in the write-ahead log.

use serde_json::{Value, json};

use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;
use crate::harness::{hello, wait_until};

/// A key with a budget too small for any call.
fn fixture() -> (Upstream, InProcessGateway, Key) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng", "models": ["*"], "budgets": [{"limit": "0.000001", "period": "total"}]}));
    let key = gateway.key_of(&team);
    (upstream, gateway, key)
}

fn refused(gateway: &InProcessGateway, query: &str) -> Vec<Value> {
    let page = gateway
        .admin()
        .get(&format!("/v1/requests?limit=500&{query}"))
        .assert_status(200)
        .json();
    page["data"].as_array().expect("a list").clone()
}

fn counted(gateway: &InProcessGateway) -> (u64, u64) {
    let total = gateway.usage()["total"].clone();
    (
        total["requests"].as_u64().expect("a count"),
        total["refused_requests"].as_u64().expect("a count"),
    )
}

#[test]
fn refusal_is_logged_with_error_code_and_zero_cost() {
    let (_upstream, gateway, key) = fixture();
    let refusal = gateway.user(&key).chat(&hello("m-small"));
    let id = refusal
        .assert_status(402)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    gateway
        .user(&key)
        .chat(&hello("no-such-model"))
        .assert_status(404);
    gateway
        .user(&key)
        .post_bytes("/v1/chat/completions", b"{")
        .assert_status(400);
    let rows = refused(&gateway, "status=refused");
    let codes: Vec<&Value> = rows.iter().map(|row| &row["code"]).collect();
    assert_eq!(
        codes,
        [
            &json!("invalid_request_error"),
            &json!("model_not_found"),
            &json!("budget_exceeded")
        ]
    );
    let asked: Vec<&Value> = rows.iter().map(|row| &row["model_asked"]).collect();
    assert_eq!(
        asked,
        [&json!(""), &json!("no-such-model"), &json!("m-small")]
    );
    let row = &rows[2];
    assert_eq!(
        (&row["id"], &row["status"], &row["cost_usd"]),
        (&json!(id), &json!("refused"), &json!("0"))
    );
    assert_eq!(
        (&row["provider"], &row["attempt"], &row["key"]),
        (&Value::Null, &json!(0), &json!(key.id))
    );
    assert_eq!(
        refused(&gateway, &format!("key={}", key.id)).len(),
        3,
        "the index by key contains refusals"
    );
    assert_eq!(refused(&gateway, "model=m-*").len(), 1);
    assert_eq!(refused(&gateway, "provider=up").len(), 0);
    let one = gateway
        .admin()
        .get(&format!("/v1/requests/{id}"))
        .assert_status(200)
        .json();
    assert_eq!(
        (&one["refusal"]["code"], &one["net_cost_usd"]),
        (&json!("budget_exceeded"), &json!("0"))
    );
    assert_eq!(counted(&gateway), (0, 3));
    let by_status = gateway
        .admin()
        .get("/v1/usage?group_by=status,key")
        .assert_status(200)
        .json();
    let row = &by_status["data"][0];
    assert_eq!(
        (&row["status"], &row["key"], &row["requests"]),
        (&json!("refused"), &json!(key.id), &json!(0))
    );
}

#[test]
fn refusal_unsupported_endpoint_is_logged() {
    let (_upstream, gateway, key) = fixture();
    for path in ["/v1/images/generations", "/v1/nonsense"] {
        gateway
            .user(&key)
            .post(path, &json!({"model": "m-small"}))
            .assert_status(501);
    }
    let rows = refused(&gateway, "status=refused");
    assert_eq!(
        rows.iter().map(|row| &row["code"]).collect::<Vec<_>>(),
        [&json!("not_supported"); 2]
    );
    assert_eq!(counted(&gateway), (0, 2));
}

#[test]
fn refusal_log_over_ten_rows_per_minute_only_counts() {
    let (_upstream, gateway, key) = fixture();
    let mut connection = gateway.user(&key).connect();
    let written = gateway.metric("gatekeeper_ledger_written");
    for _ in 0..25 {
        assert_eq!(connection.chat(&hello("m-small")).status, 402);
    }
    for _ in 0..12 {
        assert_eq!(connection.chat(&hello("no-such-model")).status, 404);
    }
    assert_eq!(
        (refused(&gateway, "status=refused").len(), counted(&gateway)),
        (20, (0, 37))
    );
    gateway.advance_to("2026-11-23T10:01:00Z");
    assert_eq!(connection.chat(&hello("m-small")).status, 402);
    assert_eq!(
        (refused(&gateway, "status=refused").len(), counted(&gateway)),
        (21, (0, 38))
    );
    assert_eq!(
        gateway.metric("gatekeeper_ledger_written"),
        written,
        "refusals are not in the write-ahead log"
    );
}

#[test]
fn refusal_disabled_key_is_logged_and_unknown_key_is_not() {
    let (_upstream, gateway, key) = fixture();
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), &json!({"disabled": true}))
        .assert_status(200);
    let mut body = hello("m-small");
    body["user"] = json!("ada");
    gateway
        .user(&key)
        .with("x-gatekeeper-tag", "nightly")
        .chat(&body)
        .assert_status(401);
    let unknown = Key {
        id: String::new(),
        secret: "sk-gk-eng-nobody".to_owned(),
    };
    gateway
        .user(&unknown)
        .chat(&hello("m-small"))
        .assert_status(401);
    let rows = refused(&gateway, "status=refused");
    assert_eq!(
        (rows.len(), &rows[0]["code"], &rows[0]["model_asked"]),
        (1, &json!("authentication_error"), &json!("m-small"))
    );
    for filter in ["tag=nightly", "user=ada", "model=m-small"] {
        assert_eq!(refused(&gateway, filter).len(), 1, "{filter}");
    }
    assert_eq!(counted(&gateway), (0, 1));
}

#[test]
fn refusal_after_restart_is_kept() {
    let (_upstream, mut gateway, key) = fixture();
    gateway
        .user(&key)
        .chat(&hello("m-small"))
        .assert_status(402);
    // a clean stop writes pending refusals
    gateway.stop();
    gateway.start();
    wait_until("the refusal is listed", || {
        refused(&gateway, "status=refused").len() == 1
    });
    assert_eq!(counted(&gateway), (0, 1));
}
