//! Events in every order and their encoded form.

use serde_json::{Value, json};

use crate::conversation::{Origin, ResponseBuilder, StateSealer};
use crate::dialect::messages::encode_response::*;
use crate::dialect::samples;
use crate::dialect::wire::sse;

fn writer() -> MessagesEncoder {
    let sealer = StateSealer::new([7; 32]);
    MessagesEncoder::new(ResponseMeta {
        request_id: "req_1".into(),
        model: "gpt-5.1".into(),
        created_s: 1,
        input_estimate: 0,
        sealer,
    })
}

/// Events of the stream, checked like the SDK's accumulator: names, order, indexes.
fn written(events: &[OutputEvent], stop: &StopReason, usage: &Usage) -> Vec<Value> {
    let (mut writer, mut out) = (writer(), Vec::new());
    events
        .iter()
        .for_each(|event| writer.event(event, &mut out));
    writer.end(stop, usage, &mut out);
    let out = String::from_utf8(out).expect("UTF-8");
    let mut sent = Vec::new();
    let (mut open, mut next) = (None, 0);
    for event in samples::events(&out) {
        let fields = sse::parse(&event);
        let data: Value = serde_json::from_slice(&fields.data).expect("JSON");
        assert_eq!(
            data["type"].as_str().map(str::as_bytes),
            fields.event,
            "{data}"
        );
        match data["type"].as_str() {
            Some("content_block_start") => {
                assert_eq!((open, data["index"].as_u64()), (None, Some(next)), "{out}");
                (open, next) = (Some(next), next + 1);
            }
            Some("content_block_delta") => assert_eq!(data["index"].as_u64(), open, "{out}"),
            Some("content_block_stop") => assert_eq!(data["index"].as_u64(), open.take(), "{out}"),
            _ => assert_eq!(open, None, "{out}"),
        }
        sent.push(data);
    }
    assert_eq!(
        (&sent[0]["type"], &sent[sent.len() - 1]["type"]),
        (&json!("message_start"), &json!("message_stop"))
    );
    assert_eq!(sent[sent.len() - 2]["type"], "message_delta");
    sent
}

/// Blocks as a client accumulates them: type, content, signature.
fn blocks(events: &[OutputEvent]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for data in written(events, &StopReason::End, &Usage::default()) {
        match data["type"].as_str() {
            Some("content_block_start") => {
                let block = &data["content_block"];
                let kind = block["type"].as_str().expect("a kind");
                blocks.push(match kind {
                    "tool_use" => {
                        assert_eq!(block["input"], json!({}), "a placeholder at the beginning");
                        format!(
                            "{} {}: ",
                            block["id"].as_str().expect("an id"),
                            block["name"].as_str().expect("a name")
                        )
                    }
                    "redacted_thinking" => format!("redacted: {}", opened(block["data"].as_str())),
                    kind => format!("{kind}: "),
                });
            }
            Some("content_block_delta") => {
                let delta = &data["delta"];
                let piece = match delta["type"].as_str() {
                    Some("text_delta") => delta["text"].as_str().map(str::to_owned),
                    Some("thinking_delta") => delta["thinking"].as_str().map(str::to_owned),
                    Some("input_json_delta") => delta["partial_json"].as_str().map(str::to_owned),
                    Some("signature_delta") => {
                        Some(format!(" / {}", opened(delta["signature"].as_str())))
                    }
                    _ => None,
                };
                let piece = piece
                    .filter(|piece| !piece.is_empty())
                    .expect("a piece that says something");
                blocks.last_mut().expect("a block").push_str(&piece);
            }
            _ => {}
        }
    }
    blocks
}

fn opened(token: Option<&str>) -> String {
    let provider_state = StateSealer::new([7; 32]).open(token.expect("a token"));
    provider_state.origin.expect("sealed").model + " " + &provider_state.data
}

fn open(block: u32, block_kind: BlockKind) -> OutputEvent {
    OutputEvent::Open { block, block_kind }
}

fn call(block: u32, id: &str) -> OutputEvent {
    open(
        block,
        BlockKind::Call {
            id: id.into(),
            name: "f".into(),
        },
    )
}

