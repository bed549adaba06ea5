//! `POST /v1/embeddings`: the response passes through, and only input tokens are held and charged.

use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, Messages, assert_refusal, assert_refusal_at};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const PATH: &str = "/v1/embeddings";

/// Fixture with one vendor as provider `v`, priced by the sheet or at 1 and 5 dollars per million tokens.
fn fixture(vendor: &str, by_sheet: bool) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["e-small"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    let provider = if by_sheet {
        provider.priced_by("sheet")
    } else {
        provider
    };
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

fn request_body(input: Value) -> Value {
    json!({"model": "e-small", "input": input})
}

#[test]
fn c10_embeddings_charge_prompt_tokens_only() {
    let fixture = fixture("openai", true);
    let recording = golden("openai/embeddings-base64.json");
    fixture
        .upstream
        .respond_with(Script::unary(200, &recording));
    let body = r#"{"input":["a","b","c"], "model":"text-embedding-3-small","encoding_format":"base64","dimensions":3}"#;
    let response = fixture.user().post_bytes(PATH, body.as_bytes());
    assert_eq!(response.assert_status(200).text(), recording);
    // 24 at $0.02 per million
    assert_eq!(response.header("x-gatekeeper-cost-usd"), Some("0.00000048"));
    let request = fixture.upstream.last_request();
    assert_eq!(
        (request.target(), request.body.as_slice()),
        ("/v1/embeddings", body.as_bytes())
    );
    let row = fixture.assert_recorded();
    assert_eq!((row.assert_ended("ok", &[]).input(), row.output()), (24, 0));
    assert_eq!(
        (&row.0["cost_usd"], &row.0["dialect"]),
        (&json!("0.00000048"), &json!("embeddings")),
        "{}",
        row.0
    );
}

#[test]
fn embeddings_of_each_vendor_pass_through_byte_for_byte() {
    for (vendor, recording, path, tokens) in [
        (
            "openai",
            "openai/embeddings-float.json",
            "/v1/embeddings",
            8,
        ),
        (
            "openai_compatible",
            "openai/embeddings-base64.json",
            "/v1/embeddings",
            24,
        ),
        ("azure", "azure/embeddings.json", "/openai/v1/embeddings", 8),
        ("mistral", "mistral/embeddings.json", "/v1/embeddings", 15),
        ("ollama", "ollama/embeddings.json", "/v1/embeddings", 8),
    ] {
        let fixture = fixture(vendor, false);
        let recording = golden(recording);
        for script in [
            Script::unary(200, &recording),
            Script::unary(200, &recording)
                .chunked()
                .one_byte_per_write(),
        ] {
            fixture.upstream.respond_with(script);
            let response = fixture.user().post(PATH, &request_body(json!(["a", "b"])));
            assert_eq!(response.assert_status(200).text(), recording, "{vendor}");
            assert_eq!(fixture.upstream.last_request().target(), path);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(tokens, 0);
        }
    }
}

#[test]
fn embeddings_without_usage_are_estimated_from_input() {
    let fixture = fixture("together", false);
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("together/embeddings.json")));
    fixture
        .user()
        .post(
            PATH,
            &request_body(json!("Our solar system orbits the Milky Way galaxy")),
        )
        .assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &["estimated"])
        .assert_usage_about(10, 0);
}

