//! Answers in the messages dialect: a unary body, or the events of a stream. Reads a `SimulatedRequest`, never HTTP.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use crate::simulator::request::{SimulatedReply, SimulatedRequest, deltas};

pub(super) fn unary(request: &SimulatedRequest) -> Value {
    let block = match &request.reply {
        SimulatedReply::Text { text, .. } => json!({"type": "text", "text": text}),
        SimulatedReply::Tool { name, arguments } => {
            json!({"type": "tool_use", "id": format!("toolu_simulator_{}", request.number), "name": name, "input": arguments})
        }
    };
    json!({
        "id": format!("msg_simulator_{}", request.number),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [block],
        "stop_reason": stop_reason(&request.reply),
        "stop_sequence": null,
        "usage": usage(request.input_tokens, request.output_tokens()),
    })
}

pub(super) fn events(request: &SimulatedRequest) -> Vec<Bytes> {
    let mut head = unary(request);
    head["content"] = json!([]);
    head["stop_reason"] = Value::Null;
    head["usage"] = usage(request.input_tokens, 0);
    let (block, deltas): (Value, Vec<Value>) = match &request.reply {
        SimulatedReply::Text { text, .. } => {
            let delta = |text| json!({"type": "text_delta", "text": text});
            (
                json!({"type": "text", "text": ""}),
                deltas(text).map(delta).collect(),
            )
        }
        SimulatedReply::Tool { name, arguments } => {
            let delta = |json| json!({"type": "input_json_delta", "partial_json": json});
            let block = json!({"type": "tool_use", "id": format!("toolu_simulator_{}", request.number), "name": name, "input": {}});
            (block, deltas(&arguments.to_string()).map(delta).collect())
        }
    };
    let opening = [
        json!({"type": "message_start", "message": head}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    let closing = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(&request.reply), "stop_sequence": null},
            "usage": usage(request.input_tokens, request.output_tokens()),
        }),
        json!({"type": "message_stop"}),
    ];
    let named = |event: Value| {
        Bytes::from(format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        ))
    };
    opening
        .into_iter()
        .chain(deltas)
        .chain(closing)
        .map(named)
        .collect()
}

fn usage(input_tokens: u64, output_tokens: u64) -> Value {
    json!({"input_tokens": input_tokens, "output_tokens": output_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})
}

fn stop_reason(reply: &SimulatedReply) -> &'static str {
    match reply {
        SimulatedReply::Text {
            truncated: false, ..
        } => "end_turn",
        SimulatedReply::Text {
            truncated: true, ..
        } => "max_tokens",
        SimulatedReply::Tool { .. } => "tool_use",
    }
}
