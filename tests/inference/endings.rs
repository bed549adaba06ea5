//! Ends of calls that are easily booked wrong: failures that tell a usage, refusals that nobody waits for, answers that begin late.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_error, assert_refusal};
use crate::harness::client::{BodyEnd, SseEvent};
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn failed(dialect: Dialect) -> String {
    let mut body = dialect.rejection("server_error", "it went dark");
    body["usage"] = match dialect {
        Chat => json!({"prompt_tokens": 10, "completion_tokens": 20}),
        Messages => json!({"input_tokens": 10, "output_tokens": 20}),
    };
    body.to_string()
}

#[test]
fn failed_unary_with_usage_is_charged_as_reported() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for streamed in [false, true] {
            fixture.call_with(dialect, streamed, Script::unary(200, failed(dialect)));
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(10, 20);
        }
        fixture.call_with(
            dialect,
            false,
            Script::json(200, &dialect.rejection("server_error", "it went dark")),
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(0, 0);
    }
    for (client, vendor) in [(Chat, Messages), (Messages, Chat)] {
        fixture
            .upstream
            .respond_with(Script::unary(200, failed(vendor)));
        let mut body = client.body();
        body["model"] = json!(vendor.model());
        fixture.user().post(client.path(), &body);
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn failed_responses_object_with_usage_is_charged_as_reported() {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("openai")
        .models(&["m"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
    let body = json!({"id": "resp_a", "object": "response", "status": "failed", "output": [],
        "error": {"code": "server_error", "message": "it went dark"}, "usage": {"input_tokens": 10, "output_tokens": 20}});
    let event = format!(
        "event: response.failed\ndata: {}\n\n",
        json!({"type": "response.failed", "response": body})
    );
    for (streamed, script) in [
        (false, Script::json(200, &body)),
        (true, Script::stream([event])),
    ] {
        fixture.upstream.respond_with(script);
        fixture.user().post(
            "/v1/responses",
            &json!({"model": "m", "input": "say it", "stream": streamed}),
        );
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(10, 20);
    }
}

/// A refusal whose reason never comes.
fn hangs(dialect: Dialect) -> Script {
    Script::json(400, &dialect.rejection("invalid_request_error", "no"))
        .truncated_after(5)
        .then_hangs()
}

#[test]
fn rejection_is_free_when_client_disconnects_before_its_body() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        fixture.upstream.respond_with(hangs(dialect));
        let before = fixture.upstream.request_count();
        let mut connection = fixture.user().connect();
        connection.send_request(
            "POST",
            dialect.path(),
            Some(dialect.body().to_string().as_bytes()),
        );
        fixture.upstream.wait_for_requests(before + 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        connection.disconnect();
        let record = fixture.assert_recorded();
        assert_eq!(record.0["upstream_status"], 400, "{}", record.0);
        record.assert_ended("client_gone", &[]).assert_usage(0, 0);
    }
}

#[test]
fn drained_call_status_is_client_gone_in_any_ending() {
    let drains = |provider: Provider| provider.line("on_disconnect = \"drain\"");
    let fixture = Fixture::with_providers(Upstream::start(), drains, |setup| {
        setup.setting("[limits]\nhead_timeout_s = 1")
    });
    for dialect in BOTH {
        let refusal =
            Script::json(400, &dialect.rejection("invalid_request_error", "no")).delay_ms(400);
        for (script, flags) in [(refusal, &[][..]), (Script::hangs(), &["estimated"][..])] {
            fixture.upstream.respond_with(script);
            let before = fixture.upstream.request_count();
            let mut connection = fixture.user().connect();
            connection.send_request(
                "POST",
                dialect.path(),
                Some(dialect.body().to_string().as_bytes()),
            );
            fixture.upstream.wait_for_requests(before + 1);
            connection.disconnect();
            let record = fixture.assert_recorded();
            record.assert_ended("client_gone", flags);
            assert_eq!(record.cost() == 0, flags.is_empty(), "{}", record.0);
        }
    }
}

#[test]
fn call_timeout_starts_at_send() {
    let fixture = Fixture::with_limits("call_timeout_s = 2");
    for dialect in BOTH {
        let began = std::time::Instant::now();
        let script = Script::stream(dialect.stream(1_000))
            .pause_ms_between(20)
            .delay_ms(1_500);
        let (events, _) = fixture.stream_events(dialect, script);
        assert!(
            began.elapsed().as_millis() < 3_200,
            "{:?} and {} events",
            began.elapsed(),
            events.len()
        );
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
}

#[test]
fn first_content_time_is_recorded_only_with_content() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(2);
        fixture.stream_events(
            dialect,
            Script::stream([before.clone(), after.clone()].concat()),
        );
        assert!(fixture.assert_recorded().0["first_content_ms"].is_null());
        // nothing is kept back for longer than 2 s, and content comes later
        let events = Script::stream(
            [
                vec![before.concat()],
                vec![[content, after].concat().concat()],
            ]
            .concat(),
        );
        fixture.stream_events(dialect, events.pause_ms_between(3_000));
        let first_ms = fixture.assert_recorded().0["first_content_ms"]
            .as_u64()
            .expect("content came");
        assert!(first_ms >= 2_900, "{first_ms}");
    }
}

#[test]
fn rejection_over_size_limit_is_not_reported_as_empty() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let script = Script::json(
            400,
            &dialect.rejection("invalid_request_error", &"x".repeat(300_000)),
        );
        let message = assert_refusal(
            dialect,
            &fixture.call_with(dialect, false, script),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("too long"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(0, 0);
    }
}

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
        let [.., comment, end] = &events[..] else {
            panic!("{text}")
        };
        assert!(comment.starts_with(": x-gatekeeper-cost-usd "), "{text}");
        assert!(
            end.contains("[DONE]") || end.contains("message_stop"),
            "{text}"
        );
        fixture.assert_recorded();
    }
}

