//! Converse: requests and responses of chat, messages and responses clients.

use serde_json::{Value, json};

use super::{CLAUDE, NOVA, body, deliveries, events, fixture, frames, send, text};
use crate::harness::client::SseEvent;
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;
use crate::harness::{golden, golden_bytes};
use crate::inference::fixture::{Chat, Messages, assert_refusal};

#[test]
fn t01_chat_client_on_converse_gets_response() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let response = send(&fixture, Chat, NOVA, false).assert_status(200).json();
    assert_eq!(
        response["choices"][0]["message"]["content"],
        "Say it: 🦀 now."
    );
    assert_eq!(
        (
            &response["choices"][0]["finish_reason"],
            &response["usage"]["prompt_tokens"]
        ),
        (&json!("stop"), &json!(10))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    let request = fixture.upstream.last_request();
    assert_eq!(
        request.target(),
        "/model/eu.amazon.nova-2-lite-v1%3A0/converse"
    );
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bearer {UPSTREAM_KEY}").as_str())
    );
    assert_eq!(
        request.json(),
        json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]})
    );

    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let events = events(&send(&fixture, Chat, NOVA, true));
        assert_eq!(text(&events), "Say it: 🦀 now.");
        assert!(
            events
                .iter()
                .any(|event| event.json()["choices"][0]["finish_reason"] == "stop")
        );
        assert_eq!(
            events.last().map(|event| event.data.as_str()),
            Some("[DONE]")
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
        assert_eq!(
            fixture.upstream.last_request().target(),
            "/model/eu.amazon.nova-2-lite-v1%3A0/converse-stream"
        );
    }
}

#[test]
fn t02_c03_messages_client_on_converse_gets_usage_in_last_delta() {
    let fixture = fixture();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let events = events(&send(&fixture, Messages, NOVA, true));
        let names: Vec<&str> = events
            .iter()
            .map(|event| event.name.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        let deltas = vec!["content_block_delta"; 3];
        let expected = [
            vec!["message_start", "content_block_start"],
            deltas,
            vec!["content_block_stop", "message_delta", "message_stop"],
        ];
        assert_eq!(names, expected.concat());
        assert_eq!(text(&events), "Say it: 🦀 now.");
        let last = events
            .iter()
            .find(|event| event.name == "message_delta")
            .expect("a delta")
            .json();
        assert_eq!(
            (
                &last["delta"]["stop_reason"],
                &last["usage"]["output_tokens"]
            ),
            (&json!("end_turn"), &json!(5))
        );
        assert_eq!(last["usage"]["input_tokens"], 10);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let response = send(&fixture, Messages, NOVA, false)
        .assert_status(200)
        .json();
    assert_eq!(
        (&response["content"][0]["text"], &response["stop_reason"]),
        (&json!("Say it: 🦀 now."), &json!("end_turn"))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn t03_responses_client_on_converse_gets_full_event_sequence() {
    let fixture = fixture();
    for script in deliveries(&golden_bytes("bedrock/stream.bin")) {
        fixture.upstream.respond_with(script);
        let response = fixture.user().post(
            "/v1/responses",
            &json!({"model": NOVA, "input": "say it", "stream": true}),
        );
        let parsed: Vec<Value> = events(&response)
            .iter()
            .filter(|event| !event.name.is_empty())
            .map(SseEvent::json)
            .collect();
        let kinds: Vec<&str> = parsed
            .iter()
            .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
            .collect();
        let begun = vec![
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
        ];
        let ended = vec![
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ];
        assert_eq!(kinds, [begun, vec!["output_text.delta"; 3], ended].concat());
        assert!(
            parsed
                .iter()
                .enumerate()
                .all(|(number, event)| event["sequence_number"] == json!(number))
        );
        let last = &parsed.last().expect("an event")["response"];
        assert_eq!(last["output"][0]["content"][0]["text"], "Say it: 🦀 now.");
        assert_eq!(
            (
                &last["usage"]["input_tokens"],
                &last["usage"]["output_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
        let expected = json!({"messages": [{"role": "user", "content": [{"text": "say it"}]}]});
        assert_eq!(fixture.upstream.last_request().json(), expected);
    }
}

#[test]
fn c03_converse_cache_writes_are_recorded_by_lifetime() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/cached.bin")));
    let events = events(&send(&fixture, Messages, NOVA, true));
    let usage = events
        .iter()
        .find(|event| event.name == "message_delta")
        .expect("a delta")
        .json()["usage"]
        .clone();
    assert_eq!(
        (
            &usage["input_tokens"],
            &usage["cache_read_input_tokens"],
            &usage["cache_creation_input_tokens"]
        ),
        (&json!(10), &json!(6), &json!(8))
    );
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    assert_eq!((row.input(), row.output()), (24, 5), "{}", row.0);
}

#[test]
fn m02_m05_converse_image_is_bytes_and_schema_has_own_field() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let webp = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA";
    let mut request_body = body(Chat, CLAUDE, false);
    request_body["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": format!("data:image/webp;base64,{webp}")}}, {"type": "text", "text": "what?"}]);
    request_body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(
        sent["messages"][0]["content"][0],
        json!({"image": {"format": "webp", "source": {"bytes": webp}}})
    );
    let schema =
        json!({"schema": "{\"additionalProperties\":false,\"type\":\"object\"}", "name": "n"});
    assert_eq!(
        sent["outputConfig"],
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}})
    );
    request_body["messages"][0]["content"][0]["image_url"]["url"] =
        json!("https://example.com/cat.png");
    let response = fixture.user().post(Chat.path(), &request_body);
    assert!(assert_refusal(Chat, &response, 400, "invalid_request_error").contains("base64"));
    fixture.assert_no_call();
}

