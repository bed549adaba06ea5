//! Failures: rejections and truncated streams are reported in the client's dialect.

use serde_json::json;

use super::{SONNET, chat, fixture, messages};
use crate::harness::golden;
use crate::harness::script::Script;
use crate::inference::fixture::{Chat, Messages, assert_error};

#[test]
fn x01_anthropic_overloaded_is_reported_in_chat_shape() {
    let fixture = fixture();
    let refusal = Messages.rejection("overloaded_error", "Overloaded");
    fixture
        .upstream
        .respond_with(Script::json(529, &refusal).header("retry-after", "7"));
    let response = fixture.user().post(Chat.path(), &chat(SONNET, json!({})));
    assert!([503, 529].contains(&response.status), "{}", response.text());
    assert_eq!(response.header("retry-after"), Some("7"));
    let error = &response.json()["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.contains("Overloaded"))
            && error["type"].is_string()
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
    let event = Messages.error_event("overloaded_error", "Overloaded");
    let head: Vec<String> = Messages.events(3)[..2].concat();
    fixture
        .upstream
        .respond_with(Script::stream(head.into_iter().chain([event])).pause_ms_between(50));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})));
    let text = response.assert_status(200).text();
    assert!(
        text.contains("Overloaded") && !text.contains("[DONE]"),
        "{text}"
    );
    fixture.assert_recorded();
}

#[test]
fn x04_context_length_exceeded_is_invalid_request_for_messages_client() {
    let fixture = fixture();
    fixture.upstream.respond_with(Script::json(
        400,
        &Chat.rejection(
            "context_length_exceeded",
            "maximum context length is 8192 tokens",
        ),
    ));
    let response = fixture.user().post(Messages.path(), &messages(json!({})));
    response.assert_status(400);
    assert_error(Messages, &response.json(), "invalid_request_error");
    assert!(
        response.text().contains("maximum context length"),
        "{}",
        response.text()
    );
    assert_eq!(fixture.upstream.request_count(), 1, "no retry");
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn translated_stream_truncated_ends_in_error_event() {
    let fixture = fixture();
    let cut = |recording: &str, end: &str| {
        let recording = golden(recording);
        let end = recording.find(end).expect("an end");
        Script::stream([&recording[..end]])
    };
    fixture
        .upstream
        .respond_with(cut("anthropic/text.sse", "event: message_stop"));
    let text = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})))
        .text();
    assert!(
        text.contains("broke off") && !text.contains("[DONE]"),
        "{text}"
    );
    fixture.assert_recorded().assert_ended("truncated", &[]);
    fixture
        .upstream
        .respond_with(cut("openai/text.sse", "data: [DONE]"));
    let text = fixture
        .user()
        .post(Messages.path(), &messages(json!({"stream": true})))
        .text();
    assert!(
        text.contains("event: error") && !text.contains("message_stop"),
        "{text}"
    );
    fixture.assert_recorded().assert_ended("truncated", &[]);
}
