//! Golden responses of Cohere, streamed, unary, failed and damaged, through the decoder.

use super::*;
use crate::dialect::Framing;
use crate::dialect::samples;
use crate::domain::usage::Usage;

const TEXT_STREAM: &str = include_str!("../../../../tests/golden/cohere/text.sse");
const TEXT: &str = include_str!("../../../../tests/golden/cohere/text.json");
const TOOL_STREAM: &str = include_str!("../../../../tests/golden/cohere/tool.sse");
const TOOL: &str = include_str!("../../../../tests/golden/cohere/tool.json");

fn decoder() -> CohereDecoder {
    CohereDecoder::new(&samples::head("command-a-plus-05-2026"))
}

/// Decodes the streamed and the unary form of one response and asserts that both agree.
fn decode(stream: &str, unary: &str) -> (Vec<String>, ReportedUsage) {
    let (mut streamed, mut unary_decoder, mut events) = (decoder(), decoder(), Vec::new());
    let (stream_events, end) = samples::heard(&mut streamed, Framing::Sse, stream.as_bytes());
    assert_eq!(end, Ok(true));
    unary_decoder
        .decode_unary(unary.as_bytes(), &mut events)
        .expect("a complete response");
    let story = samples::story(&stream_events);
    assert_eq!(samples::story(&events), story);
    assert_eq!(streamed.report(), unary_decoder.report());
    assert!(streamed.output_is_final() && unary_decoder.output_is_final());
    (story, streamed.report())
}

fn usage(uncached_in: u64, out_total: u64) -> ReportedUsage {
    ReportedUsage::Complete(Usage {
        uncached_in,
        out_total,
        ..Usage::default()
    })
}

#[test]
fn cohere_thinking_becomes_reasoning_and_citations_are_dropped() {
    let (story, report) = decode(TEXT_STREAM, TEXT);
    assert_eq!(
        story,
        ["thought: A greeting is due.", "text: Hello 日本 🦀", "End"]
    );
    assert_eq!(report, usage(10, 25));
}

#[test]
fn u08_cohere_tool_plan_becomes_reasoning_and_calls_are_complete() {
    let (story, report) = decode(TOOL_STREAM, TOOL);
    assert_eq!(
        story,
        [
            "thought: I will look up the weather in Zürich and in Bern.",
            r#"call weather_5q3v0k8ywx2h: weather({"city":"Zürich 🦀","days":2})"#,
            r#"call weather_m1n2b3v4c5x6: weather({"city":"Bern","days":1.0})"#,
            "Tool",
        ]
    );
    assert_eq!(report, usage(31, 40));
}

#[test]
fn cohere_failed_response_is_an_error_with_its_usage() {
    let failed = include_str!("../../../../tests/golden/cohere/failed.sse");
    let mut failed_decoder = decoder();
    let fault = samples::heard(&mut failed_decoder, Framing::Sse, failed.as_bytes())
        .1
        .expect_err("a failed response");
    assert_eq!(fault.message, "the model crashed");
    assert_eq!(
        (failed_decoder.report(), failed_decoder.output_is_final()),
        (usage(10, 2), true)
    );
    for (reason, expected) in [
        ("COMPLETE", Some(StopReason::End)),
        ("STOP_SEQUENCE", Some(StopReason::Sequence(None))),
        ("MAX_TOKENS", Some(StopReason::Length)),
        ("TOOL_CALL", Some(StopReason::Tool)),
        ("ERROR", None),
        ("TIMEOUT", None),
        ("UNKNOWN_REASON", Some(StopReason::End)),
    ] {
        assert_eq!(stop_reason(reason), expected);
    }
    for event in [
        "event: error\ndata: {\"message\":\"gone\"}\n\n",
        "data: {\"message\":\"gone\"}\n\n",
    ] {
        assert_eq!(
            samples::heard(&mut decoder(), Framing::Sse, event.as_bytes())
                .1
                .expect_err("an error")
                .message,
            "gone"
        );
    }
}

#[test]
fn cohere_stream_without_message_end_is_truncated() {
    let events = samples::events(TEXT_STREAM);
    let prefix: Vec<u8> = events[..events.len() - 1].concat();
    assert_eq!(
        samples::heard(&mut decoder(), Framing::Sse, &prefix).1,
        Ok(false)
    );
}

#[test]
fn cohere_body_without_message_is_an_error() {
    for body in ["{}", r#"{"message":"no"}"#, r#"{"message":null}"#] {
        let result = decoder().decode_unary(body.as_bytes(), &mut Vec::new());
        assert!(
            matches!(result, Err(IncompleteResponse::Fault { .. })),
            "{body}: {result:?}"
        );
    }
}

#[test]
fn cohere_damaged_response_never_panics_and_prefix_is_truncated() {
    samples::survives(|| Box::new(decoder()), Framing::Sse, TEXT_STREAM, TEXT);
    samples::survives(|| Box::new(decoder()), Framing::Sse, TOOL_STREAM, TOOL);
}
