//! Golden responses of Gemini, streamed, unary, failed and damaged, through the decoder.

use super::*;
use crate::dialect::Framing;
use crate::dialect::samples;
use crate::domain::usage::Usage;

const TEXT_STREAM: &str = include_str!("../../../../tests/golden/gemini/text.sse");
const TEXT: &str = include_str!("../../../../tests/golden/gemini/text.json");
const TOOL_STREAM: &str = include_str!("../../../../tests/golden/gemini/tool.sse");
const TOOL: &str = include_str!("../../../../tests/golden/gemini/tool.json");
const SIGNATURE: &str = "EtcBCtQBAXLI2nwLIb8wGzGRSnYGjO5Wn0kJ0pqXb3eQ";

fn decoder() -> GeminiDecoder {
    GeminiDecoder::new(&samples::head("gemini-3.8-flash"))
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

fn usage(uncached_in: u64, cache_read: u64, out_total: u64, reasoning: u64) -> ReportedUsage {
    ReportedUsage::Complete(Usage {
        uncached_in,
        cache_read,
        out_total,
        reasoning,
        ..Usage::default()
    })
}

#[test]
fn r05_gemini_thoughts_become_reasoning_and_text_signature_follows_text() {
    let (story, report) = decode(TEXT_STREAM, TEXT);
    let thought = "thought: **Greeting**\n\nThe user wants a greeting.".to_owned();
    let signature = format!("thought:  [{SIGNATURE}]");
    assert_eq!(
        story,
        [
            thought,
            "text: Hello 日本 🦀".to_owned(),
            signature,
            "End".to_owned()
        ]
    );
    assert_eq!(report, usage(10, 4, 25, 20), "thoughts count as output");
}

#[test]
fn u02_gemini_calls_without_id_get_generated_ids() {
    let (story, report) = decode(TOOL_STREAM, TOOL);
    let first =
        format!(r#"call call_req_1_0: weather({{"city":"Zürich 🦀","days":2}}) [{SIGNATURE}]"#);
    let second = r#"call call_req_1_1: weather({"city":"Bern","days":1.0})"#.to_owned();
    assert_eq!(story, [first, second, "Tool".to_owned()]);
    assert_eq!(report, usage(40, 0, 64, 31));
    let named = TOOL_STREAM.replace(
        r#""name":"weather","args""#,
        r#""id":"own","name":"weather","args""#,
    );
    let (events, _) = samples::heard(&mut decoder(), Framing::Sse, named.as_bytes());
    assert!(samples::story(&events)[0].starts_with("call own: weather("));
}

#[test]
fn gemini_blocked_prompt_is_filtered_without_output() {
    let story = decode(
        include_str!("../../../../tests/golden/gemini/blocked.sse"),
        include_str!("../../../../tests/golden/gemini/blocked.json"),
    );
    assert_eq!(story, (vec!["Filtered".to_owned()], usage(9, 0, 0, 0)));
}

#[test]
fn gemini_finish_reasons_map_to_stop_reasons_or_failure() {
    let (end, length, filtered, pause) = (
        Some(StopReason::End),
        Some(StopReason::Length),
        Some(StopReason::Filtered),
        Some(StopReason::Pause),
    );
    for (reasons, expected) in [
        ("STOP OTHER NO_IMAGE UNKNOWN_REASON", end),
        ("MAX_TOKENS", length),
        (
            "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY",
            filtered,
        ),
        ("CONTINUATION", pause),
        (
            "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE",
            None,
        ),
    ] {
        for reason in reasons.split(' ') {
            assert_eq!(stop_reason(reason), expected, "{reason}");
        }
    }
    let malformed = include_str!("../../../../tests/golden/gemini/malformed.sse");
    let (events, end) = samples::heard(&mut decoder(), Framing::Sse, malformed.as_bytes());
    assert_eq!(
        events.len(),
        2,
        "events before the failure are kept: {events:?}"
    );
    let fault = end.expect_err("a failed response");
    let expected = (
        "MALFORMED_FUNCTION_CALL",
        "model response failed with finish reason `MALFORMED_FUNCTION_CALL`",
    );
    assert_eq!((fault.kind.as_str(), fault.message.as_str()), expected);
    let explained = malformed.replace(
        "\"index\":0}]",
        "\"index\":0,\"finishMessage\":\"no such function\"}]",
    );
    let (_, end) = samples::heard(&mut decoder(), Framing::Sse, explained.as_bytes());
    assert_eq!(
        end.expect_err("a failed response").message,
        "no such function"
    );
}

#[test]
fn gemini_stream_without_finish_reason_is_truncated() {
    let events = samples::events(TEXT_STREAM);
    let prefix: Vec<u8> = events[..3].concat();
    let mut truncated = decoder();
    assert_eq!(
        samples::heard(&mut truncated, Framing::Sse, &prefix).1,
        Ok(false)
    );
    assert!(!truncated.output_is_final());
    assert_eq!(
        truncated.report(),
        usage(10, 4, 25, 20),
        "the usage so far is kept"
    );
    let error = r#"data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    let failed = [&prefix[..], error.as_bytes(), b"\n\n"].concat();
    let fault = samples::heard(&mut decoder(), Framing::Sse, &failed)
        .1
        .expect_err("an in-band error");
    assert_eq!(
        (fault.status, fault.kind.as_str(), fault.message.as_str()),
        (Some(503), "UNAVAILABLE", "overloaded")
    );
}

#[test]
fn gemini_response_without_output_count_has_partial_usage() {
    let uncounted = TEXT.replace("candidatesTokenCount", "somethingElse");
    let mut decoder = decoder();
    decoder
        .decode_unary(uncounted.as_bytes(), &mut Vec::new())
        .expect("a response");
    assert!(
        matches!(
            decoder.report(),
            ReportedUsage::Partial {
                missing: Side::Output,
                ..
            }
        ),
        "{:?}",
        decoder.report()
    );
}

#[test]
fn gemini_body_without_candidates_is_an_error() {
    for body in [
        "{}",
        r#"{"candidates":[]}"#,
        r#"{"candidates":null,"usageMetadata":{}}"#,
        r#"{"error":{"code":500}}"#,
    ] {
        let result = decoder().decode_unary(body.as_bytes(), &mut Vec::new());
        assert!(
            matches!(result, Err(IncompleteResponse::Fault { .. })),
            "{body}: {result:?}"
        );
    }
}

#[test]
fn gemini_damaged_response_never_panics_and_prefix_is_truncated() {
    samples::survives(|| Box::new(decoder()), Framing::Sse, TEXT_STREAM, TEXT);
    samples::survives(|| Box::new(decoder()), Framing::Sse, TOOL_STREAM, TOOL);
}
