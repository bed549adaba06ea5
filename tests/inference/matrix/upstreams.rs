//! Upstream side of the matrix: the dialect chosen by the gateway (from the path) and a small response in it for every
//! feature. All of them report the same tokens, so that every record must be equal.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::script::Script;
use crate::harness::upstream::ReceivedRequest;

pub const TEXT: &str = "Hello 日本 🦀";
pub const JSON: &str = r#"{"city":"Zürich 🦀"}"#;
pub const THOUGHT: &str = "A greeting is due.";
pub const INPUT: u64 = 14;
pub const OUTPUT: u64 = 25;

/// Content of a model's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Text,
    Json,
    Call,
    Calls,
    Thoughts,
}

impl Say {
    fn text(self) -> Option<&'static str> {
        match self {
            Say::Text | Say::Thoughts => Some(TEXT),
            Say::Json => Some(JSON),
            Say::Call | Say::Calls => None,
        }
    }

    fn thoughts(self) -> Option<&'static str> {
        (self == Say::Thoughts).then_some(THOUGHT)
    }

    /// The tools that it calls, and with what.
    pub fn calls(self) -> Vec<(&'static str, Value)> {
        let mut calls = vec![
            ("weather", json!({"city": "Zürich 🦀", "days": 2})),
            ("weather", json!({"city": "Bern", "days": 1})),
        ];
        calls.truncate(match self {
            Say::Call => 1,
            Say::Calls => 2,
            _ => 0,
        });
        calls
    }
}

/// Dialect that the gateway speaks to a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamDialect {
    Chat,
    Messages,
    Responses,
    Gemini,
    Converse,
    Invoke,
    Cohere,
    Ollama,
}

impl UpstreamDialect {
    pub fn at(path: &str) -> UpstreamDialect {
        let last = path.rsplit('/').next().unwrap_or_default();
        match last {
            "completions" => UpstreamDialect::Chat,
            "messages" => UpstreamDialect::Messages,
            "responses" => UpstreamDialect::Responses,
            "converse" | "converse-stream" => UpstreamDialect::Converse,
            "invoke" | "invoke-with-response-stream" => UpstreamDialect::Invoke,
            "chat" if path.ends_with("/v2/chat") => UpstreamDialect::Cohere,
            "chat" if path.ends_with("/api/chat") => UpstreamDialect::Ollama,
            _ if last.ends_with(":generateContent") || last.ends_with(":streamGenerateContent") => {
                UpstreamDialect::Gemini
            }
            _ => panic!("nothing answers at {path}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            UpstreamDialect::Chat => "chat",
            UpstreamDialect::Messages => "messages",
            UpstreamDialect::Responses => "responses",
            UpstreamDialect::Gemini => "generateContent",
            UpstreamDialect::Converse => "Converse",
            UpstreamDialect::Invoke => "InvokeModel",
            UpstreamDialect::Cohere => "v2/chat",
            UpstreamDialect::Ollama => "api/chat",
        }
    }

    /// Returns `true` if responses in this dialect contain reasoning: OpenAI's chat counts it and keeps it.
    pub fn tells_thoughts(self, path: &str) -> bool {
        self != UpstreamDialect::Chat
            || !(path.starts_with("/openai/") || path.starts_with("/azure/"))
    }
}

/// Answers every request in the dialect of its path.
pub fn script(say: Say, streamed: bool) -> Script {
    Script::from_request(move |request| {
        if streamed {
            stream(request)
        } else {
            Script::json(200, &whole(request, say))
        }
    })
}

fn whole(request: &ReceivedRequest, say: Say) -> Value {
    match UpstreamDialect::at(request.path()) {
        UpstreamDialect::Chat => chat(request.path(), say),
        UpstreamDialect::Messages | UpstreamDialect::Invoke => messages(say),
        UpstreamDialect::Responses => responses(say),
        UpstreamDialect::Gemini => gemini(say),
        UpstreamDialect::Converse => converse(say),
        UpstreamDialect::Cohere => cohere(say),
        UpstreamDialect::Ollama => ollama(say),
    }
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT})
}

fn chat(path: &str, say: Say) -> Value {
    let mut message = json!({"role": "assistant", "content": say.text()});
    if let Some(thought) = say
        .thoughts()
        .filter(|_| UpstreamDialect::Chat.tells_thoughts(path))
    {
        if path.starts_with("/mistral/") {
            let thinking =
                json!({"type": "thinking", "thinking": [{"type": "text", "text": thought}]});
            message["content"] = json!([thinking, {"type": "text", "text": TEXT}]);
        } else {
            message["reasoning"] = json!(thought);
        }
    }
    let call = |(number, (name, arguments)): (usize, (&str, Value))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"id": format!("call0000{number}"), "type": "function", "function": function})
    };
    let calls: Vec<Value> = say.calls().into_iter().enumerate().map(call).collect();
    let reason = if calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "up", "usage": chat_usage(),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}]})
}

