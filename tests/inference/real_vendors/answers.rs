//! Answers that clients could not read: odd ends of streams, errors inside good answers, typed calls.

use serde_json::{Value, json};

use super::{chat, chat_tools, fixture, messages, say, taken};
use crate::harness::client::SseEvent;
use crate::harness::script::Script;
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
