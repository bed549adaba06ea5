//! Answers in the chat dialect: a unary body, or the events of a stream. Reads a `SimulatedRequest`, never HTTP.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use crate::simulator::reply::SimulatedReply;
use crate::simulator::request::{CREATED_S, SimulatedRequest};
use crate::simulator::text::deltas;

pub(super) fn unary(request: &SimulatedRequest) -> Value {
    let mut message = match &request.reply {
        SimulatedReply::Text { text, .. } => {
            json!({"role": "assistant", "content": text, "refusal": null})
        }
        SimulatedReply::Tool { name, arguments } => {
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [tool_call(request.number, name, &arguments.to_string())]})
        }
    };
    if let Some(thinking) = &request.thinking {
        message["reasoning_content"] = json!(thinking);
    }
    json!({
        "id": format!("chatcmpl-simulator-{}", request.number),
        "object": "chat.completion",
        "created": CREATED_S,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(&request.reply)}],
        "usage": usage(request),
    })
}

pub(super) fn events(request: &SimulatedRequest) -> Vec<Bytes> {
    let thinking = deltas(request.thinking.as_deref().unwrap_or_default());
    let thinking = thinking.map(|delta| json!({"reasoning_content": delta}));
    let content: Vec<Value> = match &request.reply {
        SimulatedReply::Text { text, .. } => deltas(text)
            .map(|delta| json!({"content": delta}))
            .collect(),
        SimulatedReply::Tool { name, arguments } => {
            tool_deltas(request.number, name, &arguments.to_string())
        }
    };
    let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let opening = choice(json!({"role": "assistant", "content": ""}), None);
    let closing = choice(json!({}), Some(finish_reason(&request.reply)));
    let choices = [opening]
        .into_iter()
        .chain(thinking.chain(content).map(|delta| choice(delta, None)))
        .chain([closing]);

    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-simulator-{}", request.number),
            "object": "chat.completion.chunk",
            "created": CREATED_S,
            "model": request.model,
            "choices": choices,
        });
        if request.include_usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let mut events: Vec<Bytes> = choices.map(|choices| chunk(choices, Value::Null)).collect();
    if request.include_usage {
        events.push(chunk(json!([]), usage(request)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

pub(super) fn usage(request: &SimulatedRequest) -> Value {
    let (input, output) = (request.input_tokens, request.output_tokens());
    let mut usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    if request.thinking.is_some() {
        usage["completion_tokens_details"] = json!({"reasoning_tokens": request.thinking_tokens()});
    }
    usage
}

fn finish_reason(reply: &SimulatedReply) -> &'static str {
    match reply {
        SimulatedReply::Text {
            truncated: false, ..
        } => "stop",
        SimulatedReply::Text {
            truncated: true, ..
        } => "length",
        SimulatedReply::Tool { .. } => "tool_calls",
    }
}

fn tool_call(number: u64, name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_simulator_{number}"), "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// A streamed call: its name, then its arguments token by token.
fn tool_deltas(number: u64, name: &str, arguments: &str) -> Vec<Value> {
    let mut opening = tool_call(number, name, "");
    opening["index"] = json!(0);
    let delta = |text| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    [json!({"tool_calls": [opening]})]
        .into_iter()
        .chain(deltas(arguments).map(delta))
        .collect()
}