fn messages(say: Say) -> Value {
    let mut content = Vec::new();
    content.extend(
        say.thoughts()
            .map(|text| json!({"type": "thinking", "thinking": text, "signature": "c2lnbmVk"})),
    );
    content.extend(say.text().map(|text| json!({"type": "text", "text": text})));
    content.extend(say.calls().into_iter().enumerate().map(
        |(number, (name, input))| json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": input}),
    ));
    let reason = if say.text().is_some() {
        "end_turn"
    } else {
        "tool_use"
    };
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": content, "stop_reason": reason,
        "stop_sequence": null, "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT}})
}

fn response(output: &[Value], status: &str) -> Value {
    let usage = json!({"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT + OUTPUT});
    let usage = if status == "completed" {
        usage
    } else {
        Value::Null
    };
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "up", "output": output,
        "usage": usage, "tools": [], "parallel_tool_calls": true, "tool_choice": "auto", "metadata": {}, "error": null,
        "incomplete_details": null})
}

fn responses(say: Say) -> Value {
    let mut output = Vec::new();
    let summary = |text| json!([{"type": "summary_text", "text": text}]);
    output.extend(
        say.thoughts().map(
            |text| json!({"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAAABpGk0n", "summary": summary(text)}),
        ),
    );
    output.extend(say.text().map(message_item));
    output.extend(say.calls().into_iter().enumerate().map(|(number, (name, arguments))| {
        json!({"id": format!("fc_{number}"), "type": "function_call", "status": "completed", "name": name,
            "call_id": format!("call_{number}"), "arguments": arguments.to_string()})
    }));
    response(&output, "completed")
}

fn message_item(text: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
}

fn gemini_of(parts: &[Value], ended: bool) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if ended {
        candidate["finishReason"] = json!("STOP");
    }
    json!({"candidates": [candidate], "modelVersion": "up", "responseId": "r",
        "usageMetadata": {"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT}})
}

fn gemini(say: Say) -> Value {
    let mut parts = Vec::new();
    parts.extend(
        say.thoughts()
            .map(|text| json!({"thought": true, "text": text})),
    );
    parts.extend(say.text().map(|text| json!({"text": text})));
    parts.extend(
        say.calls()
            .into_iter()
            .map(|(name, args)| json!({"functionCall": {"name": name, "args": args}})),
    );
    gemini_of(&parts, true)
}

fn converse_usage() -> Value {
    json!({"inputTokens": INPUT, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT})
}

fn converse(say: Say) -> Value {
    let mut content = Vec::new();
    let thought = |text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2lnbmVk"}}});
    content.extend(say.thoughts().map(thought));
    content.extend(say.text().map(|text| json!({"text": text})));
    content.extend(say.calls().into_iter().enumerate().map(
        |(number, (name, input))| json!({"toolUse": {"toolUseId": format!("tooluse_{number}"), "name": name, "input": input}}),
    ));
    let reason = if say.text().is_some() {
        "end_turn"
    } else {
        "tool_use"
    };
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason, "usage": converse_usage(),
        "metrics": {"latencyMs": 1}})
}

fn cohere_usage() -> Value {
    let counts = json!({"input_tokens": INPUT, "output_tokens": OUTPUT});
    json!({"billed_units": counts, "tokens": counts})
}

fn cohere(say: Say) -> Value {
    let mut content = Vec::new();
    content.extend(
        say.thoughts()
            .map(|text| json!({"type": "thinking", "thinking": text})),
    );
    content.extend(say.text().map(|text| json!({"type": "text", "text": text})));
    let call = |(number, (name, arguments)): (usize, (&str, Value))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"id": format!("weather_{number}"), "type": "function", "function": function})
    };
    let calls: Vec<Value> = say.calls().into_iter().enumerate().map(call).collect();
    let (message, reason) = if calls.is_empty() {
        (json!({"role": "assistant", "content": content}), "COMPLETE")
    } else {
        (
            json!({"role": "assistant", "tool_calls": calls}),
            "TOOL_CALL",
        )
    };
    json!({"id": "c", "message": message, "finish_reason": reason, "usage": cohere_usage()})
}

fn ollama(say: Say) -> Value {
    let mut message = json!({"role": "assistant", "content": say.text().unwrap_or_default()});
    if let Some(thought) = say.thoughts() {
        message["thinking"] = json!(thought);
    }
    let function = |(name, arguments): (&str, Value)| json!({"function": {"name": name, "arguments": arguments}});
    let calls: Vec<Value> = say.calls().into_iter().map(function).collect();
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({"model": "up", "created_at": "2026-11-24T06:31:03.418274Z", "message": message, "done": true, "done_reason": "stop",
        "prompt_eval_count": INPUT, "eval_count": OUTPUT})
}