fn delta(block: u32, text: &str) -> OutputEvent {
    OutputEvent::Delta {
        block,
        text: text.into(),
    }
}

fn close(block: u32) -> OutputEvent {
    OutputEvent::Close { block }
}

fn signed(block: u32, kind: ProviderStateKind) -> OutputEvent {
    let origin = Origin {
        dialect: "gemini".into(),
        model: "gemini-3-pro".into(),
    };
    OutputEvent::State {
        block,
        provider_state: ProviderState {
            origin: Some(origin),
            kind,
            data: "c2ln".into(),
        },
    }
}

#[test]
fn e02_deltas_of_parallel_calls_are_sent_call_by_call() {
    let events = [
        open(0, BlockKind::Text),
        delta(0, "I look"),
        call(1, "a"),
        call(2, "b"),
        delta(2, "{\"x\""),
        delta(1, ""),
        delta(1, "{\"y\":"),
        call(3, "c"),
        delta(2, ":1}"),
        delta(1, "2}"),
        close(1),
        close(2),
    ];
    assert_eq!(
        blocks(&events),
        ["text: I look", "a f: {\"y\":2}", "b f: {\"x\":1}", "c f: "]
    );
}

#[test]
fn e02_unended_call_ends_with_the_stream() {
    let events = [
        call(1, "a"),
        call(2, "b"),
        delta(2, "{}"),
        delta(1, "{\"y\":2}"),
    ];
    assert_eq!(blocks(&events), ["a f: {\"y\":2}", "b f: {}"]);
}

#[test]
fn e03_text_after_a_call_is_a_block_of_its_own() {
    let events = [
        open(0, BlockKind::Text),
        delta(0, "first"),
        call(1, "a"),
        delta(1, "{}"),
        delta(0, " then"),
        delta(0, " more"),
        close(1),
        delta(0, " and more"),
        delta(9, "nobody's"),
        delta(1, "too late"),
    ];
    assert_eq!(
        blocks(&events),
        ["text: first", "a f: {}", "text:  then more and more"]
    );
}

#[test]
fn e09_sealed_signature_comes_directly_before_the_end_of_its_block() {
    let events = [
        open(0, BlockKind::Reasoning),
        delta(0, "h"),
        signed(0, ProviderStateKind::Signature),
        delta(0, "m"),
        close(0),
        open(1, BlockKind::Text),
        delta(1, "so"),
        close(1),
    ];
    assert_eq!(
        blocks(&events),
        ["thinking: hm / gemini-3-pro c2ln", "text: so"]
    );
    let redacted = [
        open(0, BlockKind::Reasoning),
        signed(0, ProviderStateKind::Redacted),
        close(0),
    ];
    assert_eq!(blocks(&redacted), ["redacted: gemini-3-pro c2ln"]);
    let summary = [
        open(0, BlockKind::Reasoning),
        delta(0, "hm"),
        signed(0, ProviderStateKind::Redacted),
        close(0),
    ];
    assert_eq!(blocks(&summary), ["thinking: hm / gemini-3-pro c2ln"]);
    let late = [
        open(0, BlockKind::Reasoning),
        delta(0, "hm"),
        call(1, "a"),
        signed(0, ProviderStateKind::Signature),
        close(1),
    ];
    assert_eq!(
        blocks(&late),
        ["thinking: hm", "a f: ", "thinking:  / gemini-3-pro c2ln"]
    );
}

#[test]
fn r03_unsigned_reasoning_has_an_empty_signature_and_empty_blocks_are_not_sent() {
    let events = [
        open(0, BlockKind::Reasoning),
        close(0),
        open(1, BlockKind::Reasoning),
        delta(1, "hm"),
        close(1),
        open(2, BlockKind::Text),
        delta(2, ""),
        close(2),
        open(3, BlockKind::Text),
        delta(3, "so"),
    ];
    assert_eq!(blocks(&events), ["thinking: hm", "text: so"]);
    let started = &written(&events, &StopReason::End, &Usage::default())[1];
    assert_eq!(
        started["content_block"],
        json!({"type": "thinking", "thinking": "", "signature": ""})
    );
}

