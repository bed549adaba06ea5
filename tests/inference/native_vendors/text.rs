//! Text responses: recordings reach clients of both dialects with the same text, reasoning and usage in every delivery.

use serde_json::json;

use super::{COHERE, GEMINI, OLLAMA, Vendor};
use crate::inference::fixture::{Chat, Dialect, Messages};
use crate::inference::parsed_response::{ParsedResponse, send_and_parse, stop_reason};

/// A recording of text, to clients of one dialect, whole and in every delivery of its stream: the same each time.
fn speaks(vendor: Vendor, dialect: Dialect, tokens: (u64, u64, u64), thoughts: &str) {
    let fixture = vendor.fixture();
    let expected = ParsedResponse {
        thoughts: thoughts.into(),
        text: "Hello 日本 🦀".into(),
        calls: vec![],
        end: stop_reason(dialect).into(),
        tokens,
    };
    let whole = [
        vendor.script("text", false),
        vendor.script("text", false).chunked().one_byte_per_write(),
    ];
    let streamed = vendor.deliveries("text");
    let body = vendor.request_body(dialect, json!({}));
    for (script, is_stream) in whole
        .into_iter()
        .map(|script| (script, false))
        .chain(streamed.into_iter().map(|s| (s, true)))
    {
        assert_eq!(
            send_and_parse(&fixture, dialect, body.clone(), is_stream, script),
            expected
        );
        let row = fixture.assert_recorded();
        // at one rate for all input, what a cache served costs as much as the rest
        row.assert_ended("ok", &[]).assert_usage(tokens.0, tokens.2);
        assert_eq!(
            row.0["usage"]["cached_tokens"].as_u64().unwrap_or(0),
            tokens.1,
            "{}",
            row.0
        );
    }
}

const GEMINI_THOUGHT: &str = "**Greeting**\n\nThe user wants a greeting.";

const OTHER_THOUGHT: &str = "A greeting is due.";

#[test]
fn t01_chat_client_on_gemini_gets_text_and_usage() {
    speaks(GEMINI, Chat, (14, 4, 25), GEMINI_THOUGHT);
}

#[test]
fn t01_chat_client_on_cohere_gets_text_and_usage() {
    speaks(COHERE, Chat, (10, 0, 25), OTHER_THOUGHT);
}

#[test]
fn t01_chat_client_on_native_ollama_gets_text_and_usage() {
    speaks(OLLAMA, Chat, (14, 0, 30), OTHER_THOUGHT);
}

#[test]
fn t02_messages_client_on_gemini_gets_text_and_usage() {
    speaks(GEMINI, Messages, (14, 4, 25), GEMINI_THOUGHT);
}

#[test]
fn t02_messages_client_on_cohere_gets_text_and_usage() {
    speaks(COHERE, Messages, (10, 0, 25), OTHER_THOUGHT);
}

#[test]
fn t02_messages_client_on_native_ollama_gets_text_and_usage() {
    speaks(OLLAMA, Messages, (14, 0, 30), OTHER_THOUGHT);
}

#[test]
fn gemini_blocked_prompt_is_content_filter() {
    for (dialect, end) in [(Chat, "content_filter"), (Messages, "refusal")] {
        let fixture = GEMINI.fixture();
        for streamed in [false, true] {
            let parsed = send_and_parse(
                &fixture,
                dialect,
                GEMINI.request_body(dialect, json!({})),
                streamed,
                GEMINI.script("blocked", streamed),
            );
            assert_eq!(
                parsed,
                ParsedResponse {
                    end: end.into(),
                    tokens: (9, 0, 0),
                    ..ParsedResponse::default()
                }
            );
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(9, 0);
        }
    }
}

#[test]
fn ollama_output_cap_reached_reports_length() {
    let fixture = OLLAMA.fixture();
    for (dialect, end) in [(Chat, "length"), (Messages, "max_tokens")] {
        let parsed = send_and_parse(
            &fixture,
            dialect,
            OLLAMA.request_body(dialect, json!({})),
            false,
            OLLAMA.script("length", false),
        );
        assert_eq!(parsed.end, end);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}
