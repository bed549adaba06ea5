//! Corrections: each counts in balances, hours and days, has a reason and an actor, and leaves the usage record unchanged.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, text};
use crate::harness::upstream::Upstream;
use crate::harness::{hello, usd};

/// Cost of 10 input tokens at 1 micro-dollar and 20 output tokens at 5.
const COST: i128 = 110_000_000;

/// A gateway with one served request; its id is the last value.
fn fixture() -> (Upstream, InProcessGateway, String) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team_with_budget("eng", "1");
    let key = gateway.key_of(&team);
    let answer = gateway.user(&key).chat(&hello("m-small"));
    let id = answer
        .assert_status(200)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    (upstream, gateway, id)
}

fn correct(gateway: &InProcessGateway, body: &Value) -> Response {
    gateway.admin().post("/v1/ledger/corrections", body)
}

fn spent(gateway: &InProcessGateway) -> String {
    text(
        &gateway.admin().get("/v1/teams").json()["data"][0]["budgets"][0],
        "spent",
    )
}

#[test]
fn correction_changes_all_totals_and_is_audited() {
    let (_upstream, mut gateway, id) = fixture();
    let body = json!({"request": id, "amount": "-$0.00005", "reason": "billed twice"});
    let created = correct(&gateway, &body).assert_status(201).json();
    assert_eq!(
        (&created["corrected"], &created["amount_usd"]),
        (&json!(1), &json!("-0.00005"))
    );
    let net = usd(COST - 50_000_000);
    let row = gateway.requests().remove(0);
    assert_eq!(
        (text(&row, "cost_usd"), text(&row, "net_cost_usd")),
        (usd(COST), net.clone())
    );
    let entry = json!({"at": "2026-11-23T10:00:00Z", "amount_usd": "-0.00005", "reason": "billed twice", "actor": "admin:adm_2"});
    assert_eq!(row["corrections"], json!([entry]));
    assert_eq!(
        (usd(gateway.usage_total()), spent(&gateway)),
        (net.clone(), net.clone())
    );
    let hours = gateway
        .admin()
        .get("/v1/usage?group_by=hour")
        .assert_status(200)
        .json();
    assert_eq!(
        (&hours["data"][0]["cost_usd"], &hours["data"][0]["requests"]),
        (&json!(net), &json!(1))
    );
    let last = gateway.audit().pop().expect("an event");
    assert_eq!(
        (&last["action"], &last["subject"]),
        (&json!("ledger.correct"), &json!(id))
    );
    assert_eq!(
        last["detail"],
        json!({"attempt": 1, "amount": "-0.00005", "reason": "billed twice"})
    );
    correct(
        &gateway,
        &json!({"request": id, "amount": 0.00001, "reason": "not that much", "attempt": 1}),
    )
    .assert_status(201);
    gateway.stop();
    gateway.start();
    assert_eq!(spent(&gateway), usd(COST - 40_000_000));
}

#[test]
fn correction_of_past_window_keeps_current_window() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let admin = gateway.admin();
    let daily = json!({"name": "eng", "budgets": [{"limit": "1", "period": "daily"}]});
    let team = admin.post("/v1/teams", &daily).assert_status(201).json();
    let key = gateway.key(&json!({"name": "k", "team": team["id"]}));
    let answer = gateway.user(&key).chat(&hello("m-small"));
    let id = answer
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    gateway.advance_to("2026-11-24T10:00:00Z");
    gateway
        .user(&key)
        .chat(&hello("m-small"))
        .assert_status(200);
    assert_eq!(spent(&gateway), usd(COST));
    correct(
        &gateway,
        &json!({"request": id, "amount": format!("-{}", usd(COST)), "reason": "a test call"}),
    )
    .assert_status(201);
    assert_eq!(spent(&gateway), usd(COST));
    let days = admin.get("/v1/usage?group_by=day").json();
    assert_eq!(
        (&days["data"][0]["cost_usd"], &days["data"][1]["cost_usd"]),
        (&json!("0"), &json!(usd(COST)))
    );
}

#[test]
fn correction_invalid_is_refused_without_change() {
    let (_upstream, gateway, id) = fixture();
    let events = gateway.audit().len();
    let of_request =
        |amount: &str, reason: &str| json!({"request": id, "amount": amount, "reason": reason});
    let unknown_id = format!("req_{}", "0".repeat(26));
    for (status, body) in [
        (400, of_request("-1", "more than it cost")),
        (400, of_request("0", "nothing")),
        (400, of_request("ten", "no amount")),
        (400, of_request("-0.00001", "")),
        (400, of_request("-0.00001", &"x".repeat(501))),
        (400, json!({"request": id, "amount": "-0.00001"})),
        (
            400,
            json!({"request": "req_1", "amount": "-0.00001", "reason": "no id"}),
        ),
        (
            404,
            json!({"request": id, "attempt": 2, "amount": "-0.00001", "reason": "no attempt"}),
        ),
        (
            404,
            json!({"request": unknown_id, "amount": "-0.00001", "reason": "unknown"}),
        ),
    ] {
        let response = correct(&gateway, &body);
        assert_eq!(response.status, status, "{body}: {}", response.text());
    }
    assert_eq!(
        (usd(gateway.usage_total()), gateway.audit().len()),
        (usd(COST), events)
    );
}

#[test]
fn correction_beyond_net_cost_is_refused() {
    let (_upstream, gateway, id) = fixture();
    let back = |amount: &str| {
        correct(
            &gateway,
            &json!({"request": id, "amount": amount, "reason": "a test call"}),
        )
    };
    assert!(
        back("-1")
            .assert_status(400)
            .error_message()
            .ends_with(&format!("give back at most -{}", usd(COST)))
    );
    back(&format!("-{}", usd(COST))).assert_status(201);
    let message = back("-0.00001").assert_status(400).error_message();
    assert!(
        message.ends_with("its cost is $0, nothing is left to give back"),
        "{message}"
    );
}