#[test]
fn end_has_the_stop_reason_and_usage_without_cache() {
    let usage = Usage {
        uncached_in: 5,
        cache_read: 21,
        cache_write_other: 3,
        cache_write_1h: 4,
        out_total: 7,
        reasoning: 2,
        ..Usage::default()
    };
    let sent = written(&[], &StopReason::Sequence(Some("END".into())), &usage);
    assert_eq!(
        (
            sent[0]["message"]["id"].as_str(),
            sent[0]["message"]["model"].as_str(),
            &sent[0]["message"]["content"]
        ),
        (Some("msg_1"), Some("gpt-5.1"), &json!([]))
    );
    let counts = json!({"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 21,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 2}});
    assert_eq!(
        sent[1],
        json!({"type": "message_delta", "usage": counts,
            "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END", "stop_details": null}})
    );
}

#[test]
fn stop_reasons_are_of_the_dialect() {
    for (stop, expected) in [
        (StopReason::End, "end_turn"),
        (StopReason::Sequence(None), "stop_sequence"),
        (StopReason::Length, "max_tokens"),
        (StopReason::Tool, "tool_use"),
        (StopReason::Filtered, "refusal"),
        (StopReason::ContextWindow, "model_context_window_exceeded"),
        (StopReason::Pause, "pause_turn"),
    ] {
        assert_eq!(
            written(&[], &stop, &Usage::default())[1]["delta"]["stop_reason"],
            expected
        );
    }
}

#[test]
fn unary_response_equals_the_stream() {
    let events = [
        open(0, BlockKind::Reasoning),
        delta(0, "hm"),
        signed(0, ProviderStateKind::Signature),
        open(1, BlockKind::Text),
        delta(1, "so"),
        call(2, "a"),
        delta(2, "{\"b\": 1.0}"),
        call(3, "b"),
    ];
    let mut fold = ResponseBuilder::default();
    events.iter().for_each(|event| fold.add(event));
    let whole: Value = serde_json::from_str(&writer().encode_unary(
        &fold.build(),
        &Usage {
            out_total: 1,
            ..Usage::default()
        },
    ))
    .expect("JSON");
    let signature = whole["content"][0]["signature"].as_str();
    assert_eq!(opened(signature), "gemini-3-pro c2ln");
    assert_eq!(
        whole["content"].as_array().map(|content| &content[1..]),
        Some(
            &[
                json!({"type": "text", "text": "so"}),
                json!({"type": "tool_use", "id": "a", "name": "f", "input": {"b": 1.0}}),
                json!({"type": "tool_use", "id": "b", "name": "f", "input": {}}),
            ][..]
        )
    );
    assert_eq!(
        (&whole["stop_reason"], &whole["usage"]["output_tokens"]),
        (&json!("tool_use"), &json!(1))
    );
}

/// Blocks are sent one after the other in any order of events, and no text is lost.
#[test]
fn any_order_of_events_keeps_the_order_of_blocks() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    for _ in 0..2_000 {
        let mut known: Vec<(u32, bool)> = Vec::new();
        let mut said = 0;
        let events: Vec<OutputEvent> = (0..below(30))
            .map(|step| {
                let block = known
                    .get(below(known.len().max(1) as u64) as usize)
                    .copied();
                match (below(5), block) {
                    (0, _) | (_, None) => {
                        let block = known.len() as u32;
                        let kind = below(3);
                        known.push((block, kind == 2));
                        match kind {
                            0 => open(block, BlockKind::Text),
                            1 => open(block, BlockKind::Reasoning),
                            _ => call(block, &format!("t{step}")),
                        }
                    }
                    (1, Some((block, false))) => close(block),
                    (2, Some((block, false))) => signed(block, ProviderStateKind::Signature),
                    (_, Some((block, _))) => {
                        said += 1;
                        delta(block, "x")
                    }
                }
            })
            .collect();
        let sent = blocks(&events).concat();
        assert_eq!(
            sent.matches('x').count() - sent.matches("text").count(),
            said,
            "{events:?}"
        );
    }
}
