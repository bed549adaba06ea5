//! `POST /v1/messages/count_tokens`: who may ask is checked as for a call, and nothing is held, charged or recorded.

use serde_json::{Value, json};

use super::house::{House, Messages, refused};
use crate::harness::golden;
use crate::harness::script::Script;

const PATH: &str = "/v1/messages/count_tokens";

fn asking(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "how long?"}], "tools": []})
}

/// A house whose upstream counts; no request of it may become a record.
fn house() -> House {
    let house = House::opens();
    house
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/count_tokens.json")));
    house
}

#[test]
fn it_is_passed_to_the_vendor_and_its_answer_back() {
    let house = house();
    for path in [
        PATH,
        "/v1/messages/count_tokens?beta=true",
        "/messages/count_tokens",
        "/v1/v1/messages/count_tokens",
    ] {
        let answer = house
            .user()
            .with_x_api_key()
            .with("anthropic-beta", "b-1")
            .post(path, &asking("c-small"));
        assert_eq!(
            answer.assert_status(200).text(),
            golden("anthropic/count_tokens.json")
        );
        assert!(
            answer.header("x-gatekeeper-request-id").is_some()
                && answer.header("x-gatekeeper-cost-usd").is_none()
        );
        let seen = house.upstream.last_request();
        assert_eq!(
            (seen.target(), seen.json()),
            ("/v1/messages/count_tokens", asking("c-small"))
        );
        assert_eq!(
            (
                seen.header("anthropic-beta"),
                seen.header("anthropic-version")
            ),
            (Some("b-1"), Some("2023-06-01"))
        );
        assert!(
            !seen
                .head
                .headers
                .iter()
                .any(|(_, value)| value.contains(&house.key.secret))
        );
    }
    house
        .user()
        .post(PATH, &asking("ant/c-small"))
        .assert_status(200);
    assert_eq!(house.upstream.last_request().json(), asking("c-small"));
    assert!(house.gatekeeper.requests().is_empty() && house.gatekeeper.holds_open() == 0);
}

#[test]
fn it_counts_against_no_budget_not_even_a_spent_one() {
    let mut house = house();
    let team = house.gatekeeper.team_with_budget("poor", "0.000001");
    let person = house.gatekeeper.user(&house.gatekeeper.key_of(&team));
    refused(
        Messages,
        &person.messages(&Messages.body()),
        402,
        "budget_exceeded",
    );
    for _ in 0..3 {
        person.post(PATH, &asking("c-small")).assert_status(200);
    }
    assert!(house.gatekeeper.requests().is_empty());
}

#[test]
fn whoever_may_not_call_the_model_may_not_count_for_it() {
    let mut house = house();
    refused(
        Messages,
        &house.gatekeeper.anon().post(PATH, &asking("c-small")),
        401,
        "authentication_error",
    );
    let team = house
        .gatekeeper
        .team(&json!({"name": "others", "models": ["m-*"]}));
    let person = house.gatekeeper.user(&house.gatekeeper.key_of(&team));
    refused(
        Messages,
        &person.post(PATH, &asking("c-small")),
        403,
        "model_not_allowed",
    );
    refused(
        Messages,
        &house.user().post(PATH, &asking("nobody")),
        404,
        "model_not_found",
    );
    refused(
        Messages,
        &house.user().post(PATH, &json!({"model": "c-small"})),
        400,
        "invalid_request_error",
    );
    house.nothing_happened();
}

#[test]
fn a_provider_that_counts_nothing_is_501_in_the_dialect() {
    let house = house();
    let message = refused(
        Messages,
        &house.user().post(PATH, &asking("m-small")),
        501,
        "not_supported",
    );
    assert!(message.contains("up/m-small counts no tokens"), "{message}");
    house.nothing_happened();
}

#[test]
fn an_upstreams_trouble_is_told_as_for_a_call() {
    let house = house();
    let refusal = Messages.refusal("rate_limit_error", "slow down");
    house
        .upstream
        .respond_with(Script::json(429, &refusal).header("retry-after", "7"));
    let answer = house.user().post(PATH, &asking("c-small"));
    assert_eq!(
        (
            answer.assert_status(429).json(),
            answer.header("retry-after")
        ),
        (refusal, Some("7"))
    );
    for (script, status, word) in [
        (
            Script::json(401, &Messages.refusal("authentication_error", "bad")),
            502,
            "upstream_error",
        ),
        (
            Script::json(529, &Messages.refusal("overloaded_error", "busy")),
            503,
            "overloaded",
        ),
        (Script::unary(200, "{\"input_tok"), 502, "upstream_error"),
        (Script::closes(), 502, "upstream_error"),
    ] {
        house.upstream.respond_with(script);
        refused(
            Messages,
            &house.user().post(PATH, &asking("c-small")),
            status,
            word,
        );
    }
    assert!(house.gatekeeper.requests().is_empty());
}
