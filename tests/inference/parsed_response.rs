//! Responses parsed as the dialect's own clients parse them: reasoning, text, tool calls, stop reason and usage. Parsing
//! panics at anything that such a client would not accept.

use serde_json::{Value, json};

use super::fixture::{Chat, Dialect, Fixture, Messages};
use crate::harness::client::{BodyEnd, Response, SseEvent};
use crate::harness::script::Script;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParsedResponse {
    pub reasoning: String,
    pub text: String,
    pub calls: Vec<ToolCall>,
    pub stop_reason: String,
    /// total input, cached input, output
    pub tokens: (u64, u64, u64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

impl ToolCall {
    /// Parsed arguments.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Stop reason of a plain end.
pub fn stop_reason(dialect: Dialect) -> &'static str {
    if dialect == Chat { "stop" } else { "end_turn" }
}

/// Stop reason of an end in tool calls.
pub fn tool_call_reason(dialect: Dialect) -> &'static str {
    if dialect == Chat {
        "tool_calls"
    } else {
        "tool_use"
    }
}

/// Sends a request, streamed or unary, and parses the response.
pub fn send_and_parse(
    fixture: &Fixture,
    dialect: Dialect,
    mut body: Value,
    streamed: bool,
    script: Script,
) -> ParsedResponse {
    fixture.upstream.respond_with(script);
    if !streamed {
        return parse_unary(
            dialect,
            fixture
                .user()
                .post(dialect.path(), &body)
                .assert_status(200),
        );
    }
    body["stream"] = json!(true);
    if dialect == Chat {
        body["stream_options"] = json!({"include_usage": true});
    }
    let stream = fixture.user().open_stream(dialect.path(), &body);
    assert_eq!(stream.status(), 200);
    let (events, end) = stream.read_events();
    assert_eq!(end, BodyEnd::Clean);
    parse_events(dialect, &events)
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is not a count"))
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn chat_tokens(usage: &Value) -> (u64, u64, u64) {
    let cached = number(&usage["prompt_tokens_details"]["cached_tokens"]);
    (
        number(&usage["prompt_tokens"]),
        cached,
        number(&usage["completion_tokens"]),
    )
}

fn messages_tokens(usage: &Value) -> (u64, u64, u64) {
    let cached = number(&usage["cache_read_input_tokens"]);
    (
        number(&usage["input_tokens"]) + cached,
        cached,
        number(&usage["output_tokens"]),
    )
}

/// Parses a unary response.
pub fn parse_unary(dialect: Dialect, response: &Response) -> ParsedResponse {
    let body = response.json();
    if dialect == Messages {
        return parse_unary_message(&body);
    }
    let choices = body["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 1, "{body}");
    let message = &choices[0]["message"];
    let call = |call: &Value| ToolCall {
        id: string(&call["id"]),
        name: string(&call["function"]["name"]),
        arguments: string(&call["function"]["arguments"]),
    };
    ParsedResponse {
        reasoning: string(&message["reasoning_content"]),
        text: string(&message["content"]),
        calls: message["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(call)
            .collect(),
        stop_reason: string(&choices[0]["finish_reason"]),
        tokens: chat_tokens(&body["usage"]),
    }
}

fn parse_unary_message(body: &Value) -> ParsedResponse {
    let mut parsed = ParsedResponse {
        stop_reason: string(&body["stop_reason"]),
        tokens: messages_tokens(&body["usage"]),
        ..ParsedResponse::default()
    };
    for block in body["content"].as_array().expect("content") {
        match block["type"].as_str() {
            Some("thinking") => parsed.reasoning.push_str(&string(&block["thinking"])),
            Some("text") => parsed.text.push_str(&string(&block["text"])),
            Some("tool_use") => {
                assert!(block["input"].is_object(), "{block}");
                let arguments = block["input"].to_string();
                parsed.calls.push(ToolCall {
                    id: string(&block["id"]),
                    name: string(&block["name"]),
                    arguments,
                });
            }
            other => panic!("unknown block type {other:?}"),
        }
    }
    parsed
}

/// Parses a stream; asserts that it ends with the terminal event.
pub fn parse_events(dialect: Dialect, events: &[SseEvent]) -> ParsedResponse {
    let events: Vec<&SseEvent> = events
        .iter()
        .filter(|event| !event.data.is_empty())
        .collect();
    assert!(
        events
            .last()
            .is_some_and(|event| dialect.is_terminal(event)),
        "{events:?}"
    );
    match dialect {
        Chat => parse_chunks(&events[..events.len() - 1]),
        Messages => parse_blocks(&events),
    }
}

fn parse_chunks(events: &[&SseEvent]) -> ParsedResponse {
    let mut parsed = ParsedResponse::default();
    for event in events {
        let chunk = event.json();
        assert_eq!(chunk["object"], json!("chat.completion.chunk"), "{chunk}");
        if chunk["usage"].is_object() {
            parsed.tokens = chat_tokens(&chunk["usage"]);
        }
        let Some(choice) = chunk["choices"]
            .as_array()
            .and_then(|choices| choices.first())
        else {
            continue;
        };
        assert!(
            parsed.stop_reason.is_empty(),
            "a choice after its finish reason: {chunk}"
        );
        let delta = &choice["delta"];
        parsed
            .reasoning
            .push_str(&string(&delta["reasoning_content"]));
        parsed.text.push_str(&string(&delta["content"]));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(number(&call["index"])).expect("an index");
            if index == parsed.calls.len() {
                parsed.calls.push(ToolCall {
                    id: string(&call["id"]),
                    name: string(&call["function"]["name"]),
                    ..ToolCall::default()
                });
            }
            parsed.calls[index]
                .arguments
                .push_str(&string(&call["function"]["arguments"]));
        }
        parsed.stop_reason = string(&choice["finish_reason"]);
    }
    parsed
}

fn parse_blocks(events: &[&SseEvent]) -> ParsedResponse {
    let mut parsed = ParsedResponse::default();
    let mut open: Option<String> = None;
    let mut next = 0;
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        assert_eq!(data["type"], json!(event.name), "{event:?}");
        assert_eq!(event.name == "message_start", number == 0, "{event:?}");
        match event.name.as_str() {
            "content_block_start" => {
                assert!(open.is_none(), "a block opened inside another: {data}");
                assert_eq!(data["index"], json!(next), "{data}");
                let block = &data["content_block"];
                open = Some(string(&block["type"]));
                if block["type"] == json!("tool_use") {
                    parsed.calls.push(ToolCall {
                        id: string(&block["id"]),
                        name: string(&block["name"]),
                        ..ToolCall::default()
                    });
                }
            }
            "content_block_delta" => {
                assert_eq!(data["index"], json!(next), "{data}");
                append_delta(&mut parsed, open.as_deref(), &data["delta"]);
            }
            "content_block_stop" => {
                assert_eq!(
                    (open.take().is_some(), &data["index"]),
                    (true, &json!(next)),
                    "{data}"
                );
                next += 1;
            }
            "message_delta" => {
                assert!(open.is_none(), "{data}");
                parsed.stop_reason = string(&data["delta"]["stop_reason"]);
                parsed.tokens = messages_tokens(&data["usage"]);
            }
            "message_start" | "message_stop" | "ping" => {}
            other => panic!("unknown event {other}: {data}"),
        }
    }
    parsed
}

fn append_delta(parsed: &mut ParsedResponse, open: Option<&str>, delta: &Value) {
    match (open, delta["type"].as_str()) {
        (Some("thinking"), Some("thinking_delta")) => {
            parsed.reasoning.push_str(&string(&delta["thinking"]))
        }
        (Some("thinking"), Some("signature_delta")) => {}
        (Some("text"), Some("text_delta")) => parsed.text.push_str(&string(&delta["text"])),
        (Some("tool_use"), Some("input_json_delta")) => {
            let call = parsed.calls.last_mut().expect("a call is open");
            call.arguments.push_str(&string(&delta["partial_json"]));
        }
        other => panic!("{other:?}: {delta}"),
    }
}
