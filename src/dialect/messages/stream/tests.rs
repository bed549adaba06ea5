//! Streams of the Messages dialect through its tap.

use super::*;
use crate::dialect::samples;
use crate::dialect::wire::sse::parse;
use crate::domain::usage::{Side, Usage};

/// Reads a stream: one letter per event, and the tap.
fn read_with(mut tap: MessagesTap, stream: &str) -> (String, MessagesTap) {
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

fn messages(stream: &str) -> (String, MessagesTap) {
    read_with(MessagesTap::default(), stream)
}

fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

fn error(tap: &mut MessagesTap, event: &str) -> UpstreamError {
    match tap.read(&parse(event.as_bytes())) {
        EventKind::Error(error) => error,
        kind => panic!("{event}: {kind:?}"),
    }
}

#[test]
fn p04_messages_stream_is_read() {
    let (kinds, tap) = messages(samples::MESSAGES_STREAM);
    assert_eq!(kinds, "hhhcchhcchchchht");
    assert!(tap.stopped && tap.output_is_final());
    assert_eq!(
        tap.report(),
        ReportedUsage::Complete(Usage {
            uncached_in: 30,
            cache_read: 200,
            cache_write_5m: 40,
            cache_write_1h: 60,
            out_total: 25,
            reasoning: 9,
            web_searches: 3,
            service_tier: Some("standard".into()),
            ..Usage::default()
        })
    );
    assert_eq!(
        tap.delivered(),
        DeliveredText {
            text_bytes: 19,
            cjk_chars: 0
        }
    );
}

#[test]
fn e12_last_input_count_wins_even_if_smaller() {
    let stream = data(
        r#"{"type":"message_start","message":{"usage":{"input_tokens":90000,"output_tokens":1}}}"#,
    ) + &data(
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,"output_tokens":5}}"#,
    );
    let (_, tap) = messages(&stream);
    assert_eq!(
        tap.report(),
        ReportedUsage::Complete(Usage {
            uncached_in: 12,
            out_total: 5,
            ..Usage::default()
        })
    );
}

#[test]
fn messages_output_count_before_the_delta_is_not_final() {
    let (_, tap) = messages(&data(
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#,
    ));
    assert!(!tap.output_is_final() && !tap.stopped);
    assert_eq!(
        tap.report(),
        ReportedUsage::Complete(Usage {
            uncached_in: 9,
            out_total: 1,
            ..Usage::default()
        })
    );
}

#[test]
fn messages_cache_writes_are_split_by_lifetime() {
    for (usage, five, hour, other) in [
        (r#""cache_creation_input_tokens":100"#, 100, 0, 0),
        (
            r#""cache_creation_input_tokens":100,"cache_creation":null"#,
            100,
            0,
            0,
        ),
        (
            r#""cache_creation_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60}"#,
            40,
            60,
            0,
        ),
        (
            r#""cache_creation_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
            40,
            50,
            10,
        ),
        (
            r#""cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
            40,
            50,
            0,
        ),
        (
            r#""cache_creation_input_tokens":55,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":50}"#,
            5,
            50,
            0,
        ),
    ] {
        let stream = data(&format!(
            r#"{{"type":"message_start","message":{{"usage":{{"input_tokens":1,"output_tokens":1,{usage}}}}}}}"#
        ));
        let ReportedUsage::Complete(read) = messages(&stream).1.report() else {
            panic!("{usage}")
        };
        assert_eq!(
            (
                read.cache_write_5m,
                read.cache_write_1h,
                read.cache_write_other
            ),
            (five, hour, other),
            "{usage}"
        );
    }
}

#[test]
fn e11_bedrock_counts_fill_gaps_and_override_nothing() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    let stop = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":25,"invocationLatency":9,"firstByteLatency":1,"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4}}"#;
    for (events, uncached_in, out_total) in [
        (&[start, delta, stop][..], 9, 7),
        (&[start, stop][..], 10, 25),
        (&[stop][..], 10, 25),
    ] {
        let stream: String = events.iter().map(|event| data(event)).collect();
        let (kinds, tap) = messages(&stream);
        let expected = Usage {
            uncached_in,
            out_total,
            cache_read: 3,
            cache_write_5m: 4,
            ..Usage::default()
        };
        assert_eq!(
            (tap.report(), tap.output_is_final()),
            (ReportedUsage::Complete(expected), true),
            "{stream}"
        );
        assert!(kinds.ends_with('t'), "{kinds}");
    }
    let lie =
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":-1}}"#;
    assert_eq!(messages(&data(lie)).1.report(), ReportedUsage::Invalid);
}

#[test]
fn compaction_usage_is_added_to_the_totals() {
    let stream = [
        r#"data: {"type":"message_delta","delta":{},"usage":{"input_tokens":10,"output_tokens":5,"iterations":["#,
        r#"data: {"type":"compaction","input_tokens":1000,"output_tokens":50,"cache_creation_input_tokens":7},"#,
        r#"data: {"type":"message","input_tokens":10,"output_tokens":5},"#,
        "data: {\"input_tokens\":100,\"output_tokens\":1,\"type\":\"compaction\"}]}}\n\n",
    ]
    .join("\n");
    let expected = Usage {
        uncached_in: 1_110,
        cache_write_5m: 7,
        out_total: 56,
        ..Usage::default()
    };
    let mut tap = MessagesTap::default();
    // told again, not added again
    for _ in 0..2 {
        tap.read(&parse(stream.as_bytes()));
        assert_eq!(tap.report(), ReportedUsage::Complete(expected.clone()));
    }
}

