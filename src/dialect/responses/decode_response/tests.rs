//! Decoded events of Responses streams and unary responses.

use super::*;
use crate::conversation::{Content, ResponseBuilder, StateSealer};
use crate::dialect::samples;
use crate::dialect::wire::sse;
use crate::domain::usage::Usage;

const STREAM: &str = include_str!("../../../../tests/golden/openai/responses.sse");
const UNARY: &str = include_str!("../../../../tests/golden/openai/responses.json");

fn decoder() -> ResponsesDecoder {
    ResponsesDecoder::new(&ResponseMeta {
        request_id: "req_1".into(),
        model: "m".into(),
        created_s: 0,
        input_estimate: 0,
        sealer: StateSealer::new([0; 32]),
    })
}

fn lines(events: &[OutputEvent]) -> (Vec<String>, StopReason) {
    let mut builder = ResponseBuilder::default();
    events.iter().for_each(|event| builder.add(event));
    let answer = builder.build();
    let line = |content: &Content| match content {
        Content::Text(text) => format!("text {text}"),
        Content::Reasoning(reasoned) => {
            let state = reasoned.provider_state.as_ref();
            format!("thought {} {}", reasoned.text, state.is_some())
        }
        Content::ToolCall(call) => format!("{} {} {}", call.id, call.name, call.arguments),
        _ => "?".to_owned(),
    };
    let blocks = answer.blocks.iter().map(|block| line(&block.content));
    (blocks.collect(), answer.stop)
}

fn decoded(stream: &str) -> (Vec<String>, StopReason, ResponsesDecoder) {
    let (mut decoder, mut events) = (decoder(), Vec::new());
    for event in samples::events(stream) {
        decoder
            .event(&sse::parse(&event), &mut events)
            .expect("no error");
    }
    let (blocks, stop) = lines(&events);
    (blocks, stop, decoder)
}

#[test]
fn recorded_stream_and_unary_response_have_reasoning_text_and_usage() {
    let (blocks, _, decoder) = decoded(STREAM);
    assert!(
        blocks[0].starts_with("thought **Grübelt**\n\nüber Krebse"),
        "{blocks:?}"
    );
    assert!(
        blocks.iter().any(|block| block == "text Ein 🦀 läuft."),
        "{blocks:?}"
    );
    let ReportedUsage::Complete(Usage {
        out_total,
        reasoning,
        ..
    }) = decoder.report()
    else {
        panic!("no usage");
    };
    assert_eq!(
        (out_total, reasoning, decoder.output_is_final()),
        (120, 64, true)
    );
    let mut events = Vec::new();
    super::tests::decoder()
        .decode_unary(UNARY.as_bytes(), &mut events)
        .expect("a response");
    assert!(!lines(&events).0.is_empty());
}

#[test]
fn call_without_deltas_is_read_from_its_end_and_a_call_stops_for_tools() {
    let (blocks, stop, _) = decoded(concat!(
        "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"look\",\"arguments\":\"\"}}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"look\",\"arguments\":\"{\\\"x\\\":1}\"}}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
    ));
    assert_eq!(
        (blocks, stop),
        (vec!["call_1 look {\"x\":1}".to_owned()], StopReason::Tool)
    );
}

#[test]
fn incomplete_response_stops_for_its_reason_and_a_failed_one_is_an_error() {
    for (reason, expected) in [
        ("max_output_tokens", StopReason::Length),
        ("content_filter", StopReason::Filtered),
    ] {
        let event = format!(
            "data: {{\"type\":\"response.incomplete\",\"response\":{{\"incomplete_details\":{{\"reason\":\"{reason}\"}}}}}}\n\n"
        );
        assert_eq!(decoded(&event).1, expected);
    }
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}}\n\n";
    let error = decoder().event(&sse::parse(failed.as_bytes()), &mut Vec::new());
    assert_eq!(error.expect_err("an error").kind, "rate_limit_exceeded");
}

#[test]
fn damaged_stream_never_panics() {
    for stream in samples::damaged(STREAM.as_bytes(), 500) {
        let (mut decoder, mut events) = (decoder(), Vec::new());
        for event in samples::events_of(&stream) {
            let _ = decoder.event(&sse::parse(&event), &mut events);
        }
        decoder.report();
    }
}
