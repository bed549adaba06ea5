//! Reasoning before calls goes back to the models that want it: from the memory for chat clients that drop it, from the conversation for
//! clients that carry it.

use serde_json::{Value, json};

use super::{chat, chat_tools, claude_tools, fixture, messages, say, taken, with};
use crate::harness::script::Script;
use crate::inference::fixture::Fixture;
use crate::inference::matrix::{Client, Say};

const CALL: &str =
    r#"{"index":0,"id":"call_77","type":"function","function":{"name":"look","arguments":"{}"}}"#;

/// An answer that reasons and then calls.
fn reasoned(streamed: bool) -> Script {
    let call: Value = serde_json::from_str(CALL).expect("JSON");
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    let choice = |name: &str, message: Value, reason: Value| json!({"index": 0, name: message, "finish_reason": reason});
    if !streamed {
        let message = json!({"role": "assistant", "content": null, "reasoning_content": "it is far", "tool_calls": [call]});
        let choices = json!([choice("message", message, json!("tool_calls"))]);
        return Script::json(
            200,
            &json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}),
        );
    }
    let deltas = [
        json!({"role": "assistant", "reasoning_content": "it is "}),
        json!({"reasoning_content": "far"}),
        json!({"tool_calls": [call]}),
    ];
    let chunk = |choices: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices});
    let mut chunks: Vec<Value> = deltas
        .into_iter()
        .map(|delta| chunk(json!([choice("delta", delta, Value::Null)])))
        .collect();
    let mut last = chunk(json!([choice("delta", json!({}), json!("tool_calls"))]));
    last["usage"] = usage;
    chunks.push(last);
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    Script::stream(events.chain(["data: [DONE]\n\n".to_owned()]))
}

fn called(fixture: &Fixture, model: &str, streamed: bool) {
    fixture.upstream.respond_with(reasoned(streamed));
    let body = chat(model, json!({"tools": chat_tools(), "stream": streamed}));
    let response = fixture.user().post(Client::Chat.path(), &body);
    assert!(response.assert_status(200).text().contains("call_77"));
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn reasoning_that_a_chat_client_dropped_is_written_back_from_the_memory() {
    for model in ["deepseek/deepseek-reasoner", "together/moonshotai/Kimi-K3"] {
        for streamed in [false, true] {
            let fixture = fixture();
            called(&fixture, model, streamed);
            say(&fixture, Say::Text, false);
            let call = json!({"id": "call_77", "type": "function", "function": {"name": "look", "arguments": "{}"}});
            let turns = json!([{"role": "user", "content": "go"},
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_77", "content": "seen"}]);
            let body = chat(model, json!({"tools": chat_tools(), "messages": turns}));
            let (sent, _) = taken(&fixture, Client::Chat, &body);
            assert_eq!(
                sent["messages"][1]["reasoning_content"], "it is far",
                "{model}, {streamed}"
            );
            // the client's own reasoning stays
            let mut carried = body.clone();
            carried["messages"][1]["reasoning_content"] = json!("mine");
            let (sent, _) = taken(&fixture, Client::Chat, &carried);
            assert_eq!(sent["messages"][1]["reasoning_content"], "mine");
        }
    }
}

#[test]
fn reasoning_of_a_messages_history_is_written_back_beside_its_calls() {
    let fixture = fixture();
    let model = "together/moonshotai/Kimi-K3";
    fixture.upstream.respond_with(reasoned(false));
    let tools = json!({"tools": claude_tools(), "thinking": {"type": "adaptive"}});
    let (_, response) = taken(&fixture, Client::Messages, &messages(model, tools.clone()));
    let content = response.json()["content"].clone();
    let result =
        json!([{"type": "tool_result", "tool_use_id": content[1]["id"], "content": "seen"}]);
    let turns = json!({"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": content},
        {"role": "user", "content": result}]});
    say(&fixture, Say::Text, false);
    let (sent, _) = taken(
        &fixture,
        Client::Messages,
        &with(messages(model, tools), turns),
    );
    assert_eq!(
        sent["messages"][1]["reasoning_content"], "it is far",
        "{sent}"
    );
}