#[test]
fn embeddings_mistral_renames_dimensions() {
    let fixture = fixture("mistral", false);
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("mistral/embeddings.json")));
    let response = fixture.user().post_bytes(
        PATH,
        br#"{"model":"e-small","input":"a","dimensions":2,"user":"u"}"#,
    );
    assert_eq!(
        response
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("dimensions, user")
    );
    assert_eq!(
        fixture.upstream.last_request().body,
        br#"{"model":"e-small","input":"a","output_dimension":2}"#
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn embeddings_input_texts_or_tokens_accepted_others_refused() {
    let fixture = fixture("openai", false);
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/embeddings-float.json")));
    for input in [
        json!("a"),
        json!(["a", "b"]),
        json!([1, 2, 3]),
        json!([[1, 2], [3]]),
    ] {
        for path in [PATH, "/embeddings", "/v1/v1/embeddings"] {
            fixture
                .user()
                .post(path, &request_body(input.clone()))
                .assert_status(200);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(8, 0);
        }
    }
    for input in [
        json!([]),
        json!(7),
        json!(["a", 1]),
        json!({"text": "a"}),
        json!([{"image": "https://x.y"}]),
        Value::Null,
    ] {
        assert_refusal_at(
            Chat,
            &fixture.user().post(PATH, &request_body(input)),
            400,
            "invalid_request_error",
            "input",
        );
    }
    let response = fixture.user().post(PATH, &json!({"model": "e-small"}));
    assert_refusal_at(Chat, &response, 400, "invalid_request_error", "input");
    fixture.assert_no_call();
}

#[test]
fn embeddings_budget_holds_input_only() {
    let mut fixture = fixture("openai", false);
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/embeddings-float.json")));
    let team = fixture.gatekeeper.team_with_budget("small", "0.001");
    let caller = fixture.gatekeeper.user(&fixture.gatekeeper.key_of(&team));
    // 40 bytes at a dollar per million fit; output at 5 dollars would not
    let response = caller.post(PATH, &request_body(json!("a")));
    response.assert_status(200);
    assert_eq!(
        fixture.upstream.last_request().json(),
        request_body(json!("a")),
        "no output cap is added"
    );
    assert_eq!(
        response.header("x-gatekeeper-budget-remaining-usd"),
        Some("0.000992")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(8, 0);
    assert_refusal(
        Chat,
        &caller.post(PATH, &request_body(json!("a".repeat(2_000)))),
        402,
        "budget_exceeded",
    );
    fixture.assert_no_call();
}

#[test]
fn embedding_and_chat_models_on_wrong_endpoint_are_refused() {
    let mut fixture = fixture("openai", true);
    let response = fixture.user().post(
        "/v1/chat/completions",
        &json!({"model": "text-embedding-3-small", "messages": []}),
    );
    assert!(
        assert_refusal_at(Chat, &response, 400, "invalid_request_error", "model")
            .contains("POST /v1/embeddings")
    );
    let response = fixture
        .user()
        .post(PATH, &json!({"model": "gpt-5.1", "input": "a"}));
    assert_refusal_at(Chat, &response, 400, "invalid_request_error", "model");
    assert_refusal_at(
        Chat,
        &fixture
            .user()
            .post(PATH, &json!({"model": "c-small", "input": "a"})),
        501,
        "not_supported",
        "model",
    );
    let team = fixture
        .gatekeeper
        .team(&json!({"name": "chatters", "models": ["gpt-*"]}));
    let caller = fixture.gatekeeper.user(&fixture.gatekeeper.key_of(&team));
    let response = caller.post(
        PATH,
        &json!({"model": "text-embedding-3-small", "input": "a"}),
    );
    assert_refusal_at(Chat, &response, 403, "model_not_allowed", "model");
    fixture.assert_no_call();
    assert!(
        fixture
            .user()
            .get("/v1/models")
            .text()
            .contains("text-embedding-3-small")
    );
    assert!(
        !caller
            .get("/v1/models")
            .text()
            .contains("text-embedding-3-small")
    );
    assert_refusal(
        Messages,
        &fixture.user().post("/v1/messages/embeddings", &json!({})),
        501,
        "not_supported",
    );
}

#[test]
fn embeddings_upstream_failure_is_reported_and_not_overcharged() {
    let fixture = fixture("openai", false);
    let refusal = Chat.rejection("invalid_request_error", "maximum context length");
    fixture.upstream.respond_with(Script::json(400, &refusal));
    assert_eq!(
        fixture
            .user()
            .post(PATH, &request_body(json!("a")))
            .assert_status(400)
            .json(),
        refusal
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[])
        .assert_usage(0, 0);
    fixture.upstream.respond_with(
        Script::unary(200, golden("openai/embeddings-float.json")).truncated_after(100),
    );
    fixture
        .user()
        .post(PATH, &request_body(json!("a")))
        .assert_status(502);
    fixture
        .assert_recorded()
        .assert_ended("broken", &["estimated"]);
}
