//! Streams of the chat dialect through its tap.

use super::*;
use crate::dialect::samples;
use crate::dialect::wire::sse::parse;
use crate::domain::usage::{Side, Usage};

/// Reads a stream: one letter per event, and the tap.
fn read_with(mut tap: ChatTap, stream: &str) -> (String, ChatTap) {
    let kinds = samples::events(stream)
        .iter()
        .map(|event| match tap.read(&parse(event)) {
            EventKind::Head => 'h',
            EventKind::Content => 'c',
            EventKind::Terminal => 't',
            EventKind::Hidden => '-',
            EventKind::Error(_) | EventKind::Truncated => 'e',
        })
        .collect();
    (kinds, tap)
}

fn chat(stream: &str) -> (String, ChatTap) {
    read_with(ChatTap::new(true), stream)
}

fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

fn error(tap: &mut ChatTap, event: &str) -> UpstreamError {
    match tap.read(&parse(event.as_bytes())) {
        EventKind::Error(error) => error,
        kind => panic!("{event}: {kind:?}"),
    }
}

#[test]
fn p02_chat_stream_is_read_and_its_usage_chunk_hidden() {
    let (kinds, tap) = chat(samples::CHAT_STREAM);
    assert_eq!(kinds, "hccch-t");
    assert!(tap.usage.ended && tap.output_is_final());
    assert_eq!(
        tap.delivered(),
        DeliveredText {
            text_bytes: 14,
            cjk_chars: 1
        }
    );
    assert_eq!(
        tap.report(),
        ReportedUsage::Complete(Usage {
            uncached_in: 70,
            cache_read: 20,
            cache_write_other: 10,
            out_total: 12,
            reasoning: 5,
            audio_in: 1,
            service_tier: Some("default".into()),
            ..Usage::default()
        })
    );
}

#[test]
fn p03_requested_usage_chunk_is_forwarded() {
    let (kinds, _) = read_with(ChatTap::new(false), samples::CHAT_STREAM);
    assert_eq!(kinds, "hccchht");
}

#[test]
fn e11_usage_is_read_from_any_chunk_and_counted_once() {
    let groq = data(r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#)
        + &data(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":3}}}"#,
        )
        + &data(r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#)
        + "data: [DONE]\n\n";
    let mistral = data(
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#,
    ) + "data: [DONE]\n\n";
    for (stream, kinds) in [(groq, "ch-t"), (mistral, "ct")] {
        let (read, tap) = chat(&stream);
        assert_eq!(read, kinds);
        assert_eq!(
            tap.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 7,
                out_total: 3,
                ..Usage::default()
            })
        );
    }
}

