//! A second model inside one call: its tokens are booked at its own rates, and its name passes allow-lists and budgets.

use serde_json::{Value, json};

use super::{listed, newest, start, texts};
use crate::harness::process::{Gatekeeper, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const MAIN: &str = "claude-haiku-5-5";
const ADVISOR: &str = "claude-opus-5";

fn message(usage: &Value) -> Script {
    let content = json!([{"type": "text", "text": "hi"}]);
    Script::json(
        200,
        &json!({"id": "a", "type": "message", "role": "assistant", "model": MAIN, "content": content,
            "stop_reason": "end_turn", "usage": usage}),
    )
}

/// A request with the advisor tool.
fn advised(tool: &Value) -> Value {
    let mut advisor = json!({"type": "advisor_20260301", "name": "advisor", "model": ADVISOR});
    for (name, value) in tool.as_object().expect("an object") {
        advisor[name] = value.clone();
    }
    json!({"model": MAIN, "max_tokens": 50, "tools": [advisor],
        "messages": [{"role": "user", "content": "What does it cost?"}]})
}

fn limited() -> Value {
    advised(&json!({"max_uses": 1, "max_tokens": 1_000}))
}

fn advised_usage() -> Value {
    let entry = |kind: &str, model: Value| {
        json!({"type": kind, "model": model, "input_tokens": 1_000, "output_tokens": 100,
        "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0})
    };
    json!({"input_tokens": 1_000, "output_tokens": 10,
        "iterations": [
            {"type": "message", "input_tokens": 500, "output_tokens": 5}, entry("advisor_message", json!(ADVISOR)),
            entry("advisor_message", json!(ADVISOR)), {"type": "message", "input_tokens": 500, "output_tokens": 5}]})
}

#[test]
fn tokens_of_a_second_model_are_booked_at_its_own_rates() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = start(&[listed("anthropic", &upstream)], "1000");
    upstream.respond_with(message(&advised_usage()));
    gatekeeper
        .user(&key)
        .messages(&limited())
        .assert_status(200);
    let row = newest(&gatekeeper);
    let lines = texts(&row);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("1000 input:") && line.contains(MAIN)),
        "{lines:?}"
    );
    for advised in [
        "2000 input: $0.000005 per token = $0.01 ",
        "200 output: $0.000025 per token = $0.005 ",
    ] {
        let is_there = |line: &String| line.starts_with(advised) && line.contains(ADVISOR);
        assert!(lines.iter().any(is_there), "{advised} {lines:?}");
    }
    assert_eq!(row["usage"]["second_models"][0]["model"], ADVISOR);
    // a substitute's tokens are part of the totals
    let usage = json!({"input_tokens": 3_000, "output_tokens": 30, "iterations": [
        {"type": "message", "input_tokens": 1_000, "output_tokens": 10},
        {"type": "fallback_message", "model": ADVISOR, "input_tokens": 2_000, "output_tokens": 20}]});
    upstream.respond_with(message(&usage));
    gatekeeper
        .user(&key)
        .messages(&limited())
        .assert_status(200);
    let lines = texts(&newest(&gatekeeper));
    let counted = |start: &str, model: &str| {
        lines
            .iter()
            .any(|line| line.starts_with(start) && line.contains(model))
    };
    assert!(
        counted("1000 input:", MAIN) && counted("2000 input:", ADVISOR),
        "{lines:?}"
    );
    assert!(
        counted("10 output:", MAIN) && counted("20 output:", ADVISOR),
        "{lines:?}"
    );
}

