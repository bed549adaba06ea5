//! Converse tools: parallel calls, their results, and a tool choice of `none`.

use serde_json::{Value, json};

use super::{CLAUDE, body, events, fixture, frames};
use crate::harness::client::SseEvent;
use crate::harness::script::Script;
use crate::harness::{golden, golden_bytes};
use crate::inference::fixture::Chat;

/// Tool calls of a chat stream: id, name and joined arguments.
fn joined_calls(events: &[SseEvent]) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for call in events.iter().flat_map(|event| {
        event.json()["choices"][0]["delta"]["tool_calls"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let at = call["index"].as_u64().expect("an index") as usize;
        if at == calls.len() {
            calls.push((
                text(&call["id"]),
                text(&call["function"]["name"]),
                String::new(),
            ));
        }
        calls[at].2.push_str(&text(&call["function"]["arguments"]));
    }
    calls
}

#[test]
fn u03_converse_parallel_tool_results_go_in_one_turn() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/tools.bin")));
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut request_body = body(Chat, CLAUDE, true);
    request_body["tools"] = json!([tool("get_weather"), tool("get_time")]);
    let events = events(&fixture.user().post(Chat.path(), &request_body));
    let calls = joined_calls(&events);
    let call = |id: &str, name: &str, arguments: &str| {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    };
    assert_eq!(
        calls[..2],
        [
            call("tooluse_a", "get_weather", r#"{"city":"Köln","days":3}"#),
            call("tooluse_b", "get_weather", r#"{"city":"Rom"}"#),
        ]
    );
    assert_eq!(
        (calls.len(), &*calls[2].0, &*calls[2].1),
        (3, "tooluse_c", "get_time")
    );
    assert!(
        events
            .iter()
            .any(|event| event.json()["choices"][0]["finish_reason"] == "tool_calls")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(30, 40);

    let called = calls
        .iter()
        .map(|(id, name, arguments)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
    let messages = request_body["messages"].as_array_mut().expect("an array");
    messages.push(json!({"role": "assistant", "content": "Looking.", "tool_calls": called.collect::<Vec<_>>()}));
    for id in ["tooluse_c", "tooluse_a", "tooluse_b"] {
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": format!("of {id}")}));
    }
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/stream.bin")));
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    let result = |id: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": format!("of {id}")}]}});
    let results = json!({"role": "user", "content": [result("tooluse_a"), result("tooluse_b"), result("tooluse_c")]});
    assert_eq!(
        (
            sent["messages"].as_array().map(Vec::len),
            &sent["messages"][2]
        ),
        (Some(3), &results)
    );
    assert_eq!(
        sent["messages"][1]["content"][3]["toolUse"]["input"],
        json!({})
    );
}

#[test]
fn u06_tool_choice_none_on_converse_sends_no_tools() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    let mut request_body = body(Chat, CLAUDE, false);
    request_body["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    request_body["tool_choice"] = json!("none");
    fixture
        .user()
        .post(Chat.path(), &request_body)
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    assert_eq!(
        fixture.upstream.last_request().json().get("toolConfig"),
        None
    );
}
