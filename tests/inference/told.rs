//! What an answer tells a client, read as its dialect's own clients read it: the thoughts, the text, the calls, the end and the usage.
//! Reading panics at anything that such a client would not accept.

use serde_json::{Value, json};

use super::house::{Chat, Dialect, House, Messages};
use crate::harness::client::{BodyEnd, Response, SseEvent};
use crate::harness::script::Script;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub thoughts: String,
    pub text: String,
    pub calls: Vec<Call>,
    pub end: String,
    /// input in all, of it from a cache, output
    pub tokens: (u64, u64, u64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

impl Call {
    /// The arguments, parsed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// The word for a plain end.
pub fn stop(dialect: Dialect) -> &'static str {
    if dialect == Chat { "stop" } else { "end_turn" }
}

/// The word for an end in calls.
pub fn called(dialect: Dialect) -> &'static str {
    if dialect == Chat {
        "tool_calls"
    } else {
        "tool_use"
    }
}

/// Asks, streamed or not, and reads what the client is told.
pub fn told(
    house: &House,
    dialect: Dialect,
    mut body: Value,
    streamed: bool,
    script: Script,
) -> Told {
    house.upstream.respond_with(script);
    if !streamed {
        return whole(
            dialect,
            house.user().post(dialect.path(), &body).assert_status(200),
        );
    }
    body["stream"] = json!(true);
    if dialect == Chat {
        body["stream_options"] = json!({"include_usage": true});
    }
    let stream = house.user().open_stream(dialect.path(), &body);
    assert_eq!(stream.status(), 200);
    let (events, end) = stream.read_events();
    assert_eq!(end, BodyEnd::Clean);
    of_events(dialect, &events)
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is not a count"))
}

fn words(value: &Value) -> String {
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

/// What a whole answer tells.
pub fn whole(dialect: Dialect, answer: &Response) -> Told {
    let body = answer.json();
    if dialect == Messages {
        return whole_message(&body);
    }
    let choices = body["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 1, "{body}");
    let message = &choices[0]["message"];
    let call = |call: &Value| Call {
        id: words(&call["id"]),
        name: words(&call["function"]["name"]),
        arguments: words(&call["function"]["arguments"]),
    };
    Told {
        thoughts: words(&message["reasoning_content"]),
        text: words(&message["content"]),
        calls: message["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(call)
            .collect(),
        end: words(&choices[0]["finish_reason"]),
        tokens: chat_tokens(&body["usage"]),
    }
}

fn whole_message(body: &Value) -> Told {
    let mut told = Told {
        end: words(&body["stop_reason"]),
        tokens: messages_tokens(&body["usage"]),
        ..Told::default()
    };
    for block in body["content"].as_array().expect("content") {
        match block["type"].as_str() {
            Some("thinking") => told.thoughts.push_str(&words(&block["thinking"])),
            Some("text") => told.text.push_str(&words(&block["text"])),
            Some("tool_use") => {
                assert!(block["input"].is_object(), "{block}");
                let arguments = block["input"].to_string();
                told.calls.push(Call {
                    id: words(&block["id"]),
                    name: words(&block["name"]),
                    arguments,
                });
            }
            other => panic!("a block of type {other:?}"),
        }
    }
    told
}

/// What a stream tells that ends as it should.
pub fn of_events(dialect: Dialect, events: &[SseEvent]) -> Told {
    let events: Vec<&SseEvent> = events
        .iter()
        .filter(|event| event.comment.is_empty())
        .collect();
    assert!(
        events
            .last()
            .is_some_and(|event| dialect.is_terminal(event)),
        "{events:?}"
    );
    match dialect {
        Chat => of_chunks(&events[..events.len() - 1]),
        Messages => of_blocks(&events),
    }
}

fn of_chunks(events: &[&SseEvent]) -> Told {
    let mut told = Told::default();
    for event in events {
        let chunk = event.json();
        assert_eq!(chunk["object"], json!("chat.completion.chunk"), "{chunk}");
        if chunk["usage"].is_object() {
            told.tokens = chat_tokens(&chunk["usage"]);
        }
        let Some(choice) = chunk["choices"]
            .as_array()
            .and_then(|choices| choices.first())
        else {
            continue;
        };
        assert!(told.end.is_empty(), "a choice after its end: {chunk}");
        let delta = &choice["delta"];
        told.thoughts.push_str(&words(&delta["reasoning_content"]));
        told.text.push_str(&words(&delta["content"]));
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(number(&call["index"])).expect("an index");
            if index == told.calls.len() {
                told.calls.push(Call {
                    id: words(&call["id"]),
                    name: words(&call["function"]["name"]),
                    ..Call::default()
                });
            }
            told.calls[index]
                .arguments
                .push_str(&words(&call["function"]["arguments"]));
        }
        told.end = words(&choice["finish_reason"]);
    }
    told
}

fn of_blocks(events: &[&SseEvent]) -> Told {
    let mut told = Told::default();
    let mut open: Option<String> = None;
    let mut next = 0;
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        assert_eq!(data["type"], json!(event.name), "{event:?}");
        assert_eq!(event.name == "message_start", number == 0, "{event:?}");
        match event.name.as_str() {
            "content_block_start" => {
                assert!(open.is_none(), "two blocks at once: {data}");
                assert_eq!(data["index"], json!(next), "{data}");
                let block = &data["content_block"];
                open = Some(words(&block["type"]));
                if block["type"] == json!("tool_use") {
                    told.calls.push(Call {
                        id: words(&block["id"]),
                        name: words(&block["name"]),
                        ..Call::default()
                    });
                }
            }
            "content_block_delta" => {
                assert_eq!(data["index"], json!(next), "{data}");
                piece(&mut told, open.as_deref(), &data["delta"]);
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
                told.end = words(&data["delta"]["stop_reason"]);
                told.tokens = messages_tokens(&data["usage"]);
            }
            "message_start" | "message_stop" | "ping" => {}
            other => panic!("an event {other}: {data}"),
        }
    }
    told
}

fn piece(told: &mut Told, open: Option<&str>, delta: &Value) {
    match (open, delta["type"].as_str()) {
        (Some("thinking"), Some("thinking_delta")) => {
            told.thoughts.push_str(&words(&delta["thinking"]))
        }
        (Some("thinking"), Some("signature_delta")) => {}
        (Some("text"), Some("text_delta")) => told.text.push_str(&words(&delta["text"])),
        (Some("tool_use"), Some("input_json_delta")) => {
            let call = told.calls.last_mut().expect("a call is open");
            call.arguments.push_str(&words(&delta["partial_json"]));
        }
        other => panic!("{other:?}: {delta}"),
    }
}
