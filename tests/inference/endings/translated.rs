//! Translated responses: missing choices, missing finish reasons and in-band errors of a chat vendor.

use serde_json::json;

use crate::harness::client::{BodyEnd, SseEvent};
use crate::harness::script::Script;
use crate::inference::fixture::{
    BOTH, Chat, Dialect, Fixture, Messages, assert_error, assert_refusal,
};

#[test]
fn translated_stream_cost_comment_precedes_terminal_event() {
    let fixture = Fixture::new();
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        fixture
            .upstream
            .respond_with(Script::stream(vendor.stream(3)));
        let mut body = client.stream_body();
        body["model"] = json!(vendor.model());
        let text = fixture.user().post(client.path(), &body).text();
        let events: Vec<&str> = text.trim_end().split("\n\n").collect();
        let end = events.last().expect("an event");
        // a line of the last event, not an event of its own
        assert!(end.starts_with(": x-gatekeeper-cost-usd "), "{text}");
        assert!(
            end.contains("[DONE]") || end.contains("message_stop"),
            "{text}"
        );
        fixture.assert_recorded();
    }
}

/// Requests a stream in the client's dialect from a vendor that speaks chat.
fn stream_from_chat_vendor(
    fixture: &Fixture,
    client: Dialect,
    script: Script,
) -> (Vec<SseEvent>, BodyEnd) {
    fixture.upstream.respond_with(script);
    let mut body = client.stream_body();
    body["model"] = json!(Chat.model());
    let stream = fixture.user().open_stream(client.path(), &body);
    assert_eq!(stream.status(), 200);
    stream.read_events()
}

#[test]
fn finish_reason_error_is_upstream_error() {
    let fixture = Fixture::new();
    let body = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "error"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20}});
    for client in BOTH {
        fixture.upstream.respond_with(Script::json(200, &body));
        let mut request_body = client.body();
        request_body["model"] = json!(Chat.model());
        let response = fixture.user().post(client.path(), &request_body);
        let message = assert_refusal(client, &response, 502, "upstream_error");
        assert!(message.contains("finish reason of a failure"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn translated_unary_without_choices_returns_502() {
    let fixture = Fixture::new();
    for body in [
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#,
    ] {
        fixture.upstream.respond_with(Script::unary(200, body));
        let mut request_body = Messages.body();
        request_body["model"] = json!(Chat.model());
        assert_refusal(
            Messages,
            &fixture.user().post(Messages.path(), &request_body),
            502,
            "upstream_error",
        );
        let (flags, record) = (
            if body.contains("usage") {
                &[][..]
            } else {
                &["estimated"]
            },
            fixture.assert_recorded(),
        );
        record.assert_ended("broken", flags);
        assert_eq!(
            record.output(),
            if flags.is_empty() { 20 } else { 0 },
            "{}",
            record.0
        );
    }
    fixture.upstream.respond_with(Script::unary(200, "{}"));
    let mut request_body = Chat.body();
    request_body["model"] = json!(Messages.model());
    assert_refusal(
        Chat,
        &fixture.user().post(Chat.path(), &request_body),
        502,
        "upstream_error",
    );
    fixture
        .assert_recorded()
        .assert_ended("broken", &["estimated"]);
}

/// Chat streams that end with `[DONE]` but without a finish reason: after text, and within a tool call.
fn unfinished() -> [Vec<String>; 2] {
    let call = json!({"choices": [{"index": 0, "delta": {"tool_calls":
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a"}}]}}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}});
    let done = "data: [DONE]\n\n".to_owned();
    let [before, content, _] = Chat.events(3);
    let call = vec![
        format!("data: {call}\n\n"),
        format!("data: {usage}\n\n"),
        done.clone(),
    ];
    [
        [before.clone(), content, vec![done]].concat(),
        [before, call].concat(),
    ]
}

#[test]
fn translated_stream_without_finish_reason_is_truncated() {
    let fixture = Fixture::new();
    // the pauses let the content pass before the end is seen; one upstream never ends its body
    for script in unfinished().map(|events| Script::stream(events).pause_ms_between(20)) {
        for script in [script.clone(), script.then_hangs()] {
            let (events, end) = stream_from_chat_vendor(&fixture, Messages, script.clone());
            assert!(
                !events
                    .iter()
                    .any(|event| Messages.is_terminal(event) || event.name == "message_delta"),
                "{events:?}"
            );
            assert_error(
                Messages,
                &events.last().expect("an error").json(),
                "upstream_error",
            );
            assert_eq!(end, BodyEnd::Clean);
            fixture
                .assert_recorded()
                .assert_ended("truncated", &["estimated"]);

            fixture.upstream.respond_with(script);
            let response = fixture.user().post(
                "/v1/responses",
                &json!({"model": Chat.model(), "input": "say it", "stream": true}),
            );
            let text = response.assert_status(200).text();
            assert!(
                text.contains("response.failed") && !text.contains("response.completed"),
                "{text}"
            );
            fixture
                .assert_recorded()
                .assert_ended("truncated", &["estimated"]);
        }
    }
    fixture
        .upstream
        .respond_with(Script::stream(["data: [DONE]\n\n"]));
    let mut request_body = Messages.stream_body();
    request_body["model"] = json!(Chat.model());
    let message = assert_refusal(
        Messages,
        &fixture.user().post(Messages.path(), &request_body),
        502,
        "upstream_error",
    );
    assert!(message.contains("broke off"), "{message}");
    fixture
        .assert_recorded()
        .assert_ended("truncated", &["estimated"]);
    // a client of the same dialect gets the upstream's events
    for events in unfinished() {
        let (parsed, _) = stream_from_chat_vendor(&fixture, Chat, Script::stream(events));
        assert_eq!(
            parsed.last().map(|event| event.data.as_str()),
            Some("[DONE]")
        );
        fixture.assert_recorded().assert_ended("ok", &["estimated"]);
    }
}

#[test]
fn usage_after_stream_error_is_charged_and_error_is_shown() {
    let fixture = Fixture::new();
    let error = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"message": "it went dark", "code": 502}});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 20}});
    let tail = vec![
        format!("data: {error}\n\n"),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ];
    let [before, content, _] = Chat.events(3);
    for client in BOTH {
        for pause_ms in [0, 30] {
            let script = |begun: &[Vec<String>]| {
                Script::stream([begun.concat(), tail.clone()].concat()).pause_ms_between(pause_ms)
            };
            fixture
                .upstream
                .respond_with(script(std::slice::from_ref(&before)));
            let mut request_body = client.stream_body();
            request_body["model"] = json!(Chat.model());
            assert_refusal(
                client,
                &fixture.user().post(client.path(), &request_body),
                502,
                "upstream_error",
            );
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(10, 20);
            if pause_ms == 0 {
                continue;
            }
            let (events, end) = stream_from_chat_vendor(
                &fixture,
                client,
                script(&[before.clone(), content.clone()]),
            );
            let last = events.last().expect("an error").json();
            assert_error(client, &last, "upstream_error");
            assert!(last.to_string().contains("it went dark"), "{last}");
            assert_eq!(
                (events.iter().filter_map(SseEvent::delta).count(), end),
                (3, BodyEnd::Clean),
                "{events:?}"
            );
            fixture
                .assert_recorded()
                .assert_ended("broken", &[])
                .assert_usage(10, 20);
        }
    }
}
