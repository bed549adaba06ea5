//! Text responses: recordings reach clients of both dialects with the same text, reasoning and usage in every delivery.

use serde_json::json;

use super::{COHERE, GEMINI, OLLAMA, Vendor};
use crate::inference::fixture::{Chat, Dialect, Messages};
use crate::inference::parsed_response::{ParsedResponse, send_and_parse, stop_reason};

/// Asserts that a text recording gives a client the same response, unary and in every delivery of the stream.
fn assert_text_response(
    vendor: Vendor,
    dialect: Dialect,
    tokens: (u64, u64, u64),
    reasoning: &str,
) {
    let fixture = vendor.fixture();
    let expected = ParsedResponse {
        reasoning: reasoning.into(),
        text: "Hello 日本 🦀".into(),
        calls: vec![],
        stop_reason: stop_reason(dialect).into(),
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
        // with one rate for all input, cached tokens cost as much as the others
        row.assert_ended("ok", &[]).assert_usage(tokens.0, tokens.2);
        assert_eq!(
            row.0["usage"]["cached_tokens"].as_u64().unwrap_or(0),
            tokens.1,
            "{}",
            row.0
        );
    }
}

const GEMINI_REASONING: &str = "**Greeting**\n\nThe user wants a greeting.";

const OTHER_REASONING: &str = "A greeting is due.";

#[test]
fn t01_chat_client_on_gemini_gets_text_and_usage() {
    assert_text_response(GEMINI, Chat, (14, 4, 25), GEMINI_REASONING);
}

#[test]
fn t01_chat_client_on_cohere_gets_text_and_usage() {
    assert_text_response(COHERE, Chat, (10, 0, 25), OTHER_REASONING);
}

#[test]
fn t01_chat_client_on_native_ollama_gets_text_and_usage() {
    assert_text_response(OLLAMA, Chat, (14, 0, 30), OTHER_REASONING);
}

#[test]
fn t02_messages_client_on_gemini_gets_text_and_usage() {
    assert_text_response(GEMINI, Messages, (14, 4, 25), GEMINI_REASONING);
}

#[test]
fn t02_messages_client_on_cohere_gets_text_and_usage() {
    assert_text_response(COHERE, Messages, (10, 0, 25), OTHER_REASONING);
}

#[test]
fn t02_messages_client_on_native_ollama_gets_text_and_usage() {
    assert_text_response(OLLAMA, Messages, (14, 0, 30), OTHER_REASONING);
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
                    stop_reason: end.into(),
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
        assert_eq!(parsed.stop_reason, end);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}
