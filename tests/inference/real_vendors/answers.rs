//! Answers that clients could not read: odd ends of streams, errors inside good answers, typed calls.

use serde_json::{Value, json};

use super::{chat, chat_tools, fixture, messages, say, taken};
use crate::budget::vendor_responses::{frame, named};
use crate::harness::client::SseEvent;
use crate::harness::gate::Gate;
use crate::harness::script::Script;
use crate::inference::fixture::Fixture;
use crate::inference::matrix::{Client, Say};

#[test]
fn typed_tool_use_of_converse_is_the_clients_call() {
    let fixture = fixture();
    let block = |kind: &str| json!({"toolUse": {"toolUseId": "t1", "name": "look", "input": {}, "type": kind}});
    let answer = json!({"output": {"message": {"role": "assistant", "content": [block("server_tool_use"), block("tool_use")]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}});
    fixture.upstream.respond_with(Script::json(200, &answer));
    let body = chat(
        "bedrock/amazon.nova-pro-v1:0",
        json!({"tools": chat_tools()}),
    );
    let (_, response) = taken(&fixture, Client::Chat, &body);
    let calls = response.json()["choices"][0]["message"]["tool_calls"].clone();
    assert_eq!(calls.as_array().map(Vec::len), Some(1), "{calls}");
}

#[test]
fn client_error_inside_a_good_answer_keeps_its_class() {
    let fixture = fixture();
    for status in [400, 413, 422] {
        let error = json!({"error": {"message": "too odd", "type": "invalid_request_error", "code": status}});
        for script in [
            Script::json(200, &error),
            Script::stream([format!("data: {error}\n\n")]),
        ] {
            fixture.upstream.respond_with(script);
            let before = fixture.upstream.request_count();
            for streamed in [false, true] {
                let body = chat("openrouter/openai/gpt-4.1", json!({"stream": streamed}));
                let response = fixture.user().post(Client::Chat.path(), &body);
                if response.status == 502 && !streamed {
                    // a stream in place of a whole answer is none
                    continue;
                }
                let expected = if status == 413 { 413 } else { 400 };
                response.assert_status(expected);
                assert!(response.error_message().contains("too odd"));
                assert_eq!(response.header("x-should-retry"), Some("false"));
            }
            assert_eq!(fixture.upstream.request_count(), before + 2);
        }
    }
}

fn chunk(delta: Value, finish: Value) -> String {
    let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    format!(
        "data: {}\n\n",
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices})
    )
}

