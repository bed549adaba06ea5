//! Failures: rejections and broken streams of each vendor are reported in the client's dialect.

use serde_json::json;

use super::{ALL, COHERE, GEMINI, OLLAMA};
use crate::harness::client::BodyEnd;
use crate::harness::golden;
use crate::harness::script::Script;
use crate::inference::fixture::{BOTH, Chat, Messages, assert_error, assert_refusal};

#[test]
fn x02_gemini_retry_delay_becomes_retry_after() {
    for (dialect, word) in [
        (Chat, "rate_limit_exceeded"),
        (Messages, "rate_limit_exceeded"),
    ] {
        let fixture = GEMINI.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(429, golden("gemini/limit.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &GEMINI.request_body(dialect, json!({})));
        let message = assert_refusal(dialect, &response, 429, word);
        assert!(
            message.starts_with("You exceeded your current quota"),
            "{message}"
        );
        assert_eq!(response.header("retry-after"), Some("7"));
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
    }
}

#[test]
fn x07_ollama_error_line_is_in_band_error() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let recording = OLLAMA.recording("failed", true);
        fixture.upstream.respond_with(
            OLLAMA
                .stream(recording.split_inclusive('\n'))
                .pause_ms_between(50),
        );
        let stream = fixture.user().open_stream(
            dialect.path(),
            &OLLAMA.request_body(dialect, json!({"stream": true})),
        );
        let (events, end) = stream.read_events();
        assert_eq!(end, BodyEnd::Clean);
        assert_eq!(
            events
                .iter()
                .filter_map(|event| event.delta())
                .collect::<String>(),
            "Hello "
        );
        let last = events.last().expect("events");
        assert_error(dialect, &last.json(), "upstream_error");
        assert!(
            last.json()["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains("unexpected EOF")),
            "{last:?}"
        );
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
}

#[test]
fn failed_vendor_response_is_in_band_error() {
    for (vendor, recording, word) in [
        (GEMINI, "malformed", "MALFORMED_FUNCTION_CALL"),
        (COHERE, "failed", "the model crashed"),
    ] {
        let fixture = vendor.fixture();
        let recording = vendor.recording(recording, true);
        fixture.upstream.respond_with(
            vendor
                .stream(recording.split_inclusive("\n\n"))
                .pause_ms_between(20),
        );
        let (events, _) = fixture
            .user()
            .open_stream(
                Messages.path(),
                &vendor.request_body(Messages, json!({"stream": true})),
            )
            .read_events();
        let last = events.last().expect("events");
        assert_error(Messages, &last.json(), "upstream_error");
        assert!(
            last.json()["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains(word)),
            "{last:?}"
        );
        fixture.assert_recorded();
    }
}

#[test]
fn vendor_stream_without_end_is_truncated() {
    for vendor in ALL {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            let recording = vendor.recording("text", true);
            let pieces: Vec<&str> = recording
                .split_inclusive(if vendor.ending == "sse" { "\n\n" } else { "\n" })
                .collect();
            fixture
                .upstream
                .respond_with(vendor.stream(&pieces[..pieces.len() - 1]));
            let (events, _) = fixture
                .user()
                .open_stream(
                    dialect.path(),
                    &vendor.request_body(dialect, json!({"stream": true})),
                )
                .read_events();
            let last = events.last().expect("events");
            assert_error(dialect, &last.json(), "upstream_error");
            assert!(
                events.iter().all(|event| !dialect.is_terminal(event)),
                "{events:?}"
            );
            let row = fixture.assert_recorded();
            assert_eq!(row.0["status"], json!("truncated"), "{}", row.0);
            assert!(row.cost() > 0, "{}", row.0);
        }
    }
}

#[test]
fn x13_vendor_rejected_credential_returns_502() {
    for (vendor, status, body) in [
        (GEMINI, 400, "gemini/key.json"),
        (COHERE, 401, "cohere/key.json"),
        (COHERE, 498, "cohere/key.json"),
    ] {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            fixture
                .upstream
                .respond_with(Script::unary(status, golden(body)));
            let response = fixture
                .user()
                .post(dialect.path(), &vendor.request_body(dialect, json!({})));
            let message = assert_refusal(dialect, &response, 502, "upstream_error");
            assert!(
                message.contains("the gateway's own credential"),
                "{message}"
            );
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[]);
        }
    }
}

#[test]
fn vendor_rejection_is_reported_in_client_dialect() {
    for dialect in BOTH {
        let fixture = COHERE.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(429, golden("cohere/limit.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &COHERE.request_body(dialect, json!({})));
        assert_eq!(
            assert_refusal(dialect, &response, 429, "rate_limit_exceeded"),
            "Please wait and try again later"
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
        let fixture = OLLAMA.fixture();
        fixture
            .upstream
            .respond_with(Script::unary(404, golden("ollama/unknown.json")));
        let response = fixture
            .user()
            .post(dialect.path(), &OLLAMA.request_body(dialect, json!({})));
        assert_refusal(dialect, &response, 502, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
    }
}
