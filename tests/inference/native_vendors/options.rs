//! Request options: reasoning, response schema, sampling, path and credential in each vendor's encoding; unsupported
//! ones are refused.

use serde_json::{Value, json};

use super::{ALL, COHERE, GEMINI, OLLAMA, Vendor};
use crate::harness::process::UPSTREAM_KEY;
use crate::inference::fixture::{Chat, Dialect, Messages, assert_refusal, assert_refusal_at};
use crate::inference::parsed_response::send_and_parse;

#[test]
fn r05_gemini_reasoning_options_follow_model_generation() {
    let thinking = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": 9_000});
    let fixture =
        GEMINI.fixture_with_models(&["gemini-3.8-flash", "gemini-2.5-flash", "gemini-2.0-flash"]);
    let asks = |model: &'static str, dialect: Dialect, more: Value| {
        let body = Vendor { model, ..GEMINI }.request_body(dialect, more);
        let (body, named) = GEMINI.sent(&fixture, dialect, &body);
        (
            body["generationConfig"].get("thinkingConfig").cloned(),
            named,
        )
    };
    let config = |level: &str| {
        (
            Some(json!({"thinkingLevel": level, "includeThoughts": true})),
            None,
        )
    };
    assert_eq!(
        asks("gemini-3.8-flash", Messages, thinking(8_192)),
        config("MEDIUM")
    );
    assert_eq!(
        asks(
            "gemini-3.8-flash",
            Chat,
            json!({"reasoning_effort": "xhigh"})
        ),
        config("HIGH")
    );
    let config = |budget: u64| {
        (
            Some(json!({"thinkingBudget": budget, "includeThoughts": true})),
            None,
        )
    };
    assert_eq!(
        asks("gemini-2.5-flash", Messages, thinking(2_000)),
        config(2_000)
    );
    assert_eq!(
        asks(
            "gemini-2.5-flash",
            Chat,
            json!({"reasoning_effort": "high"})
        ),
        config(16_384)
    );
    let off = (Some(json!({"thinkingBudget": 0})), None);
    assert_eq!(
        asks(
            "gemini-2.5-flash",
            Chat,
            json!({"reasoning_effort": "none"})
        ),
        off
    );
    assert_eq!(asks("gemini-2.5-flash", Chat, json!({})), (None, None));
    let dropped = Some("reasoning_effort".to_owned());
    assert_eq!(
        asks(
            "gemini-2.0-flash",
            Chat,
            json!({"reasoning_effort": "high"})
        ),
        (None, dropped)
    );
}

#[test]
fn r05_cohere_and_ollama_reasoning_can_be_set_and_disabled() {
    let fixture = COHERE.fixture();
    for (effort, thinking) in [
        ("none", json!({"type": "disabled"})),
        ("low", json!({"type": "enabled", "token_budget": 2_048})),
    ] {
        let (body, _) = COHERE.sent(
            &fixture,
            Chat,
            &COHERE.request_body(Chat, json!({"reasoning_effort": effort})),
        );
        assert_eq!(body["thinking"], thinking);
    }
    let fixture = OLLAMA.fixture_with_models(&["qwen3:8b", "gpt-oss:20b", "llama3.2"]);
    for (model, effort, think, dropped) in [
        ("qwen3:8b", "none", Some(json!(false)), None),
        ("qwen3:8b", "low", Some(json!(true)), None),
        ("gpt-oss:20b", "low", Some(json!("low")), None),
        ("llama3.2", "low", None, Some("reasoning_effort")),
    ] {
        let body =
            Vendor { model, ..OLLAMA }.request_body(Chat, json!({"reasoning_effort": effort}));
        let (body, named) = OLLAMA.sent(&fixture, Chat, &body);
        assert_eq!(
            (body.get("think"), named.as_deref()),
            (think.as_ref(), dropped),
            "{model} {effort}"
        );
    }
}