#[test]
fn image_tool_is_booked_at_the_rates_of_the_image_model() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&listed("openai", &upstream))
        .start();
    let team = gatekeeper.team(&json!({"name": "open"}));
    let key = gatekeeper.key_of(&team);
    let body = json!({"id": "resp_a", "object": "response", "status": "completed", "model": "gpt-5.1",
        "output": [{"type": "image_generation_call", "id": "i", "status": "completed", "result": "aGk="}],
        "tools": [{"type": "image_generation", "model": "gpt-image-1"}],
        "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30},
        "tool_usage": {"image_gen": {"input_tokens": 100, "input_tokens_details": {"image_tokens": 40, "text_tokens": 60},
            "output_tokens": 1_000, "output_tokens_details": {"image_tokens": 1_000, "text_tokens": 0}},
            "web_search": {"num_requests": 0}}});
    upstream.respond_with(Script::json(200, &body));
    let request = json!({"model": "gpt-5.1", "input": "A cat, please.",
        "tools": [{"type": "image_generation", "model": "gpt-image-1"}]});
    let user = gatekeeper.user(&key);
    user.post_bytes("/v1/responses", request.to_string().as_bytes())
        .assert_status(200);
    let row = newest(&gatekeeper);
    let lines = texts(&row);
    for expected in [
        "60 input: $0.000005 per token = $0.0003 (standard tier of gpt-image-1)",
        "40 image_in: $0.00001 per token = $0.0004 (standard tier of gpt-image-1)",
        "1000 image_out: $0.00004 per token = $0.04 (standard tier of gpt-image-1)",
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected} {lines:?}");
    }
    assert_eq!(row["flags"], json!([]), "{row}");
}

#[test]
fn second_model_needs_permission_a_bound_and_room_in_its_budget() {
    let upstream = Upstream::start();
    let anthropic = listed("anthropic", &upstream).request_ceiling("0.01");
    let (gatekeeper, key) = start(&[anthropic, listed("openai", &upstream)], "1000");
    let team = gatekeeper.admin().get("/v1/teams").json()["data"][0]["id"].clone();
    let narrow =
        gatekeeper.key(&json!({"name": "narrow", "team": team, "models": [MAIN, "gpt-5.1"]}));
    let refused = gatekeeper.user(&narrow).messages(&limited());
    assert_eq!(
        refused.assert_status(403).json()["error"]["type"],
        "permission_error"
    );
    assert!(
        refused.error_message().contains(ADVISOR),
        "{}",
        refused.error_message()
    );
    let image =
        json!({"model": "gpt-5.1", "input": "A cat.", "tools": [{"type": "image_generation"}]});
    let user = gatekeeper.user(&narrow);
    let refused = user.post_bytes("/v1/responses", image.to_string().as_bytes());
    assert_eq!(refused.assert_status(403).error_type(), "model_not_allowed");
    // the operator's ceiling of a request is not the ceiling of a second model
    for unlimited in [json!({}), json!({"max_tokens": 1_000})] {
        let refused = gatekeeper.user(&key).messages(&advised(&unlimited));
        refused.assert_status(402);
        let message = refused.error_message();
        assert!(
            message.contains("limit the tool") && !message.contains("request_ceiling"),
            "{message}"
        );
    }
    assert_eq!(upstream.request_count(), 0);
    let budgets = json!([{"limit": "1000", "model": ADVISOR}]);
    let counted = gatekeeper.key(&json!({"name": "counted", "team": team, "budgets": budgets}));
    upstream.respond_with(message(&advised_usage()));
    gatekeeper
        .user(&counted)
        .messages(&limited())
        .assert_status(200);
    let row = newest(&gatekeeper);
    let shown = gatekeeper
        .admin()
        .get(&format!("/v1/keys/{}", counted.id))
        .json();
    assert_eq!(text(&shown["budgets"][0], "spent"), text(&row, "cost_usd"));
    let small = json!([{"limit": "0.01", "model": ADVISOR}]);
    let poor = gatekeeper.key(&json!({"name": "poor", "team": team, "budgets": small}));
    let refused = gatekeeper.user(&poor).messages(&limited());
    assert_eq!(
        refused.assert_status(402).json()["error"]["type"],
        "billing_error"
    );
}