/// The text, streamed in two pieces.
fn stream(request: &ReceivedRequest) -> Script {
    let pieces = TEXT.split_at(TEXT.find(' ').expect("a space"));
    match UpstreamDialect::at(request.path()) {
        UpstreamDialect::Chat => Script::stream(chat_stream(pieces)),
        UpstreamDialect::Messages => Script::stream(named(&messages_stream(pieces))),
        UpstreamDialect::Responses => Script::stream(named(&responses_stream(pieces))),
        UpstreamDialect::Gemini => {
            let event =
                |text, ended| format!("data: {}\n\n", gemini_of(&[json!({"text": text})], ended));
            Script::stream([event(pieces.0, false), event(pieces.1, true)])
        }
        UpstreamDialect::Converse => framed(
            converse_stream(pieces)
                .iter()
                .map(|(name, event)| frame(name, event)),
        ),
        UpstreamDialect::Invoke => {
            let wrapped = |event: &Value| {
                frame(
                    "chunk",
                    &json!({"bytes": STANDARD.encode(event.to_string())}),
                )
            };
            framed(messages_stream(pieces).iter().map(wrapped))
        }
        UpstreamDialect::Cohere => Script::stream(named(&cohere_stream(pieces))),
        UpstreamDialect::Ollama => {
            let mut last = ollama(Say::Text);
            last["message"]["content"] = json!("");
            let piece = |text| json!({"model": "up", "message": {"role": "assistant", "content": text}, "done": false});
            let lines = [piece(pieces.0), piece(pieces.1), last].map(|line| format!("{line}\n"));
            Script::stream(lines).header("content-type", "application/x-ndjson")
        }
    }
}

fn chat_stream(pieces: (&str, &str)) -> Vec<String> {
    let chunk = |choices: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices});
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]))
    };
    let mut usage = chunk(json!([]));
    usage["usage"] = chat_usage();
    let chunks = [
        delta(
            json!({"role": "assistant", "content": pieces.0}),
            Value::Null,
        ),
        delta(json!({"content": pieces.1}), Value::Null),
        delta(json!({}), json!("stop")),
        usage,
    ];
    chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .chain(["data: [DONE]\n\n".to_owned()])
        .collect()
}

fn messages_stream(pieces: (&str, &str)) -> Vec<Value> {
    let mut start = messages(Say::Text);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let delta = |text| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        delta(pieces.0),
        delta(pieces.1),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": OUTPUT}}),
        json!({"type": "message_stop"}),
    ]
}

fn responses_stream(pieces: (&str, &str)) -> Vec<Value> {
    let mut begun = message_item(TEXT);
    begun["content"] = json!([]);
    begun["status"] = json!("in_progress");
    let at = |kind: &str, more: Value| {
        let mut event =
            json!({"type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0});
        event
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("members").clone());
        event
    };
    let part =
        |text| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let mut events = vec![
        json!({"type": "response.created", "response": response(&[], "in_progress")}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": begun}),
        at("response.content_part.added", json!({"part": part("")})),
        at(
            "response.output_text.delta",
            json!({"delta": pieces.0, "logprobs": []}),
        ),
        at(
            "response.output_text.delta",
            json!({"delta": pieces.1, "logprobs": []}),
        ),
        at(
            "response.output_text.done",
            json!({"text": TEXT, "logprobs": []}),
        ),
        at("response.content_part.done", json!({"part": part(TEXT)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message_item(TEXT)}),
        json!({"type": "response.completed", "response": response(&[message_item(TEXT)], "completed")}),
    ];
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events
}

fn converse_stream(pieces: (&str, &str)) -> Vec<(&'static str, Value)> {
    let delta = |text| json!({"contentBlockIndex": 0, "delta": {"text": text}});
    vec![
        ("messageStart", json!({"role": "assistant"})),
        ("contentBlockDelta", delta(pieces.0)),
        ("contentBlockDelta", delta(pieces.1)),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        (
            "metadata",
            json!({"usage": converse_usage(), "metrics": {"latencyMs": 1}}),
        ),
    ]
}

fn cohere_stream(pieces: (&str, &str)) -> Vec<Value> {
    let content = |kind: &str, content: Value| json!({"type": kind, "index": 0, "delta": {"message": {"content": content}}});
    vec![
        json!({"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "content": []}}}),
        content("content-start", json!({"type": "text", "text": ""})),
        content("content-delta", json!({"text": pieces.0})),
        content("content-delta", json!({"text": pieces.1})),
        json!({"type": "content-end", "index": 0}),
        json!({"type": "message-end", "id": "c", "delta": {"finish_reason": "COMPLETE", "usage": cohere_usage()}}),
    ]
}

/// Server-sent events under the names that their data say.
fn named(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().expect("a type")
            )
        })
        .collect()
}

fn framed(frames: impl Iterator<Item = Vec<u8>>) -> Script {
    Script::stream(frames).header("content-type", "application/vnd.amazon.eventstream")
}

/// One event in AWS's framing, with both sums.
fn frame(name: &str, payload: &Value) -> Vec<u8> {
    let mut headers = Vec::new();
    for (header, value) in [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(u8::try_from(header.len()).expect("a short name"));
        headers.extend(header.as_bytes());
        headers.push(7);
        headers.extend(
            u16::try_from(value.len())
                .expect("a short value")
                .to_be_bytes(),
        );
        headers.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    let size = |bytes: usize| u32::try_from(bytes).expect("a small frame").to_be_bytes();
    let mut frame = [
        size(headers.len() + payload.len() + 16),
        size(headers.len()),
    ]
    .concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}
