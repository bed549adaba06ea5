//! Slow upstreams: how long a stream without content is withheld, when pings are sent, and that a slow head is no failure.

use std::time::Instant;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal};
use crate::harness::client::{BodyEnd, ResponseStream, SseEvent};
use crate::harness::script::Script;

/// The event is a ping; a chat client gets pings as comment lines before the next event.
fn is_ping(dialect: Dialect, event: &SseEvent) -> bool {
    match dialect {
        Chat => event.comment.starts_with("ping"),
        Messages => event.name == "ping" && event.json()["type"] == "ping",
    }
}

/// Waits for a ping of the gateway.
fn wait_for_ping(dialect: Dialect, stream: &mut ResponseStream) {
    match dialect {
        Chat => stream.wait_for_line(": ping\n"),
        Messages => {
            let event = stream.next_event().expect("a ping");
            assert!(is_ping(dialect, &event), "{event:?}");
        }
    }
}

/// Script: head of a stream, a pause, the rest.
fn pauses(dialect: Dialect, rest: Vec<String>, pause_ms: u64) -> Script {
    let [before, ..] = dialect.events(0);
    Script::stream([before.concat(), rest.concat()]).pause_ms_between(pause_ms)
}

#[test]
fn stream_error_before_content_becomes_status_after_delay() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let error = vec![dialect.error_event("server_error", "it went dark")];
        let response = fixture.call_with(dialect, true, pauses(dialect, error, 500));
        let message = assert_refusal(dialect, &response, 502, "upstream_error");
        assert!(message.contains("it went dark"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[]);
    }
}

#[test]
fn x09_stream_without_content_is_withheld_2_s_then_pinged() {
    let fixture = Fixture::with_limits("ping_s = 1");
    for dialect in BOTH {
        let [before, ..] = dialect.events(0);
        fixture
            .upstream
            .respond_with(Script::stream(&before).then_hangs());
        let asked = Instant::now();
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        assert_eq!(stream.status(), 200);
        assert!(
            asked.elapsed().as_millis() >= 1_900,
            "the head came after {:?}",
            asked.elapsed()
        );
        for event in &before {
            assert_eq!(
                stream.next_event().expect("what was kept back").raw,
                event.as_bytes()
            );
        }
        for _ in 0..2 {
            wait_for_ping(dialect, &mut stream);
        }
        stream.disconnect();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 0);
    }
}

#[test]
fn x09_stream_after_slow_first_token_is_complete() {
    let fixture = Fixture::with_limits("ping_s = 1");
    for dialect in BOTH {
        let [before, content, after] = dialect.events(4);
        let script = pauses(dialect, [content, after].concat(), 3_500);
        let (events, end) = fixture.stream_events(dialect, script);
        assert_eq!(end, BodyEnd::Clean);
        let first = before.len();
        assert!(is_ping(dialect, &events[first]), "{events:?}");
        let rest: Vec<&SseEvent> = events
            .iter()
            .filter(|event| dialect == Chat || !is_ping(dialect, event))
            .collect();
        assert_eq!(rest.iter().filter_map(|event| event.delta()).count(), 4);
        assert!(dialect.is_terminal(rest[rest.len() - 1]));
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 4);
    }
}

#[test]
fn stream_content_is_immediate_and_silence_is_pinged() {
    let fixture = Fixture::with_limits("ping_s = 1\nidle_timeout_s = 60");
    for dialect in BOTH {
        let [before, content, _] = dialect.events(1);
        fixture
            .upstream
            .respond_with(Script::stream([before, content].concat()).then_hangs());
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        assert_eq!(stream.read_deltas(1).len(), 1);
        wait_for_ping(dialect, &mut stream);
        stream.disconnect();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 1);
    }
}

/// No ping and no head is sent before the upstream's head.
#[test]
fn slow_head_of_6_s_is_no_failure() {
    let fixture = Fixture::with_limits("ping_s = 1");
    fixture
        .upstream
        .respond_with(crate::harness::model::with_usage(10, 20).delay_ms(6_000));
    let mut whole = fixture.user().connect();
    whole.send_request(
        "POST",
        Chat.path(),
        Some(Chat.body().to_string().as_bytes()),
    );
    let (events, end) = fixture
        .user()
        .open_stream(Messages.path(), &Messages.stream_body())
        .read_events();
    assert_eq!(events[0].name, "message_start");
    assert!(Messages.is_terminal(&events[events.len() - 1]));
    assert_eq!(end, BodyEnd::Clean);
    assert_eq!(
        whole.read_response("POST").assert_status(200).cost(),
        110_000_000
    );
}
