//! Remaining-budget headers of refusals and failures: the tightest budget above the caller, for any reason of the failure.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

const TOMORROW: &str = "2026-11-24T00:00:00Z";
const NEXT_MONTH: &str = "2026-12-01T00:00:00Z";

fn start_gateway(upstream: &Upstream) -> InProcessGateway {
    upstream.respond_with(model::with_usage(10, 20));
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .start_in_process_at("2026-11-23T10:00:00Z")
}

fn key(gateway: &mut InProcessGateway, of_team: Value, of_key: Value) -> Key {
    let others = gateway.admin().get("/v1/teams").assert_status(200).json()["data"]
        .as_array()
        .map_or(0, Vec::len);
    let team = gateway
        .team(&json!({"name": format!("eng-{others}"), "models": ["*"], "budgets": of_team}));
    gateway.key(&json!({"name": "ci", "team": team.id, "models": ["*"], "budgets": of_key}))
}

fn budget_headers(response: &Response) -> (Option<String>, Option<String>) {
    let header = |name| response.header(name).map(str::to_owned);
    (
        header("x-gatekeeper-budget-remaining-usd"),
        header("x-gatekeeper-budget-reset"),
    )
}

fn headers(left: &str, reset: Option<&str>) -> (Option<String>, Option<String>) {
    (Some(left.to_owned()), reset.map(str::to_owned))
}

/// A call with a ceiling of about $0.003 by its cap of 600 tokens.
fn large() -> Value {
    Call::chat().at_most(600).body()
}

#[test]
fn budget_refusal_names_tightest_budget_with_latest_reset() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    for (of_team, of_key, left, reset, named) in [
        (
            json!([{"limit": "0.001", "period": "monthly"}]),
            json!([{"limit": "0.002", "period": "daily"}]),
            "0.001",
            Some(NEXT_MONTH),
            "monthly",
        ),
        (
            json!([]),
            json!([{"limit": "0.002", "period": "daily"}, {"limit": "0.001", "period": "total"}]),
            "0.001",
            None,
            "total",
        ),
        (
            json!([{"limit": "0.002", "period": "monthly"}]),
            json!([{"limit": "0.001", "period": "daily"}]),
            "0.001",
            Some(TOMORROW),
            "daily",
        ),
        (
            json!([{"limit": "0.001", "period": "monthly"}]),
            json!([{"limit": "0.001", "period": "daily"}, {"limit": "0.001", "period": "weekly"}]),
            "0.001",
            Some(NEXT_MONTH),
            "monthly",
        ),
    ] {
        let key = key(&mut gateway, of_team, of_key);
        let refusal = gateway.user(&key).chat(&large());
        assert_eq!(
            budget_headers(refusal.assert_status(402)),
            headers(left, reset),
            "{}",
            refusal.error_message()
        );
        assert!(
            refusal
                .error_message()
                .contains(&format!(" {named} budget")),
            "{}",
            refusal.error_message()
        );
    }
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn budget_held_response_names_owner_and_remainder() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::hangs());
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nqueue_wait_s = 1")
        .start_in_process_at("2026-11-23T10:00:00Z");
    let key = key(
        &mut gateway,
        json!([{"limit": "20", "period": "monthly"}]),
        json!([{"limit": "0.004", "period": "daily"}]),
    );
    let mut holds = gateway.user(&key).connect();
    holds.send_request(
        "POST",
        Call::chat().path(),
        Some(large().to_string().as_bytes()),
    );
    upstream.wait_for_requests(1);
    let refusal = gateway.user(&key).chat(&large());
    assert_eq!(refusal.assert_status(429).error_type(), "budget_held");
    let (left, reset) = budget_headers(&refusal);
    assert!(
        left.is_some_and(|left| left.starts_with("0.000")) && reset.as_deref() == Some(TOMORROW),
        "{refusal:?}"
    );
    let message = refusal.error_message();
    assert!(
        message.contains("the daily budget")
            && message.contains("of this key")
            && message.contains("resets 24 Nov 00:00 UTC"),
        "{message}"
    );
}

#[test]
fn failed_call_response_has_remaining_budget_headers() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = key(
        &mut gateway,
        json!([{"limit": "10", "period": "monthly"}]),
        json!([]),
    );
    let user = gateway.user(&key);
    let full = headers("10", Some(NEXT_MONTH));
    upstream.respond_with(Script::json(
        400,
        &json!({"error": {"message": "no", "type": "invalid_request_error"}}),
    ));
    assert_eq!(budget_headers(user.chat(&large()).assert_status(400)), full);
    upstream.respond_with(Script::json(500, &json!({"error": {"message": "broken"}})));
    let (left, reset) = budget_headers(user.chat(&large()).assert_status(502));
    assert!(
        left.is_some_and(|left| left.starts_with("9.99")) && reset.as_deref() == Some(NEXT_MONTH),
        "the remainder is after the hold"
    );
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), &json!({"rpm": 1}))
        .assert_status(200);
    upstream.respond_with(model::with_usage(10, 20));
    wait_until("the rate limit is used up", || {
        user.chat(&large()).status == 429
    });
    let refusal = user.messages(&Call::messages().at_most(30).body());
    assert!(
        budget_headers(refusal.assert_status(429))
            .0
            .is_some_and(|left| left.starts_with("9.99")),
        "{refusal:?}"
    );
}
