//! Responses: recordings reach the client as text, tool calls, reasoning and usage of its own dialect.

use serde_json::{Value, json};

use super::{SONNET, chat, deliveries, fixture, messages, tool};
use crate::harness::client::SseEvent;
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Fixture, Messages};

/// Assembles a chat stream as clients do: content, reasoning, calls by index, finish reason, usage.
fn assemble_chat(events: &[SseEvent]) -> Value {
    let (mut content, mut reasoning, mut finish, mut usage) =
        (String::new(), String::new(), Value::Null, Value::Null);
    let mut calls: Vec<(Value, Value, String)> = Vec::new();
    for chunk in events.iter().map(SseEvent::json) {
        let choice = &chunk["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        reasoning.push_str(
            choice["delta"]["reasoning_content"]
                .as_str()
                .unwrap_or_default(),
        );
        for call in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let index = call["index"].as_u64().expect("an index") as usize;
            if index == calls.len() {
                calls.push((
                    call["id"].clone(),
                    call["function"]["name"].clone(),
                    String::new(),
                ));
            }
            calls[index]
                .2
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        for (place, value) in [
            (&mut finish, &choice["finish_reason"]),
            (&mut usage, &chunk["usage"]),
        ] {
            if !value.is_null() {
                *place = value.clone();
            }
        }
    }
    assert_eq!(
        events.last().map(|event| event.data.as_str()),
        Some("[DONE]")
    );
    json!({"content": content, "reasoning": reasoning, "calls": calls, "finish": finish, "usage": usage})
}

/// Assembles a messages stream as the SDK's accumulator does; asserts the order of events.
fn assemble_message(events: &[SseEvent]) -> Value {
    let mut message = Value::Null;
    let mut open: Option<usize> = None;
    for event in events.iter().filter(|event| !event.data.is_empty()) {
        let data = event.json();
        assert_eq!(data["type"], json!(event.name));
        let index = data["index"].as_u64().map(|index| index as usize);
        match event.name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let content = message["content"]
                    .as_array_mut()
                    .expect("message_start comes first");
                assert_eq!((open, index), (None, Some(content.len())));
                content.push(data["content_block"].clone());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let block = &mut message["content"][index.expect("an index")];
                for (delta, member) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("signature", "signature"),
                    ("partial_json", "json"),
                ] {
                    if let Some(more) = data["delta"][delta].as_str() {
                        block[member] = json!(format!(
                            "{}{more}",
                            block[member].as_str().unwrap_or_default()
                        ));
                    }
                }
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            _ => {}
        }
    }
    assert_eq!(
        events.last().map(|event| event.name.as_str()),
        Some("message_stop")
    );
    message
}