#[test]
fn chat_output_count_before_the_end_is_not_final() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let counted = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let stop_counted = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let error = r#"{"error":{"message":"it went dark"}}"#;
    for (chunks, is_final) in [
        (&[counted, text, stop][..], false),
        (&[usage, stop], false),
        (&[counted, text, stop, usage], true),
        (&[counted, counted, stop_counted], true),
        (&[text, stop_counted, r#"{"choices":[]}"#], true),
        // of two choices the other goes on
        (&[text, stop_counted, text], false),
        (&[text, stop_counted, text, usage], true),
        (&[text, error, usage], true),
        (&[counted, error], false),
    ] {
        let stream: String = chunks.iter().map(|chunk| data(chunk)).collect();
        assert_eq!(chat(&stream).1.output_is_final(), is_final, "{chunks:?}");
    }
}

#[test]
fn usage_field_given_twice_has_its_last_value() {
    let stream = data(r#"{"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":1}}"#)
        + &data(
            r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
        );
    let expected = Usage {
        uncached_in: 5,
        cache_read: 2,
        out_total: 3,
        ..Usage::default()
    };
    assert_eq!(chat(&stream).1.report(), ReportedUsage::Complete(expected));
}

#[test]
fn cached_tokens_above_the_prompt_are_cut_and_marked() {
    let stream = data(
        r#"{"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
    );
    let expected = Usage {
        cache_read: 5,
        is_clamped: true,
        out_total: 3,
        reasoning: 2,
        unsettled_reasoning: 2,
        ..Usage::default()
    };
    assert_eq!(chat(&stream).1.report(), ReportedUsage::Complete(expected));
}

/// As OpenRouter reports the images of a Gemini model.
#[test]
fn generated_image_tokens_are_a_share_of_the_output() {
    let stream = |images| {
        data(&format!(
            r#"{{"usage":{{"prompt_tokens":5,"completion_tokens":1300,"completion_tokens_details":{{"image_tokens":{images}}}}}}}"#
        ))
    };
    let expected = |image_out| Usage {
        uncached_in: 5,
        out_total: 1_300,
        image_out,
        ..Usage::default()
    };
    for (reported, image_out) in [("1290", 1_290), ("9999", 1_300), ("null", 0)] {
        assert_eq!(
            chat(&stream(reported)).1.report(),
            ReportedUsage::Complete(expected(image_out)),
            "{reported}"
        );
    }
    assert_eq!(chat(&stream("-1")).1.report(), ReportedUsage::Invalid);
}

fn report_of(usage: &str) -> ReportedUsage {
    chat(&data(&format!(r#"{{"choices":[],"usage":{usage}}}"#)))
        .1
        .report()
}

#[test]
fn chat_impossible_count_is_invalid() {
    for usage in [
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
        r#"{"prompt_tokens":"7","completion_tokens":1}"#,
        r#"{"prompt_tokens":7,"completion_tokens":null}"#,
        r#"{"prompt_tokens":7,"completion_tokens":[1]}"#,
        r#"{"prompt_tokens":7,"completion_tokens":1000000001}"#,
        r#"{"prompt_tokens":7,"completion_tokens":99999999999999999999}"#,
        r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-3}}"#,
        r#""x""#,
        "[]",
        "-3",
        r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":"x"}"#,
        r#"{"prompt_tokens":7,"completion_tokens":1,"completion_tokens_details":[]}"#,
    ] {
        assert_eq!(report_of(usage), ReportedUsage::Invalid, "{usage}");
    }
}

#[test]
fn chat_absent_count_is_missing() {
    let counted = |uncached_in, out_total| Usage {
        uncached_in,
        out_total,
        ..Usage::default()
    };
    for (usage, expected) in [
        ("null", ReportedUsage::Missing),
        ("{}", ReportedUsage::Missing),
        (r#"{"total_tokens":7}"#, ReportedUsage::Missing),
        (
            r#"{"prompt_tokens":7,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":null},"completion_tokens_details":null}"#,
            ReportedUsage::Complete(counted(7, 0)),
        ),
        (
            r#"{"prompt_tokens":7}"#,
            ReportedUsage::Partial {
                usage: counted(7, 0),
                missing: Side::Output,
            },
        ),
        (
            r#"{"completion_tokens":7}"#,
            ReportedUsage::Partial {
                usage: counted(0, 7),
                missing: Side::Input,
            },
        ),
    ] {
        assert_eq!(report_of(usage), expected, "{usage}");
    }
}

#[test]
fn chat_text_of_the_model_is_content_and_nothing_else_is() {
    for (chunk, kind) in [
        (
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            'h',
        ),
        (
            r#"{"choices":[],"prompt_filter_results":[{"a":"b"}],"id":"","model":""}"#,
            'h',
        ),
        (
            r#"{"choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{"severity":"safe"}}}]}"#,
            'h',
        ),
        (
            r#"{"choices":[{"delta":{},"finish_reason":"stop","logprobs":{"content":[{"token":"a"}]}}],"obfuscation":"xx"}"#,
            'h',
        ),
        (r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#, 'c'),
        (r#"{"choices":[{"delta":{"refusal":"a"}}]}"#, 'c'),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}"#,
            'c',
        ),
        (r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#, 'c'),
        (r#"{"choices":[{"text":"a"}]}"#, 'c'),
        (r#"{"choices":[{"text":"","delta":{"content":"a"}}]}"#, 'c'),
        (r#"{"something":"else"}"#, 'h'),
        (r#""a text""#, 'h'),
        (r#"{"choices":"odd","usage":7,"error":null}"#, 'h'),
    ] {
        assert_eq!(chat(&data(chunk)).0, kind.to_string(), "{chunk}");
    }
    assert_eq!(chat(": ping\n\n\nretry: 3\n\nevent: x\n\n").0, "hhhh");
}

#[test]
fn chat_text_sent_twice_is_counted_once() {
    let (_, tap) = chat(&data(
        r#"{"choices":[{"index":0,"text":"hello","delta":{"content":"hello"}}]}"#,
    ));
    assert_eq!(
        tap.delivered(),
        DeliveredText {
            text_bytes: 5,
            cjk_chars: 0
        }
    );
}

#[test]
fn e15_chat_in_band_error_is_an_error() {
    let mut tap = ChatTap::new(true);
    let expected = |status, kind: &str, message: &str| UpstreamError {
        status,
        kind: kind.into(),
        ..UpstreamError::new(message)
    };
    for (event, error_read) in [
        (
            r#"data: {"error":{"message":"busy","type":"server_error","code":null}}"#,
            expected(Some(500), "server_error", "busy"),
        ),
        (
            r#"data: {"error":"busy"}"#,
            expected(None, "upstream_error", "busy"),
        ),
        (
            r#"data: {"choices":[],"x_groq":{"error":"over"}}"#,
            expected(None, "upstream_error", "over"),
        ),
        (
            r#"data: {"error":{}}"#,
            expected(
                None,
                "upstream_error",
                "the upstream sent an error without a message",
            ),
        ),
        (
            "event: error\ndata: oops",
            expected(
                None,
                "upstream_error",
                "the upstream sent an error without a message",
            ),
        ),
        (
            r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}"#,
            expected(
                None,
                "upstream_error",
                "the upstream ended its answer with the finish reason of a failure",
            ),
        ),
    ] {
        assert_eq!(
            error(&mut tap, &format!("{event}\n\n")),
            error_read,
            "{event}"
        );
    }
}

#[test]
fn x10_event_that_is_not_json_is_an_error() {
    for event in [
        "data: {\"choices\":[\n\n",
        "data: {}{}\n\n",
        "data: <html>\n\n",
        "data: \u{1}\n\n",
    ] {
        assert_eq!(
            error(&mut ChatTap::new(true), event),
            UpstreamError::unreadable("the upstream sent an event that is not JSON")
        );
    }
}

#[test]
fn damaged_stream_never_panics() {
    for damaged in samples::damaged(samples::CHAT_STREAM.as_bytes(), 400) {
        let mut tap = ChatTap::new(true);
        for event in samples::events(&String::from_utf8_lossy(&damaged)) {
            tap.read(&parse(&event));
        }
        tap.read(&parse(&damaged));
        let _ = (tap.report(), tap.delivered());
    }
}
