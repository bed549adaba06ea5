//! Unary responses that are passed through, complete and damaged.

use super::*;
use crate::dialect::{Dialect, samples};
use crate::domain::usage::Usage;

fn decode_unary(dialect: Dialect, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    dialect.client().expect("a client").decode_unary(body)
}

const CHAT: &str = r#"{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello",
    "refusal":null,"annotations":[],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},
    "logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":7,"total_tokens":33,
    "prompt_tokens_details":{"cached_tokens":21}},"service_tier":"flex"}
"#;

const MESSAGES: &str = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"thinking","thinking":"hm","signature":"s"},
    {"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}},
    {"type":"web_search_tool_result","tool_use_id":"t","content":[{"type":"web_search_result","title":"long title"}]},
    {"type":"text","text":"!"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_read_input_tokens":21,"output_tokens":7}}"#;

#[test]
fn unary_response_is_read() {
    let chat = DecodedResponse {
        report: ReportedUsage::Complete(Usage {
            uncached_in: 5,
            cache_read: 21,
            out_total: 7,
            service_tier: Some("flex".into()),
            ..Usage::default()
        }),
        delivered: DeliveredText {
            text_bytes: 8,
            cjk_chars: 0,
        },
    };
    assert_eq!(decode_unary(Dialect::Chat, CHAT.as_bytes()), Ok(chat));
    let messages = DecodedResponse {
        report: ReportedUsage::Complete(Usage {
            uncached_in: 5,
            cache_read: 21,
            out_total: 7,
            ..Usage::default()
        }),
        delivered: DeliveredText {
            text_bytes: 2 + 5 + 1 + 7 + 1,
            cjk_chars: 0,
        },
    };
    assert_eq!(
        decode_unary(Dialect::Messages, MESSAGES.as_bytes()),
        Ok(messages)
    );
}

#[test]
fn incomplete_body_is_no_response() {
    for (body, expected) in [
        ("", IncompleteResponse::Truncated),
        (
            r#"{"choices":[{"message":{"content":"He"#,
            IncompleteResponse::Truncated,
        ),
        ("<html>", IncompleteResponse::NotJson),
        (r#"{"choices":[]} trailing"#, IncompleteResponse::NotJson),
        (r#"{"choices":,}"#, IncompleteResponse::NotJson),
        ("[{}]", IncompleteResponse::NotAnObject),
        ("null", IncompleteResponse::NotAnObject),
    ] {
        for dialect in [Dialect::Chat, Dialect::Messages] {
            assert_eq!(
                decode_unary(dialect, body.as_bytes()),
                Err(expected.clone()),
                "{body}"
            );
        }
    }
}

#[test]
fn error_with_status_200_is_an_error() {
    let fault = |kind: &str, status| UpstreamError {
        status,
        kind: kind.into(),
        ..UpstreamError::new("m")
    };
    for (dialect, body, expected) in [
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","type":"t","code":500}}"#,
            fault("t", Some(500)),
        ),
        (
            Dialect::Messages,
            r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
            fault("api_error", Some(500)),
        ),
    ] {
        assert_eq!(
            decode_unary(dialect, body.as_bytes()),
            Err(IncompleteResponse::fault(expected, ReportedUsage::Missing))
        );
    }
    assert!(decode_unary(Dialect::Chat, br#"{"choices":[],"error":null}"#).is_ok());
}

#[test]
fn absent_usage_is_missing_and_null_count_is_invalid() {
    let report = |dialect, body: &str| {
        decode_unary(dialect, body.as_bytes())
            .expect("an answer")
            .report
    };
    assert_eq!(report(Dialect::Chat, "{}"), ReportedUsage::Missing);
    assert_eq!(
        report(Dialect::Messages, r#"{"usage":null}"#),
        ReportedUsage::Missing
    );
    assert_eq!(
        report(
            Dialect::Messages,
            r#"{"usage":{"input_tokens":null,"output_tokens":1}}"#
        ),
        ReportedUsage::Invalid
    );
}

#[test]
fn damaged_bytes_never_panic_and_no_prefix_is_a_response() {
    for (dialect, sample) in [
        (Dialect::Chat, CHAT.trim_end()),
        (Dialect::Messages, MESSAGES),
    ] {
        for end in 0..sample.len() {
            assert_eq!(
                decode_unary(dialect, &sample.as_bytes()[..end]),
                Err(IncompleteResponse::Truncated),
                "{end}"
            );
        }
        for damaged in samples::damaged(sample.as_bytes(), 1_000) {
            let _ = decode_unary(dialect, &damaged);
        }
    }
}
