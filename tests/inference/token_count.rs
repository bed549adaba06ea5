//! `POST /v1/messages/count_tokens`: access is checked as for a call; nothing is held, charged or recorded.

use serde_json::{Value, json};

use super::fixture::{Fixture, Messages, assert_refusal};
use crate::harness::golden;
use crate::harness::script::Script;

const PATH: &str = "/v1/messages/count_tokens";

fn request_body(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "how long?"}], "tools": []})
}

/// Fixture whose upstream counts tokens; none of its requests may become a record.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/count_tokens.json")));
    fixture
}

#[test]
fn count_tokens_passes_through_both_ways() {
    let fixture = fixture();
    for path in [
        PATH,
        "/v1/messages/count_tokens?beta=true",
        "/messages/count_tokens",
        "/v1/v1/messages/count_tokens",
    ] {
        let response = fixture
            .user()
            .with_x_api_key()
            .with("anthropic-beta", "b-1")
            .post(path, &request_body("c-small"));
        assert_eq!(
            response.assert_status(200).text(),
            golden("anthropic/count_tokens.json")
        );
        assert!(
            response.header("x-gatekeeper-request-id").is_some()
                && response.header("x-gatekeeper-cost-usd").is_none()
        );
        let request = fixture.upstream.last_request();
        assert_eq!(
            (request.target(), request.json()),
            ("/v1/messages/count_tokens", request_body("c-small"))
        );
        assert_eq!(
            (
                request.header("anthropic-beta"),
                request.header("anthropic-version")
            ),
            (Some("b-1"), Some("2023-06-01"))
        );
        assert!(
            !request
                .head
                .headers
                .iter()
                .any(|(_, value)| value.contains(&fixture.key.secret))
        );
    }
    fixture
        .user()
        .post(PATH, &request_body("ant/c-small"))
        .assert_status(200);
    assert_eq!(
        fixture.upstream.last_request().json(),
        request_body("c-small")
    );
    assert!(fixture.gatekeeper.requests().is_empty() && fixture.gatekeeper.holds_open() == 0);
}

#[test]
fn count_tokens_ignores_exhausted_budget() {
    let mut fixture = fixture();
    let team = fixture.gatekeeper.team_with_budget("poor", "0.000001");
    let caller = fixture.gatekeeper.user(&fixture.gatekeeper.key_of(&team));
    assert_refusal(
        Messages,
        &caller.messages(&Messages.body()),
        402,
        "budget_exceeded",
    );
    for _ in 0..3 {
        caller
            .post(PATH, &request_body("c-small"))
            .assert_status(200);
    }
    assert!(fixture.gatekeeper.requests().is_empty());
}

#[test]
fn count_tokens_without_model_access_is_refused() {
    let mut fixture = fixture();
    assert_refusal(
        Messages,
        &fixture
            .gatekeeper
            .anon()
            .post(PATH, &request_body("c-small")),
        401,
        "authentication_error",
    );
    let team = fixture
        .gatekeeper
        .team(&json!({"name": "others", "models": ["m-*"]}));
    let caller = fixture.gatekeeper.user(&fixture.gatekeeper.key_of(&team));
    assert_refusal(
        Messages,
        &caller.post(PATH, &request_body("c-small")),
        403,
        "model_not_allowed",
    );
    assert_refusal(
        Messages,
        &fixture.user().post(PATH, &request_body("nobody")),
        404,
        "model_not_found",
    );
    assert_refusal(
        Messages,
        &fixture.user().post(PATH, &json!({"model": "c-small"})),
        400,
        "invalid_request_error",
    );
    fixture.assert_no_call();
}

#[test]
fn count_tokens_unsupported_provider_returns_501_in_dialect() {
    let fixture = fixture();
    let message = assert_refusal(
        Messages,
        &fixture.user().post(PATH, &request_body("m-small")),
        501,
        "not_supported",
    );
    assert!(message.contains("up/m-small counts no tokens"), "{message}");
    fixture.assert_no_call();
}

#[test]
fn count_tokens_upstream_failure_is_reported_as_for_call() {
    let fixture = fixture();
    let refusal = Messages.rejection("rate_limit_error", "slow down");
    fixture
        .upstream
        .respond_with(Script::json(429, &refusal).header("retry-after", "7"));
    let response = fixture.user().post(PATH, &request_body("c-small"));
    assert_eq!(
        (
            response.assert_status(429).json(),
            response.header("retry-after")
        ),
        (refusal, Some("7"))
    );
    for (script, status, word) in [
        (
            Script::json(401, &Messages.rejection("authentication_error", "bad")),
            502,
            "upstream_error",
        ),
        (
            Script::json(529, &Messages.rejection("overloaded_error", "busy")),
            503,
            "overloaded",
        ),
        (Script::unary(200, "{\"input_tok"), 502, "upstream_error"),
        (Script::closes(), 502, "upstream_error"),
    ] {
        fixture.upstream.respond_with(script);
        assert_refusal(
            Messages,
            &fixture.user().post(PATH, &request_body("c-small")),
            status,
            word,
        );
    }
    assert!(fixture.gatekeeper.requests().is_empty());
}
