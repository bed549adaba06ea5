//! What was refused is in the request log and in usage: ten rows per key, reason and minute, the rest as a count; no money,
//! and nothing of it in the ledger's log.

use serde_json::{Value, json};

use crate::harness::inside::Inside;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;
use crate::harness::{hello, wait_until};

/// A key with a budget that is too small for anything.
fn house() -> (Upstream, Inside, Key) {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20));
    let mut inside = Gatekeeper::before(&upstream).starts_inside();
    let team = inside.team(&json!({"name": "eng", "models": ["*"], "budgets": [{"limit": "0.000001", "period": "total"}]}));
    let key = inside.key_of(&team);
    (upstream, inside, key)
}

fn refused(inside: &Inside, query: &str) -> Vec<Value> {
    let page = inside
        .admin()
        .get(&format!("/v1/requests?limit=500&{query}"))
        .expects(200)
        .json();
    page["data"].as_array().expect("a list").clone()
}

fn counted(inside: &Inside) -> (u64, u64) {
    let total = inside.usage()["total"].clone();
    (
        total["requests"].as_u64().expect("a count"),
        total["refused_requests"].as_u64().expect("a count"),
    )
}

#[test]
fn a_refusal_is_a_row_with_its_word_and_costs_nothing() {
    let (_upstream, inside, key) = house();
    let refusal = inside.user(&key).chat(&hello("m-small"));
    let id = refusal
        .expects(402)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    inside.user(&key).chat(&hello("no-such-model")).expects(404);
    inside
        .user(&key)
        .posts_bytes("/v1/chat/completions", b"{")
        .expects(400);
    let rows = refused(&inside, "status=refused");
    let words: Vec<&Value> = rows.iter().map(|row| &row["code"]).collect();
    assert_eq!(
        words,
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
        refused(&inside, &format!("key={}", key.id)).len(),
        3,
        "the index by key has them"
    );
    assert_eq!(refused(&inside, "model=m-*").len(), 1);
    assert_eq!(refused(&inside, "provider=up").len(), 0);
    let one = inside
        .admin()
        .get(&format!("/v1/requests/{id}"))
        .expects(200)
        .json();
    assert_eq!(
        (&one["refusal"]["code"], &one["net_cost_usd"]),
        (&json!("budget_exceeded"), &json!("0"))
    );
    assert_eq!(counted(&inside), (0, 3));
    let by_status = inside
        .admin()
        .get("/v1/usage?group_by=status,key")
        .expects(200)
        .json();
    let row = &by_status["data"][0];
    assert_eq!(
        (&row["status"], &row["key"], &row["requests"]),
        (&json!("refused"), &json!(key.id), &json!(0))
    );
}

#[test]
fn an_endpoint_that_is_not_served_is_refused_like_anything_else() {
    let (_upstream, inside, key) = house();
    for path in ["/v1/images/generations", "/v1/nonsense"] {
        inside
            .user(&key)
            .post(path, &json!({"model": "m-small"}))
            .expects(501);
    }
    let rows = refused(&inside, "status=refused");
    assert_eq!(
        rows.iter().map(|row| &row["code"]).collect::<Vec<_>>(),
        [&json!("not_supported"); 2]
    );
    assert_eq!(counted(&inside), (0, 2));
}

#[test]
fn ten_rows_per_key_reason_and_minute_and_the_rest_is_counted() {
    let (_upstream, inside, key) = house();
    let mut connection = inside.user(&key).connects();
    let written = inside.metric("gatekeeper_ledger_written");
    for _ in 0..25 {
        assert_eq!(connection.chat(&hello("m-small")).status, 402);
    }
    for _ in 0..12 {
        assert_eq!(connection.chat(&hello("no-such-model")).status, 404);
    }
    assert_eq!(
        (refused(&inside, "status=refused").len(), counted(&inside)),
        (20, (0, 37))
    );
    inside.it_is("2026-11-23T10:01:00Z");
    assert_eq!(connection.chat(&hello("m-small")).status, 402);
    assert_eq!(
        (refused(&inside, "status=refused").len(), counted(&inside)),
        (21, (0, 38))
    );
    assert_eq!(
        inside.metric("gatekeeper_ledger_written"),
        written,
        "nothing of it is in the ledger's log"
    );
}

#[test]
fn a_key_that_may_not_call_any_more_is_told_from_one_that_is_not_known() {
    let (_upstream, inside, key) = house();
    inside
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), &json!({"disabled": true}))
        .expects(200);
    let mut body = hello("m-small");
    body["user"] = json!("ada");
    inside
        .user(&key)
        .with("x-gatekeeper-tag", "nightly")
        .chat(&body)
        .expects(401);
    let stranger = Key {
        id: String::new(),
        secret: "sk-gk-eng-nobody".to_owned(),
    };
    inside.user(&stranger).chat(&hello("m-small")).expects(401);
    let rows = refused(&inside, "status=refused");
    assert_eq!(
        (rows.len(), &rows[0]["code"], &rows[0]["model_asked"]),
        (1, &json!("authentication_error"), &json!("m-small"))
    );
    for filter in ["tag=nightly", "user=ada", "model=m-small"] {
        assert_eq!(refused(&inside, filter).len(), 1, "{filter}");
    }
    assert_eq!(counted(&inside), (0, 1));
}

#[test]
fn a_refusal_is_found_again_after_a_restart() {
    let (_upstream, mut inside, key) = house();
    inside.user(&key).chat(&hello("m-small")).expects(402);
    // an orderly end writes what waits
    inside.stop();
    inside.start();
    wait_until("the refusal is found again", || {
        refused(&inside, "status=refused").len() == 1
    });
    assert_eq!(counted(&inside), (0, 1));
}