#[test]
fn t01_chat_client_on_anthropic_gets_text_and_usage() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(response["choices"][0]["message"]["content"], "Hello 🦀!");
    assert_eq!(response["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        fixture.assert_recorded().assert_ended("ok", &[]).output(),
        5
    );
    for script in deliveries(&golden("anthropic/text.sse")) {
        fixture.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        );
        let parsed = assemble_chat(
            &fixture
                .user()
                .open_stream(Chat.path(), &body)
                .read_events()
                .0,
        );
        assert_eq!(
            (&parsed["content"], &parsed["finish"]),
            (&json!("Hello 🦀!"), &json!("stop"))
        );
        assert_eq!(
            (
                &parsed["usage"]["prompt_tokens"],
                &parsed["usage"]["completion_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
    let request = fixture.upstream.last_request();
    assert_eq!(
        (request.target(), request.header("anthropic-version")),
        ("/v1/messages", Some("2023-06-01"))
    );
}

#[test]
fn t02_messages_client_on_openai_gets_ordered_events_and_usage() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let response = fixture
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json();
    assert_eq!(
        response["content"],
        json!([{"type": "text", "text": "Hello 🦀!"}])
    );
    assert_eq!(
        (
            &response["stop_reason"],
            &response["role"],
            &response["type"]
        ),
        (&json!("end_turn"), &json!("assistant"), &json!("message"))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(26, 7);
    let mut ids = vec![response["id"].clone()];
    for script in deliveries(&golden("openai/text.sse")) {
        fixture.upstream.respond_with(script);
        let message = assemble_message(
            &fixture
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(
            message["content"],
            json!([{"type": "text", "text": "Hello 🦀!"}])
        );
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(message["usage"]["output_tokens"], 7);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(26, 7);
        ids.push(message["id"].clone());
    }
    let count = ids.len();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), count, "response ids are unique");
}

#[test]
fn u01_chat_client_on_anthropic_gets_tool_call_from_partial_json() {
    let fixture = fixture();
    for script in deliveries(&golden("anthropic/thinking_tool.sse")) {
        fixture.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "tools": tool(), "stream_options": {"include_usage": true}}),
        );
        let parsed = assemble_chat(
            &fixture
                .user()
                .open_stream(Chat.path(), &body)
                .read_events()
                .0,
        );
        let call = json!([
            "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            "weather",
            "{\"city\":\"Köln 🦀\",\"unit\":\"c\"}"
        ]);
        assert_eq!(
            (&parsed["calls"], &parsed["finish"]),
            (&json!([call]), &json!("tool_calls"))
        );
        assert_eq!(
            (&parsed["content"], &parsed["reasoning"]),
            (
                &json!("Let me look."),
                &json!("They ask for the weather 🦀.")
            )
        );
        // 14 uncached, 30 cache write, 200 cache read
        assert_eq!(
            (
                &parsed["usage"]["prompt_tokens"],
                &parsed["usage"]["completion_tokens"]
            ),
            (&json!(244), &json!(89))
        );
        assert_eq!(
            parsed["usage"]["prompt_tokens_details"]["cached_tokens"],
            200
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn c01_cache_tokens_count_as_prompt_and_are_charged_by_class() {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .models(&[SONNET])
        .priced_by("sheet");
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&claude));
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(response["usage"]["prompt_tokens"], 244);
    assert_eq!(
        response["usage"]["prompt_tokens_details"]["cached_tokens"],
        200
    );
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    // 14 at $3, 10 at $3.75, 20 at $6, 200 at $0.30, 5 at $15 per million, and three searches at a cent
    let tokens = 14 * 3_000_000 + 10 * 3_750_000 + 20 * 6_000_000 + 200 * 300_000 + 5 * 15_000_000;
    assert_eq!(row.cost(), tokens + 3 * 10_000_000_000, "{}", row.0);
}

#[test]
fn c02_messages_input_tokens_exclude_cached_tokens() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let usage = fixture
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json()["usage"]
        .clone();
    assert_eq!(
        (
            &usage["input_tokens"],
            &usage["cache_read_input_tokens"],
            &usage["output_tokens"]
        ),
        (&json!(5), &json!(21), &json!(7))
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn e02_interleaved_parallel_calls_become_consecutive_blocks() {
    let fixture = fixture();
    for script in deliveries(&golden("openai/parallel_tools.sse")) {
        fixture.upstream.respond_with(script);
        let message = assemble_message(
            &fixture
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(message["stop_reason"], "tool_use");
        let calls: Vec<(&Value, &Value)> = message["content"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| (&block["name"], &block["json"]))
            .collect();
        assert_eq!(
            calls,
            [
                (&json!("weather"), &json!("{\"city\":\"Köln 🦀\"}")),
                (&json!("time"), &json!("{\"zone\":\"CET\"}"))
            ]
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn r03_chat_reasoning_becomes_unsigned_thinking_block() {
    let fixture = fixture();
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
        )
    };
    let usage =
        json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    fixture.upstream.respond_with(Script::stream([
        chunk(json!({"role": "assistant", "reasoning": "hm"}), Value::Null),
        chunk(json!({"reasoning": " so"}), Value::Null),
        chunk(json!({"content": "It is."}), Value::Null),
        chunk(json!({}), json!("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]));
    let message = assemble_message(
        &fixture
            .user()
            .open_stream(Messages.path(), &messages(json!({"stream": true})))
            .read_events()
            .0,
    );
    assert_eq!(
        message["content"],
        json!([{"type": "thinking", "thinking": "hm so", "signature": ""}, {"type": "text", "text": "It is."}])
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}