#[test]
fn m05_response_schema_is_encoded_per_vendor() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
    let asks = |vendor: Vendor, format: &Value| {
        let (body, named) = vendor.sent(
            &vendor.fixture(),
            Chat,
            &vendor.request_body(Chat, json!({"response_format": format})),
        );
        assert_eq!(named, None);
        body
    };
    let config = asks(GEMINI, &format)["generationConfig"].clone();
    assert_eq!(
        (&config["responseMimeType"], &config["responseJsonSchema"]),
        (&json!("application/json"), &schema)
    );
    assert_eq!(
        asks(COHERE, &format)["response_format"],
        json!({"type": "json_object", "json_schema": schema})
    );
    assert_eq!(asks(OLLAMA, &format)["format"], schema);
    let object = json!({"type": "json_object"});
    assert_eq!(
        asks(GEMINI, &object)["generationConfig"]["responseMimeType"],
        json!("application/json")
    );
    assert_eq!(asks(COHERE, &object)["response_format"], object);
    assert_eq!(asks(OLLAMA, &object)["format"], json!("json"));
}

#[test]
fn sampling_options_are_encoded_per_vendor() {
    let more = json!({"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["a", "b"], "max_completion_tokens": 50,
        "user": "u", "presence_penalty": 0.1, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say it"}]});
    let (body, named) = GEMINI.sent(
        &GEMINI.fixture(),
        Chat,
        &GEMINI.request_body(Chat, more.clone()),
    );
    assert_eq!(
        body["systemInstruction"],
        json!({"parts": [{"text": "be brief"}]})
    );
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 50, "temperature": 0.5, "topP": 0.9, "seed": 7, "stopSequences": ["a", "b"]})
    );
    assert_eq!(named.as_deref(), Some("presence_penalty, user"));
    let (body, named) = COHERE.sent(
        &COHERE.fixture(),
        Chat,
        &COHERE.request_body(Chat, more.clone()),
    );
    let expected = json!({"model": COHERE.model, "stream": false, "max_tokens": 50, "temperature": 0.5, "p": 0.9, "seed": 7,
        "stop_sequences": ["a", "b"], "presence_penalty": 0.1,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say it"}]});
    assert_eq!((body, named.as_deref()), (expected, Some("user")));
    let (body, named) = OLLAMA.sent(&OLLAMA.fixture(), Chat, &OLLAMA.request_body(Chat, more));
    let options = json!({"num_predict": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["a", "b"], "presence_penalty": 0.1});
    assert_eq!(
        (&body["options"], named.as_deref()),
        (&options, Some("user"))
    );
}

#[test]
fn vendor_path_and_credential_header_are_its_own() {
    for (vendor, whole, streamed, header, value) in [
        (
            GEMINI,
            "/v1beta/models/gemini-3.8-flash:generateContent",
            "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            UPSTREAM_KEY.to_owned(),
        ),
        (
            COHERE,
            "/v2/chat",
            "/v2/chat",
            "authorization",
            format!("Bearer {UPSTREAM_KEY}"),
        ),
        (
            OLLAMA,
            "/api/chat",
            "/api/chat",
            "authorization",
            format!("Bearer {UPSTREAM_KEY}"),
        ),
    ] {
        let fixture = vendor.fixture();
        for (is_stream, target) in [(false, whole), (true, streamed)] {
            send_and_parse(
                &fixture,
                Chat,
                vendor.request_body(Chat, json!({})),
                is_stream,
                vendor.script("text", is_stream),
            );
            fixture.assert_recorded().assert_ended("ok", &[]);
            let request = fixture.upstream.last_request();
            assert_eq!(
                (request.target(), request.header(header)),
                (target, Some(value.as_str()))
            );
            assert!(header == "authorization" || request.header("authorization").is_none());
        }
    }
}

#[test]
fn e31_multiple_choices_unsupported_are_refused() {
    for vendor in ALL {
        let fixture = vendor.fixture();
        let response = fixture
            .user()
            .post(Chat.path(), &vendor.request_body(Chat, json!({"n": 3})));
        assert_refusal_at(Chat, &response, 400, "invalid_request_error", "n");
        fixture.assert_no_call();
    }
}

#[test]
fn e32_stop_sequences_over_vendor_limit_are_refused() {
    for vendor in [GEMINI, COHERE] {
        let fixture = vendor.fixture();
        let body = vendor.request_body(
            Messages,
            json!({"stop_sequences": ["a", "b", "c", "d", "e", "f"]}),
        );
        let message = assert_refusal(
            Messages,
            &fixture.user().post(Messages.path(), &body),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("at most 5"), "{message}");
        fixture.assert_no_call();
    }
}
