//! Tests of `decode_response`.

use super::*;
use crate::conversation::{ChatResponse, Content, ResponseBuilder, StateSealer};
use crate::dialect::samples;
use crate::dialect::wire::sse;
use crate::domain::usage::Usage;

fn decoder() -> MessagesDecoder {
    let sealer = StateSealer::new([7; 32]);
    MessagesDecoder::new(&ResponseMeta {
        request_id: "req_1".into(),
        model: "claude-sonnet-4-5".into(),
        created_s: 1,
        input_estimate: 0,
        sealer,
    })
}

/// Decoded events of a stream, and its last state.
fn decode(
    stream: &[u8],
) -> (
    Result<StreamState, UpstreamError>,
    ChatResponse,
    ReportedUsage,
) {
    let (mut decoder, mut events, mut heard) = (decoder(), Vec::new(), Ok(StreamState::More));
    for event in samples::events(&String::from_utf8_lossy(stream)) {
        heard = decoder.event(&sse::parse(&event), &mut events);
        if heard != Ok(StreamState::More) {
            break;
        }
    }
    (heard, built(&events), decoder.report())
}

fn built(events: &[OutputEvent]) -> ChatResponse {
    let mut fold = ResponseBuilder::default();
    events.iter().for_each(|event| fold.add(event));
    fold.build()
}

fn lines(answer: &ChatResponse) -> Vec<String> {
    let lines = answer.blocks.iter().map(|block| match &block.content {
        Content::Text(text) => text.clone(),
        Content::ToolCall(call) => format!("{}={}{}", call.id, call.name, call.arguments),
        Content::Reasoning(reasoned) => {
            let provider_state = reasoned.provider_state.as_ref().expect("signed");
            assert_eq!(
                provider_state
                    .origin
                    .as_ref()
                    .map(|origin| origin.model.as_str()),
                Some("claude-sonnet-4-5")
            );
            format!(
                "({}) {:?} {}",
                reasoned.text, provider_state.kind, provider_state.data
            )
        }
        other => format!("{other:?}"),
    });
    lines.collect()
}

fn event(json: &str) -> String {
    format!("data: {json}\n\n")
}

#[test]
fn stream_is_decoded_to_its_end() {
    let (end, answer, report) = decode(samples::MESSAGES_STREAM.as_bytes());
    assert_eq!(end, Ok(StreamState::End));
    assert_eq!(
        lines(&answer),
        ["(hmm) Signature c2ln", "Hello you", r#"toolu_1=f{"a":1"#]
    );
    assert_eq!(answer.stop, StopReason::Tool);
    let usage = Usage {
        uncached_in: 30,
        cache_read: 200,
        cache_write_5m: 40,
        cache_write_1h: 60,
        out_total: 25,
        reasoning: 9,
        web_searches: 3,
        service_tier: Some("standard".into()),
        ..Usage::default()
    };
    assert_eq!(report, ReportedUsage::Complete(usage));
}

#[test]
fn unary_response_is_decoded() {
    let body = r#"{"id":"m","type":"message","content":[{"type":"redacted_thinking","data":"cmVk"},
        {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
        {"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"b": 1.0}},{"type":"tool_use","id":"u","name":"g","input":{}}],
        "stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7}}"#;
    let (mut decoder, mut events) = (decoder(), Vec::new());
    decoder
        .decode_unary(body.as_bytes(), &mut events)
        .expect("an answer");
    let answer = built(&events);
    assert_eq!(
        lines(&answer),
        ["() Redacted cmVk", "Hello", r#"t=f{"b": 1.0}"#, "u=g"]
    );
    assert_eq!(answer.stop, StopReason::Length);
    assert_eq!(
        decoder.report(),
        ReportedUsage::Complete(Usage {
            uncached_in: 5,
            out_total: 7,
            ..Usage::default()
        })
    );
    assert!(decoder.output_is_final());
}

#[test]
fn stop_reasons_are_canonical() {
    for (reason, sequence, expected) in [
        ("end_turn", "null", StopReason::End),
        (
            "stop_sequence",
            "\"END\"",
            StopReason::Sequence(Some("END".into())),
        ),
        ("pause_turn", "null", StopReason::Pause),
        ("refusal", "null", StopReason::Filtered),
        (
            "model_context_window_exceeded",
            "null",
            StopReason::ContextWindow,
        ),
        ("max_tokens", "null", StopReason::Length),
        ("a new one", "null", StopReason::End),
    ] {
        let stream = event(&format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":{sequence}}},"usage":{{"output_tokens":1}}}}"#
        ));
        assert_eq!(decode(stream.as_bytes()).1.stop, expected, "{reason}");
    }
}

#[test]
fn e04_arguments_in_block_start_count_only_without_deltas() {
    let start = |input: &str| {
        event(&format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t","name":"f","input":{input}}}}}"#
        ))
    };
    let delta = event(
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
    );
    let stop = event(r#"{"type":"content_block_stop","index":0}"#);
    for (stream, expected) in [
        (start("{}") + &delta + &stop, r#"t=f{"a":1}"#),
        (start(r#"{"b":2}"#) + &stop, r#"t=f{"b":2}"#),
        (start(r#"{"b":2}"#) + &delta + &stop, r#"t=f{"a":1}"#),
        (start("{}") + &stop, "t=f"),
    ] {
        assert_eq!(lines(&decode(stream.as_bytes()).1), [expected]);
    }
}

#[test]
fn p05_unknown_event_is_skipped_and_error_is_not() {
    let unknown = [
        "event: ping\ndata: {\"type\":\"ping\"}\n\n".to_owned(),
        event(
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"new","text":{"a":1}}}"#,
        ),
        event(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","text":"secret"}}"#,
        ),
        event(r#"{"type":"a_new_event","x":[]}"#),
        event(
            r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"nobody's"}}"#,
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    let (end, answer, _) = decode(unknown.concat().as_bytes());
    assert_eq!((end, answer.blocks.len()), (Ok(StreamState::More), 0));
    for stream in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"
            .to_owned(),
        event(r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#),
        event(r#"{"error":{"type":"overloaded_error","message":"busy"}}"#),
    ] {
        let fault = decode(stream.as_bytes()).0.expect_err("an error");
        assert_eq!((fault.status, fault.message.as_str()), (Some(529), "busy"));
    }
    assert!(decode(b"data: {\"type\":\n\n").0.is_err());
}

#[test]
fn damaged_bytes_never_panic_and_no_prefix_is_complete() {
    let stream = samples::MESSAGES_STREAM.as_bytes();
    let last = samples::MESSAGES_STREAM
        .rfind("event: message_stop")
        .expect("an end");
    for end in 0..last {
        assert_ne!(decode(&stream[..end]).0, Ok(StreamState::End), "{end}");
    }
    for damaged in samples::damaged(stream, 2_000) {
        let _ = decode(&damaged);
        let _ = decoder().decode_unary(&damaged, &mut Vec::new());
    }
}
