//! Claude Code's shell tool on other vendors: its request (2.1.197), the tool call, and the turn with the tool result.

use serde_json::{Value, json};

use super::fixture::{Fixture, Messages};
use super::parsed_response::{ParsedResponse, parse_events, stop_reason, tool_call_reason};
use crate::harness::client::BodyEnd;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Fields and words of Anthropic's API that other vendors must not receive.
const ANTHROPIC_WORDS: [&str; 8] = [
    "anthropic",
    "cache_control",
    "context_management",
    "output_config",
    "input_schema",
    "budget_tokens",
    "tool_use_id",
    "clear_thinking",
];

fn fixture(preset: &str, model: &str) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(preset)
        .models(&[model])
        .base_url(&upstream.url());
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

fn first_turn(model: &str) -> Value {
    let ephemeral = json!({"type": "ephemeral"});
    json!({"model": model, "max_tokens": 64_000, "stream": true,
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=0"},
            {"type": "text", "text": "You are Claude Code", "cache_control": ephemeral}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "run it", "cache_control": ephemeral}]},
            {"role": "system", "content": "be brief"}],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"], "additionalProperties": false}}],
        "metadata": {"user_id": "{\"device_id\":\"d\"}"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}})
}

/// Streams a turn; asserts that the vendor received no field of Anthropic's API.
fn turn(fixture: &Fixture, body: &Value, script: Script) -> (ParsedResponse, Value) {
    fixture.upstream.respond_with(script);
    let caller = fixture
        .user()
        .with("anthropic-version", "2023-06-01")
        .with("anthropic-beta", "mid-conversation-system-2026-04-07");
    let stream = caller.open_stream("/v1/messages?beta=true", body);
    assert_eq!(stream.status(), 200);
    let (events, end) = stream.read_events();
    assert_eq!(end, BodyEnd::Clean);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let request = fixture.upstream.last_request();
    let sent = request.json().to_string();
    for word in ANTHROPIC_WORDS {
        assert!(!sent.contains(word), "{word} in {sent}");
    }
    assert_eq!(
        (
            request.header("anthropic-beta"),
            request.header("anthropic-version")
        ),
        (None, None)
    );
    (parse_events(Messages, &events), request.json())
}

/// Runs a tool round trip; returns the call id and the vendor's request with the result.
fn round_trip(fixture: &Fixture, model: &str, call: Script, text: Script) -> (String, Value) {
    let mut body = first_turn(model);
    let (parsed, _) = turn(fixture, &body, call);
    assert_eq!(
        (parsed.calls.len(), parsed.stop_reason.as_str()),
        (1, tool_call_reason(Messages)),
        "{parsed:?}"
    );
    let call = &parsed.calls[0];
    assert_eq!(
        (call.name.as_str(), call.json()),
        ("Bash", json!({"command": "echo hi"}))
    );
    let used = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.json()});
    let result =
        json!({"type": "tool_result", "tool_use_id": call.id, "content": "hi", "is_error": false});
    let turns = body["messages"].as_array_mut().expect("turns");
    turns.push(json!({"role": "assistant", "content": [used]}));
    turns.push(json!({"role": "user", "content": [result]}));
    let (parsed, sent) = turn(fixture, &body, text);
    assert_eq!(
        (parsed.text.as_str(), parsed.stop_reason.as_str()),
        ("It said hi.", stop_reason(Messages))
    );
    (call.id.clone(), sent)
}

#[test]
fn t04_claude_code_tool_round_trip_on_gemini() {
    let model = "gemini-3.8-flash";
    let response = |part: Value| {
        let candidate = json!({"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0});
        let usage =
            json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15});
        Script::stream([format!(
            "data: {}\n\n",
            json!({"candidates": [candidate], "usageMetadata": usage})
        )])
    };
    let call = json!({"functionCall": {"name": "Bash", "args": {"command": "echo hi"}}, "thoughtSignature": "c2lnbmVk"});
    let fixture = fixture("gemini", model);
    let (id, sent) = round_trip(
        &fixture,
        model,
        response(call),
        response(json!({"text": "It said hi."})),
    );
    let contents = sent["contents"].as_array().expect("contents");
    let [.., called, result] = contents.as_slice() else {
        panic!("{sent}")
    };
    assert_eq!(
        called["parts"][0]["functionCall"],
        json!({"id": id, "name": "Bash", "args": {"command": "echo hi"}})
    );
    assert_eq!(
        called["parts"][0]["thoughtSignature"],
        json!("c2lnbmVk"),
        "the signature is kept for the next turn"
    );
    assert_eq!(
        result["parts"][0]["functionResponse"],
        json!({"id": id, "name": "Bash", "response": {"output": "hi"}})
    );
}

#[test]
fn t05_claude_code_tool_round_trip_on_groq() {
    let model = "openai/gpt-oss-120b";
    let response = |delta: Value, reason: &str| {
        let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        let chunk = |choices: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "choices": choices});
        let mut last = chunk(choice(json!({}), json!(reason)));
        last["x_groq"] = json!({"id": "req_1", "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
        let events =
            [chunk(choice(delta, Value::Null)), last].map(|event| format!("data: {event}\n\n"));
        Script::stream([events.concat(), "data: [DONE]\n\n".to_owned()])
    };
    let function = json!({"name": "Bash", "arguments": "{\"command\":\"echo hi\"}"});
    let call = json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]});
    let fixture = fixture("groq", model);
    let text = response(json!({"content": "It said hi."}), "stop");
    let (id, sent) = round_trip(&fixture, model, response(call, "tool_calls"), text);
    let messages = sent["messages"].as_array().expect("messages");
    let [.., called, result] = messages.as_slice() else {
        panic!("{sent}")
    };
    assert_eq!(
        (
            &called["tool_calls"][0]["id"],
            &called["tool_calls"][0]["function"]
        ),
        (&json!(id), &function)
    );
    assert_eq!(
        (&result["role"], &result["tool_call_id"], &result["content"]),
        (&json!("tool"), &json!(id), &json!("hi"))
    );
    assert_eq!(sent["reasoning_effort"], json!("high"));
}
