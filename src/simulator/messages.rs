//! Answers in the messages dialect: a unary body, or the events of a stream. Reads a `SimulatedRequest`, never HTTP.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use crate::simulator::reply::SimulatedReply;
use crate::simulator::request::SimulatedRequest;
use crate::simulator::text::deltas;

/// Signature of the simulator's thinking; nothing checks it.
const SIGNATURE: &str = "c2ltdWxhdG9y";

pub(super) fn unary(request: &SimulatedRequest) -> Value {
    let thinking = request
        .thinking
        .iter()
        .map(|thinking| json!({"type": "thinking", "thinking": thinking, "signature": SIGNATURE}));
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
        "content": thinking.chain([block]).collect::<Vec<_>>(),
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
    let mut events = vec![json!({"type": "message_start", "message": head})];
    let thinking = request.thinking.as_deref().map(thinking_block);
    let blocks = thinking.into_iter().chain([reply_block(request)]);
    for (index, (block, deltas)) in blocks.enumerate() {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(&request.reply), "stop_sequence": null},
        "usage": usage(request.input_tokens, request.output_tokens()),
    }));
    events.push(json!({"type": "message_stop"}));
    let named = |event: Value| {
        Bytes::from(format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        ))
    };
    events.into_iter().map(named).collect()
}

/// The empty block and its deltas, the signature last.
fn thinking_block(thinking: &str) -> (Value, Vec<Value>) {
    let delta = |text| json!({"type": "thinking_delta", "thinking": text});
    let signature = json!({"type": "signature_delta", "signature": SIGNATURE});
    (
        json!({"type": "thinking", "thinking": "", "signature": ""}),
        deltas(thinking).map(delta).chain([signature]).collect(),
    )
}

fn reply_block(request: &SimulatedRequest) -> (Value, Vec<Value>) {
    match &request.reply {
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
    }
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
