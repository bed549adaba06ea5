//! Streams of the scripted upstreams of a drill: an answer of one word in each dialect and framing, whole or broken off after the word.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::{Dialect, Framing};
use crate::gateway::drill::answers::{OUTPUT_TOKENS, WORD, answer};

/// Events with their names; those of some dialects have none.
type Events = Vec<(&'static str, Value)>;

/// A stream; one that is cut ends after its content.
pub(super) fn stream((dialect, framing): (Dialect, Framing), is_cut: bool) -> Bytes {
    let (mut events, end) = events(dialect);
    if !is_cut {
        events.extend(end);
    }
    let is_wrapped = framing == Framing::AwsFrames && dialect != Dialect::Converse;
    let written = events.iter().flat_map(|(name, data)| {
        let data = data.to_string();
        match is_wrapped {
            true => framing.event(
                "chunk",
                &json!({ "bytes": BASE64.encode(data) }).to_string(),
            ),
            false => framing.event(name, &data),
        }
    });
    let mut bytes: Vec<u8> = written.collect();
    if dialect == Dialect::Chat && !is_cut {
        bytes.extend(framing.event("", "[DONE]"));
    }
    bytes.into()
}

/// Events up to the content, and the rest.
fn events(dialect: Dialect) -> (Events, Events) {
    match dialect {
        Dialect::Chat => chat(),
        Dialect::Responses => responses(),
        Dialect::Messages => messages(),
        Dialect::Gemini => gemini(),
        Dialect::Converse => converse(),
        Dialect::Cohere => cohere(),
        Dialect::Ollama => ollama(),
    }
}

fn chat() -> (Events, Events) {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        json!({ "id": WORD, "object": "chat.completion.chunk", "created": 0, "model": WORD, "choices": [choice] })
    };
    let mut last = chunk(json!({}), json!("stop"));
    last["usage"] = answer(Dialect::Chat)["usage"].clone();
    let content = json!({ "role": "assistant", "content": WORD });
    (vec![("", chunk(content, Value::Null))], vec![("", last)])
}

fn responses() -> (Events, Events) {
    let whole = answer(Dialect::Responses);
    let event = |name: &'static str, number: u64, members: Value| {
        let mut event = members;
        event["type"] = json!(name);
        event["sequence_number"] = json!(number);
        (name, event)
    };
    let mut begun = whole.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let (item, part) = (&whole["output"][0], &whole["output"][0]["content"][0]);
    let mut new = item.clone();
    new["content"] = json!([]);
    new["status"] = json!("in_progress");
    let place = || json!({ "item_id": WORD, "output_index": 0, "content_index": 0 });
    let with = |name: &str, value: &Value| {
        let mut members = place();
        members[name] = value.clone();
        members
    };
    (
        vec![
            event("response.created", 0, json!({ "response": begun })),
            event(
                "response.output_item.added",
                1,
                json!({ "output_index": 0, "item": new }),
            ),
            event(
                "response.content_part.added",
                2,
                with(
                    "part",
                    &json!({ "type": "output_text", "text": "", "annotations": [] }),
                ),
            ),
            event("response.output_text.delta", 3, with("delta", &json!(WORD))),
        ],
        vec![
            event("response.output_text.done", 4, with("text", &json!(WORD))),
            event("response.content_part.done", 5, with("part", part)),
            event(
                "response.output_item.done",
                6,
                json!({ "output_index": 0, "item": item }),
            ),
            event("response.completed", 7, json!({ "response": whole })),
        ],
    )
}

fn messages() -> (Events, Events) {
    let mut begun = answer(Dialect::Messages);
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(0);
    let event = |name: &'static str, members: Value| {
        let mut event = members;
        event["type"] = json!(name);
        (name, event)
    };
    (
        vec![
            event("message_start", json!({ "message": begun })),
            event(
                "content_block_start",
                json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
            ),
            event(
                "content_block_delta",
                json!({ "index": 0, "delta": { "type": "text_delta", "text": WORD } }),
            ),
        ],
        vec![
            event("content_block_stop", json!({ "index": 0 })),
            event(
                "message_delta",
                json!({ "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": OUTPUT_TOKENS } }),
            ),
            event("message_stop", json!({})),
        ],
    )
}

fn gemini() -> (Events, Events) {
    let whole = answer(Dialect::Gemini);
    let mut content = whole.clone();
    if let Some(candidate) = content["candidates"][0].as_object_mut() {
        candidate.remove("finishReason");
    }
    let mut last = whole;
    last["candidates"][0]["content"]["parts"] = json!([{ "text": "" }]);
    (vec![("", content)], vec![("", last)])
}

fn converse() -> (Events, Events) {
    let usage = answer(Dialect::Converse)["usage"].clone();
    (
        vec![
            ("messageStart", json!({ "role": "assistant" })),
            (
                "contentBlockDelta",
                json!({ "contentBlockIndex": 0, "delta": { "text": WORD } }),
            ),
        ],
        vec![
            ("contentBlockStop", json!({ "contentBlockIndex": 0 })),
            ("messageStop", json!({ "stopReason": "end_turn" })),
            (
                "metadata",
                json!({ "usage": usage, "metrics": { "latencyMs": 1 } }),
            ),
        ],
    )
}

fn cohere() -> (Events, Events) {
    let usage = answer(Dialect::Cohere)["usage"].clone();
    let event = |name: &'static str, members: Value| {
        let mut event = members;
        event["type"] = json!(name);
        (name, event)
    };
    let content =
        |text: &str| json!({ "message": { "content": { "type": "text", "text": text } } });
    (
        vec![
            event(
                "message-start",
                json!({ "id": WORD, "delta": { "message": { "role": "assistant", "content": [] } } }),
            ),
            event("content-start", json!({ "index": 0, "delta": content("") })),
            event(
                "content-delta",
                json!({ "index": 0, "delta": content(WORD) }),
            ),
        ],
        vec![
            event("content-end", json!({ "index": 0 })),
            event(
                "message-end",
                json!({ "delta": { "finish_reason": "COMPLETE", "usage": usage } }),
            ),
        ],
    )
}

fn ollama() -> (Events, Events) {
    let mut last = answer(Dialect::Ollama);
    last["message"]["content"] = json!("");
    let content = json!({
        "model": WORD, "created_at": last["created_at"], "done": false,
        "message": { "role": "assistant", "content": WORD },
    });
    (vec![("", content)], vec![("", last)])
}