#[test]
fn messages_impossible_count_is_invalid_and_absent_count_is_missing() {
    for (event, expected) in [
        (
            r#"{"type":"message_start","message":{"usage":{"input_tokens":-1,"output_tokens":1}}}"#,
            ReportedUsage::Invalid,
        ),
        (
            r#"{"type":"message_start","message":{"usage":{"input_tokens":null,"output_tokens":1}}}"#,
            ReportedUsage::Invalid,
        ),
        (
            r#"{"type":"message_delta","usage":{"output_tokens":"5"}}"#,
            ReportedUsage::Invalid,
        ),
        (
            r#"{"type":"message_delta","usage":{"output_tokens":5,"server_tool_use":{"web_search_requests":0.5}}}"#,
            ReportedUsage::Invalid,
        ),
        (
            r#"{"type":"message_delta","usage":{"input_tokens":null,"output_tokens":5,"server_tool_use":null}}"#,
            ReportedUsage::Partial {
                usage: Usage {
                    out_total: 5,
                    ..Usage::default()
                },
                missing: Side::Input,
            },
        ),
        (
            r#"{"type":"message_start","message":{"usage":{}}}"#,
            ReportedUsage::Missing,
        ),
        (
            r#"{"type":"message_start","message":{}}"#,
            ReportedUsage::Missing,
        ),
    ] {
        assert_eq!(messages(&data(event)).1.report(), expected, "{event}");
    }
}

#[test]
fn nonstandard_speed_counts_as_the_tier() {
    for (usage, tier) in [
        (r#""service_tier":"standard","speed":"fast""#, "fast"),
        (r#""speed":"fast","service_tier":"standard""#, "fast"),
        (
            r#""service_tier":"priority","speed":"standard""#,
            "priority",
        ),
        (
            r#""inference_geo":"us","service_tier":"standard","speed":"standard""#,
            "inference_geo=us",
        ),
        (
            r#""service_tier":"standard","inference_geo":"us""#,
            "inference_geo=us",
        ),
        (
            r#""service_tier":"standard","inference_geo":"global""#,
            "standard",
        ),
        (
            r#""inference_geo":"not_available","service_tier":"standard""#,
            "standard",
        ),
        (
            r#""inference_geo":"us","speed":"fast""#,
            "fast+inference_geo=us",
        ),
    ] {
        let event = format!(
            r#"{{"type":"message_start","message":{{"usage":{{"input_tokens":1,"output_tokens":1,{usage}}}}}}}"#
        );
        let ReportedUsage::Complete(read) = messages(&data(&event)).1.report() else {
            panic!("{usage}")
        };
        assert_eq!(read.service_tier.as_deref(), Some(tier), "{usage}");
    }
}

#[test]
fn p05_unknown_event_is_forwarded_and_unknown_delta_is_content() {
    for (event, kind) in [
        ("event: shiny\ndata: {\"type\":\"shiny\",\"x\":[1]}", 'h'),
        (
            r#"data: {"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
            'h',
        ),
        (
            r#"data: {"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            'c',
        ),
        (
            r#"data: {"type":"content_block_start","content_block":{"type":"web_search_tool_result","content":[{"url":"u"}]}}"#,
            'c',
        ),
        (
            r#"data: {"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"abc"}}"#,
            'c',
        ),
        (
            r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}"#,
            'h',
        ),
        (
            r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            'c',
        ),
        (
            r#"data: {"type":"content_block_delta","delta":{"type":"shiny_delta","shine":"x"}}"#,
            'c',
        ),
        (
            r#"data: {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}"#,
            'h',
        ),
        ("event: ping\ndata: {\"type\": \"ping\"}", 'h'),
        ("event: ping", 'h'),
        ("event: message_stop", 't'),
        ("event: message_stop\ndata: {}", 't'),
        ("data: [DONE]", 'h'),
    ] {
        assert_eq!(
            messages(&format!("{event}\n\n")).0,
            kind.to_string(),
            "{event}"
        );
    }
}

#[test]
fn e15_messages_in_band_error_is_an_error() {
    let mut tap = MessagesTap::default();
    let busy = UpstreamError {
        status: Some(529),
        kind: "overloaded_error".into(),
        ..UpstreamError::new("busy")
    };
    for event in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
    ] {
        assert_eq!(error(&mut tap, event), busy, "{event}");
    }
    assert_eq!(
        error(&mut tap, "data: {\"type\":\"error\"}\n\n").kind,
        "upstream_error"
    );
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
            error(&mut MessagesTap::default(), event),
            UpstreamError::unreadable("the upstream sent an event that is not JSON")
        );
    }
}

#[test]
fn damaged_stream_never_panics() {
    for damaged in samples::damaged(samples::MESSAGES_STREAM.as_bytes(), 400) {
        let mut tap = MessagesTap::default();
        for event in samples::events(&String::from_utf8_lossy(&damaged)) {
            tap.read(&parse(&event));
        }
        tap.read(&parse(&damaged));
        let _ = (tap.report(), tap.delivered());
    }
}

#[test]
fn messages_output_count_is_final_only_after_the_stop() {
    let delta = r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":1}}"#;
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    assert!(!messages(&(data(delta) + &data(stop))).1.output_is_final());
    assert!(messages(&(data(stop) + &data(delta))).1.output_is_final());
}
