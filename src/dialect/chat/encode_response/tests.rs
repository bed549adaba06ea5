//! Chat streams and unary responses that the encoder writes.

use super::*;
use crate::conversation::{ResponseBuilder, StateSealer};
use crate::dialect::{Dialect, Operation, read};
use serde_json::{Value, json};

const USAGE: Usage = Usage {
    uncached_in: 10,
    cache_read: 20,
    cache_write_5m: 3,
    cache_write_1h: 4,
    cache_write_12h: 0,
    cache_write_other: 0,
    out_total: 8,
    reasoning: 5,
    unsettled_reasoning: 0,
    audio_in: 0,
    audio_cached: 0,
    audio_out: 0,
    image_out: 0,
    image_in: 0,
    image_cached: 0,
    web_searches: 0,
    search_tool: None,
    tools: Vec::new(),
    service_tier: None,
    second_models: Vec::new(),
    is_clamped: false,
    reported_cost: None,
};

fn encoder(more: &str) -> ChatEncoder {
    let body = format!(r#"{{"model":"m","messages":[]{more}}}"#);
    let request = read(Dialect::Chat, Operation::Conversation, body.into()).expect("a request");
    let sealer = StateSealer::new([0; 32]);
    ChatEncoder::new(
        &request,
        ResponseMeta {
            request_id: "req_1".into(),
            model: "their-m".into(),
            created_s: 9,
            input_estimate: 0,
            sealer,
        },
    )
}

fn events() -> Vec<OutputEvent> {
    let delta = |block, text: &str| OutputEvent::Delta {
        block,
        text: text.into(),
    };
    vec![
        OutputEvent::Open {
            block: 0,
            block_kind: BlockKind::Reasoning,
        },
        delta(0, "hm"),
        OutputEvent::Open {
            block: 1,
            block_kind: BlockKind::Text,
        },
        delta(1, "so"),
        OutputEvent::Open {
            block: 2,
            block_kind: BlockKind::Call {
                id: "a".into(),
                name: "f".into(),
            },
        },
        delta(2, "{}"),
        OutputEvent::Stop(StopReason::Tool),
    ]
}

#[test]
fn stream_has_one_role_its_deltas_and_one_end() {
    let mut encoder = encoder(r#","stream":true,"stream_options":{"include_usage":true}"#);
    let mut out = Vec::new();
    events()
        .iter()
        .for_each(|event| encoder.event(event, &mut out));
    encoder.end(&StopReason::Tool, &USAGE, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let (chunks, end) = text.trim_end().rsplit_once("\n\n").expect("events");
    assert_eq!(end, "data: [DONE]");
    let chunks: Vec<Value> = chunks
        .split("\n\n")
        .map(|event| {
            serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON")
        })
        .collect();
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "reasoning_content": "hm"})
    );
    assert_eq!(chunks[1]["choices"][0]["delta"], json!({"content": "so"}));
    assert_eq!(chunks[2]["choices"][0]["delta"]["tool_calls"][0]["id"], "a");
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
    let usage = &chunks[5];
    assert_eq!(
        (&usage["choices"], &usage["usage"]["prompt_tokens"]),
        (&json!([]), &json!(37))
    );
    assert_eq!(chunks.len(), 6);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == "chatcmpl-req_1" && chunk["model"] == "their-m")
    );
}

#[test]
fn streamed_call_without_arguments_ends_as_an_empty_object() {
    for close in [true, false] {
        let (mut encoder, mut out) = (encoder(r#","stream":true"#), Vec::new());
        let block_kind = BlockKind::Call {
            id: "a".into(),
            name: "f".into(),
        };
        encoder.event(
            &OutputEvent::Open {
                block: 0,
                block_kind,
            },
            &mut out,
        );
        if close {
            encoder.event(&OutputEvent::Close { block: 0 }, &mut out);
        }
        encoder.end(&StopReason::Tool, &USAGE, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text.matches(r#""arguments":"{}""#).count(), 1, "{text}");
    }
}

#[test]
fn c01_unary_prompt_tokens_include_cache_reads_and_writes() {
    let mut builder = ResponseBuilder::default();
    events().iter().for_each(|event| builder.add(event));
    let answer: Value =
        serde_json::from_str(&encoder("").encode_unary(&builder.build(), &USAGE)).expect("JSON");
    let message = &answer["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("so"), &json!("hm"))
    );
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "f", "arguments": "{}"})
    );
    let usage = &answer["usage"];
    assert_eq!(
        (
            &usage["prompt_tokens"],
            &usage["completion_tokens"],
            &usage["total_tokens"]
        ),
        (&json!(37), &json!(8), &json!(45))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 20);
}