/// Asks for a stream in the client's dialect of a vendor that speaks chat.
fn asks_a_chat_vendor(
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
        assert!(message.contains("finish reason `error`"), "{message}");
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

/// Streams of chat that end with `[DONE]` and never told why: with text, and in the middle of a call.
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
    // the pauses let the content through before the end is seen; one upstream never ends its body
    for script in unfinished().map(|events| Script::stream(events).pause_ms_between(20)) {
        for script in [script.clone(), script.then_hangs()] {
            let (events, end) = asks_a_chat_vendor(&fixture, Messages, script.clone());
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
    // who speaks the same dialect gets what the upstream said
    for events in unfinished() {
        let (parsed, _) = asks_a_chat_vendor(&fixture, Chat, Script::stream(events));
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
            let (events, end) =
                asks_a_chat_vendor(&fixture, client, script(&[before.clone(), content.clone()]));
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

#[test]
fn silence_after_stream_error_does_not_delay_client() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, _] = dialect.events(3);
        let error = vec![dialect.error_event("server_error", "it went dark")];
        let began = std::time::Instant::now();
        let script = Script::stream([before, content, error].concat());
        fixture.stream_events(dialect, script.then_hangs());
        assert!(began.elapsed().as_millis() < 3_000, "{:?}", began.elapsed());
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 3);
    }
}

/// What an Anthropic that says this at the beginning is booked at, when its client leaves after 30 deltas.
fn left_by_its_client(usage: serde_json::Value) -> super::fixture::CallRecord {
    let upstream = Upstream::start();
    let provider = Provider::anthropic("v", &upstream)
        .preset("anthropic")
        .models(&["claude"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
    let [before, content, _] = Messages.events(40);
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude", "content": [], "usage": usage}});
    let begun = vec![
        format!("event: message_start\ndata: {start}\n\n"),
        before[1].clone(),
    ];
    fixture
        .upstream
        .respond_with(Script::stream([begun, content].concat()).then_hangs());
    let mut request_body = Messages.stream_body();
    request_body["model"] = json!("claude");
    let mut stream = fixture.user().open_stream(Messages.path(), &request_body);
    stream.read_deltas(30);
    stream.disconnect();
    fixture.assert_recorded()
}

#[test]
fn message_start_without_input_tokens_is_estimated() {
    let record = left_by_its_client(json!({"output_tokens": 1}));
    record
        .assert_ended("client_gone", &["estimated"])
        .assert_usage_about(10, 30);
}

#[test]
fn message_start_zero_input_tokens_truncated_is_estimated() {
    let record = left_by_its_client(json!({"input_tokens": 0, "output_tokens": 1}));
    record
        .assert_ended("client_gone", &["estimated"])
        .assert_usage_about(10, 30);
}