#[test]
fn r05_converse_reasoning_returns_to_its_model() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/thinking.bin")));
    let events = events(&send(&fixture, Messages, NOVA, true));
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(12, 9);
    let of = |kind: &str, member: &str| -> String {
        let deltas = events
            .iter()
            .map(SseEvent::json)
            .filter(|json| json["delta"]["type"] == kind);
        deltas
            .filter_map(|json| json["delta"][member].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(
        (of("thinking_delta", "thinking"), text(&events)),
        ("First think.".to_owned(), "Then speak.".to_owned())
    );
    let signature = of("signature_delta", "signature");
    assert!(
        !signature.is_empty() && !signature.contains("SIGNATURE"),
        "{signature}"
    );

    let mut request_body = body(Messages, NOVA, true);
    let thought = json!({"type": "thinking", "thinking": "First think.", "signature": signature});
    let turns = json!([{"role": "assistant", "content": [thought, {"type": "text", "text": "Then speak."}]}, {"role": "user", "content": "more"}]);
    request_body["messages"]
        .as_array_mut()
        .expect("an array")
        .extend(turns.as_array().expect("an array").clone());
    fixture
        .user()
        .post(Messages.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let reasoning = json!({"reasoningContent": {"reasoningText": {"text": "First think.", "signature": "EqQBCgIYAhIkSIGNATURE=="}}});
    assert_eq!(
        fixture.upstream.last_request().json()["messages"][1]["content"],
        json!([reasoning, {"text": "Then speak."}])
    );
}

#[test]
fn m06_converse_stop_sequence_is_reported() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stopped.bin")));
    let mut request_body = body(Chat, CLAUDE, true);
    request_body["stop"] = json!("three");
    let events = events(&fixture.user().post(Chat.path(), &request_body));
    assert!(
        events
            .iter()
            .any(|event| event.json()["choices"][0]["finish_reason"] == "stop")
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(sent["inferenceConfig"]["stopSequences"], json!(["three"]));
    assert_eq!(
        sent["additionalModelResponseFieldPaths"],
        json!(["/stop_sequence"])
    );
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/guarded.bin")));
    let response = send(&fixture, Chat, CLAUDE, true);
    assert!(
        response
            .assert_status(200)
            .text()
            .contains("\"content_filter\""),
        "{}",
        response.text()
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}
