//! Decoded events of chat streams and unary responses, with the deviations of vendors that borrow the dialect.

use super::*;
use crate::conversation::{Content, ResponseBuilder, StateSealer};
use crate::dialect::samples;
use crate::dialect::wire::sse;

fn decoder() -> ChatDecoder {
    ChatDecoder::new(&ResponseMeta {
        request_id: "req_1".into(),
        model: "m".into(),
        created_s: 0,
        input_estimate: 0,
        sealer: StateSealer::new([0; 32]),
    })
}

/// Blocks of a stream of choices, one line each, and the stop reason.
fn decoded(chunks: &[&str]) -> (Vec<String>, StopReason) {
    let (mut decoder, mut events) = (decoder(), Vec::new());
    for chunk in chunks {
        let event = format!("data: {{\"choices\":[{chunk}]}}\n\n");
        assert_eq!(
            decoder.event(&sse::parse(event.as_bytes()), &mut events),
            Ok(StreamState::More),
            "{chunk}"
        );
    }
    let mut builder = ResponseBuilder::default();
    events.iter().for_each(|event| builder.add(event));
    let answer = builder.build();
    let line = |content: &Content| match content {
        Content::Text(text) => format!("text {text}"),
        Content::Reasoning(reasoned) => format!("thought {}", reasoned.text),
        Content::ToolCall(call) => format!("{} {} {}", call.id, call.name, call.arguments),
        _ => "?".to_owned(),
    };
    (
        answer
            .blocks
            .iter()
            .map(|block| line(&block.content))
            .collect(),
        answer.stop,
    )
}

#[test]
fn e02_interleaved_deltas_of_calls_are_separated() {
    let (blocks, stop) = decoded(&[
        r#"{"index":0,"delta":{"role":"assistant","content":"so"}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}}]}}"#,
        r#"{"index":1,"delta":{"content":"another choice"}}"#,
        r#"{"index":0,"delta":{},"finish_reason":"stop"}"#,
    ]);
    assert_eq!(blocks, ["text so", r#"a f {"x":1}"#, "b g {}"]);
    assert_eq!(stop, StopReason::Tool, "whatever the upstream calls it");
}

#[test]
fn complete_calls_without_index_or_id_are_separate() {
    let (blocks, _) = decoded(&[
        r#"{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x": 1}}},{"function":{"name":"g"}}]}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"h","arguments":"{}"}}]}}"#,
    ]);
    assert_eq!(
        blocks,
        [r#"call_req_1_0 f {"x": 1}"#, "call_req_1_1 g ", "c h {}"]
    );
}

#[test]
fn r03_r04_reasoning_under_every_name_is_separated_from_text() {
    let (blocks, stop) = decoded(&[
        r#"{"delta":{"reasoning":"hm"}}"#,
        r#"{"delta":{"reasoning_content":"!","reasoning":"!"}}"#,
        r#"{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":" so"}]},{"type":"text","text":"a"}]}}"#,
        r#"{"delta":{"content":"b","refusal":null},"finish_reason":"model_length"}"#,
    ]);
    assert_eq!(blocks, ["thought hm! so", "text ab"]);
    assert_eq!(stop, StopReason::ContextWindow);
}

#[test]
fn done_without_finish_reason_is_truncated_and_response_without_choice_is_an_error() {
    let ends = |reason: &str| {
        let (mut decoder, mut events) = (decoder(), Vec::new());
        let chunk = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}},\"finish_reason\":{reason}}}]}}\n\n"
        );
        decoder
            .event(&sse::parse(chunk.as_bytes()), &mut events)
            .expect("a chunk");
        decoder.event(&sse::parse(b"data: [DONE]\n\n"), &mut events)
    };
    assert_eq!(
        ["\"stop\"", "\"\"", "null"].map(ends),
        [
            Ok(StreamState::End),
            Ok(StreamState::Truncated),
            Ok(StreamState::Truncated)
        ]
    );
    for body in [
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"index":1,"message":{"content":"a"}}]}"#,
    ] {
        let read = decoder().decode_unary(body.as_bytes(), &mut Vec::new());
        assert!(
            matches!(&read, Err(IncompleteResponse::Fault { fault, .. }) if fault.unreadable),
            "{body}: {read:?}"
        );
    }
    let failed = decoder().decode_unary(
        br#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}"#,
        &mut Vec::new(),
    );
    assert!(
        matches!(&failed, Err(IncompleteResponse::Fault { fault, .. }) if !fault.unreadable),
        "{failed:?}"
    );
}

#[test]
fn damaged_bytes_never_panic() {
    for damaged in samples::damaged(samples::CHAT_STREAM.as_bytes(), 3_000) {
        let (mut decoder, mut events) = (decoder(), Vec::new());
        for event in samples::events(&String::from_utf8_lossy(&damaged)) {
            let _ = decoder.event(&sse::parse(&event), &mut events);
        }
        let _ = decoder.decode_unary(&damaged, &mut events);
        let _ = (decoder.report(), decoder.output_is_final());
    }
}