const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn stream_without_finish_reason_ends_at_unknown_servers_and_is_cut_at_vendors() {
    let fixture = fixture();
    let pieces = [
        chunk(json!({"content": "so"}), Value::Null),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    fixture.upstream.respond_with(Script::stream(&pieces));
    for (client, body) in [
        (
            Client::Chat,
            chat("openai_compatible/local", json!({"stream": true})),
        ),
        (
            Client::Messages,
            messages("openai_compatible/local", json!({"stream": true})),
        ),
    ] {
        let response = fixture.user().post(client.path(), &body);
        assert_eq!(client.parse(response.assert_status(200), true).text, "so");
        fixture.assert_recorded().assert_ended("ok", &["estimated"]);
    }
    for (client, body) in [
        (
            Client::Chat,
            chat("openai/gpt-4.1", json!({"stream": true})),
        ),
        (
            Client::Messages,
            messages("openai/gpt-4.1", json!({"stream": true})),
        ),
    ] {
        let response = fixture.user().post(client.path(), &body);
        assert!(
            response.assert_status(200).text().contains("error"),
            "{}",
            response.text()
        );
        let record = fixture.assert_recorded();
        assert_eq!(record.0["status"], "truncated");
    }
    // an end mark alone is no answer either
    fixture.upstream.respond_with(Script::stream([DONE]));
    let body = chat("openai/gpt-4.1", json!({"stream": true}));
    let response = fixture.user().post(Client::Chat.path(), &body);
    assert!(response.status == 502 || response.text().contains("error"));
    assert_eq!(fixture.assert_recorded().0["status"], "truncated");
}

/// A stream with one call without arguments, as each vendor sends it.
fn empty_call(model: &str) -> Script {
    let data = |events: &[Value]| -> Vec<String> {
        events
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect()
    };
    match model.split('/').next().unwrap_or_default() {
        "anthropic" => Script::stream([
            named("message_start", r#","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}"#),
            named("content_block_start", r#","index":0,"content_block":{"type":"tool_use","id":"t1","name":"look","input":{}}"#),
            named("content_block_stop", r#","index":0"#),
            named("message_delta", r#","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}"#),
            named("message_stop", ""),
        ]),
        "gemini" => Script::stream(data(&[
            json!({"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "look"}}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}}),
        ])),
        "bedrock" => Script::stream([
            frame("messageStart", r#"{"role":"assistant"}"#),
            frame("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t1","name":"look"}}}"#),
            frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            frame("messageStop", r#"{"stopReason":"tool_use"}"#),
            frame("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}"#),
        ])
        .header("content-type", "application/vnd.amazon.eventstream"),
        "cohere" => Script::stream([
            named("message-start", r#","id":"c","delta":{"message":{"role":"assistant"}}"#),
            named("tool-call-start", r#","index":0,"delta":{"message":{"tool_calls":{"id":"t1","type":"function","function":{"name":"look","arguments":""}}}}"#),
            named("tool-call-end", r#","index":0"#),
            named("message-end", r#","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":3,"output_tokens":4},"tokens":{"input_tokens":3,"output_tokens":4}}}"#),
        ]),
        "ollama_native" => Script::stream([
            "{\"model\":\"q\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"look\",\"arguments\":{}}}]},\"done\":false}\n",
            "{\"model\":\"q\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":4}\n",
        ])
        .header("content-type", "application/x-ndjson"),
        "openai" => Script::stream([
            named("response.created", r#","sequence_number":0,"response":{"id":"r","object":"response","status":"in_progress","model":"m","output":[]}"#),
            named("response.output_item.added", r#","sequence_number":1,"output_index":0,"item":{"type":"function_call","id":"fc","call_id":"t1","name":"look","arguments":"","status":"in_progress"}"#),
            named("response.output_item.done", r#","sequence_number":2,"output_index":0,"item":{"type":"function_call","id":"fc","call_id":"t1","name":"look","arguments":"","status":"completed"}"#),
            named("response.completed", r#","sequence_number":3,"response":{"id":"r","object":"response","status":"completed","model":"m","output":[{"type":"function_call","id":"fc","call_id":"t1","name":"look","arguments":"","status":"completed"}],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#),
        ]),
        other => panic!("no stream of {other}"),
    }
}

#[test]
fn call_without_arguments_ends_as_an_empty_object_in_a_chat_stream() {
    let fixture = fixture();
    for model in [
        "anthropic/claude-sonnet-4-6",
        "gemini/gemini-2.5-flash",
        "bedrock/amazon.nova-pro-v1:0",
        "cohere/command-a-03-2025",
        "ollama_native/qwen3:8b",
        "openai/gpt-5.3-codex",
    ] {
        fixture.upstream.respond_with(empty_call(model));
        let body = chat(model, json!({"tools": chat_tools(), "stream": true}));
        let response = fixture.user().post(Client::Chat.path(), &body);
        let mut arguments = String::new();
        for event in SseEvent::all(&response.assert_status(200).body) {
            let call = event.json()["choices"][0]["delta"]["tool_calls"][0].clone();
            arguments += call["function"]["arguments"].as_str().unwrap_or_default();
        }
        assert_eq!(arguments, "{}", "{model}: {}", response.text());
    }
}

/// Frame of an exception inside a stream with status 200.
fn exception(kind: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":exception-type", kind), (":message-type", "exception")] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let length = (headers.len() + payload.len() + 16) as u32;
    let mut frame = [length.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[test]
fn overloaded_model_inside_a_bedrock_stream_is_overloaded() {
    let fixture = fixture();
    let payload = r#"{"message":"busy","originalStatusCode":529,"originalMessage":"Overloaded"}"#;
    let script = Script::stream([exception("modelStreamErrorException", payload)]);
    let script = script.header("content-type", "application/vnd.amazon.eventstream");
    fixture.upstream.respond_with(script);
    for (client, body) in [
        (
            Client::Chat,
            chat("bedrock/amazon.nova-pro-v1:0", json!({"stream": true})),
        ),
        (
            Client::Messages,
            messages("bedrock/amazon.nova-pro-v1:0", json!({"stream": true})),
        ),
        (
            Client::Messages,
            messages(
                "bedrock/anthropic.claude-opus-4-7-v1",
                json!({"stream": true}),
            ),
        ),
    ] {
        let response = fixture.user().post(client.path(), &body);
        response.assert_status(503);
        assert!(
            response.text().contains("overloaded"),
            "{}",
            response.text()
        );
        let record = fixture.assert_recorded();
        assert_eq!(record.0["failure"]["class"], "overloaded", "{}", record.0);
    }
}

/// openai-python makes an event of a block that holds only a comment, once an `id:` line came.
#[test]
fn ping_within_a_stream_is_a_line_of_the_next_event() {
    let fixture = Fixture::with_limits("ping_s = 1");
    let gate = Gate::default();
    let pieces = [
        chunk(json!({"content": "so"}), Value::Null),
        chunk(json!({}), json!("stop")),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    let numbered = pieces.iter().enumerate();
    let events: Vec<String> = numbered
        .map(|(at, event)| format!("id: {at}\n{event}"))
        .collect();
    let script = Script::stream(events);
    fixture.upstream.respond_with(script.held_after(1, &gate));
    let body = chat("m-small", json!({"stream": true}));
    let mut stream = fixture.user().open_stream(Client::Chat.path(), &body);
    let first = stream.next_event().expect("an event");
    assert!(first.data.contains("so"), "{first:?}");
    // the line that is taken here begins the block of the next event
    stream.wait_for_line(": ping\n");
    gate.open();
    let (events, _) = stream.read_events();
    assert!(
        events.iter().all(|event| !event.data.is_empty()),
        "{events:?}"
    );
    assert_eq!(
        events.last().map(|event| event.data.as_str()),
        Some("[DONE]")
    );
}

#[test]
fn comments_of_the_gateway_are_lines_of_the_next_event() {
    let fixture = fixture();
    let pieces = [
        chunk(json!({"content": "so"}), Value::Null),
        chunk(json!({}), json!("stop")),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    let numbered = pieces.iter().enumerate();
    let events =
        numbered.map(|(at, event)| format!("id: {at}\nevent: message\nretry: 10\n{event}"));
    fixture.upstream.respond_with(Script::stream(events));
    let body = chat("openai/gpt-4.1", json!({"stream": true}));
    let response = fixture.user().post(Client::Chat.path(), &body);
    for event in SseEvent::all(&response.assert_status(200).body) {
        assert!(!event.data.is_empty(), "{event:?}");
    }
    assert!(response.text().contains(": x-gatekeeper-cost-usd "));
}

#[test]
fn translated_stream_begins_with_an_estimate_of_its_input() {
    let fixture = fixture();
    say(&fixture, Say::Text, true);
    let body = messages(
        "openai/gpt-4.1",
        json!({"stream": true, "system": "x ".repeat(400)}),
    );
    let response = fixture.user().post(Client::Messages.path(), &body);
    let events = SseEvent::all(&response.assert_status(200).body);
    let start = events
        .iter()
        .find(|event| event.name == "message_start")
        .expect("a start")
        .json();
    assert!(
        start["message"]["usage"]["input_tokens"].as_u64() > Some(50),
        "{start}"
    );
    let end = events
        .iter()
        .rev()
        .find(|event| event.name == "message_delta")
        .expect("an end")
        .json();
    assert_eq!(end["usage"]["input_tokens"], 14);
}
