//! Failing streams: a status before the first content, after it an in-band error in the client's dialect, never a clean
//! end. The record holds the usage as far as it is known.

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_error, assert_refusal};
use crate::harness::client::{BodyEnd, Response, SseEvent};
use crate::harness::script::Script;

/// Asserts a failed stream: so many deltas, then the error as the last event, and a complete body. Returns the message.
#[track_caller]
fn assert_ends_in_error(
    dialect: Dialect,
    (events, end): &(Vec<SseEvent>, BodyEnd),
    deltas: usize,
    word: &str,
) -> String {
    assert_eq!(
        events.iter().filter_map(SseEvent::delta).count(),
        deltas,
        "{events:?}"
    );
    assert!(
        !events.iter().any(|event| dialect.is_terminal(event)),
        "{events:?}"
    );
    let last = events.last().expect("a failed stream has an error event");
    assert_error(dialect, &last.json(), word);
    assert_eq!(last.name, if dialect == Messages { "error" } else { "" });
    assert_eq!(*end, BodyEnd::Clean);
    last.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Script of the events up to and including so many deltas.
fn stream_up_to(dialect: Dialect, deltas: usize) -> Script {
    let [before, content, _] = dialect.events(20);
    let count = before.len() + deltas;
    Script::stream([before, content].concat()).only(count)
}

#[test]
fn stream_ended_before_content_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for script in [
            Script::stream(dialect.stream(3)).only(0),
            stream_up_to(dialect, 0),
            stream_up_to(dialect, 0).then_closes(),
            stream_up_to(dialect, 0).then_resets(),
            Script::stream(dialect.stream(3)).truncated_after(20),
        ] {
            let message = assert_refusal(
                dialect,
                &fixture.call_with(dialect, true, script),
                502,
                "upstream_error",
            );
            assert!(!message.is_empty());
            let record = fixture.assert_recorded();
            assert!(
                record.input() >= 10,
                "the upstream may have billed its input: {}",
                record.0
            );
            record.assert_usage_about(10, 0);
        }
    }
}

#[test]
fn stream_without_terminal_event_ends_in_error_event() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for script in [
            stream_up_to(dialect, 5),
            stream_up_to(dialect, 5).then_closes(),
        ] {
            let events = fixture.stream_events(dialect, script);
            let message = assert_ends_in_error(dialect, &events, 5, "upstream_error");
            assert!(message.contains("broke off"), "{message}");
            fixture
                .assert_recorded()
                .assert_ended("truncated", &["estimated"])
                .assert_usage_about(10, 5);
        }
    }
}

#[test]
fn stream_truncated_within_event_drops_partial_event() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(5);
        let bytes = before.concat().len() + content.concat().len() - 9;
        let script = Script::stream([before, content, after].concat()).truncated_after(bytes);
        let events = fixture.stream_events(dialect, script);
        assert_ends_in_error(dialect, &events, 4, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("truncated", &["estimated"])
            .assert_usage_about(10, 4);
    }
}

#[test]
fn stream_reset_after_content_ends_in_error_event() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        // the pauses let each event pass before the reset, which overtakes bytes in transit
        let events = fixture.stream_events(
            dialect,
            stream_up_to(dialect, 5).pause_ms_between(10).then_resets(),
        );
        let deltas = events.0.iter().filter_map(SseEvent::delta).count();
        assert!((1..=5).contains(&deltas), "{events:?}");
        assert_ends_in_error(dialect, &events, deltas, "upstream_error");
        let record = fixture.assert_recorded();
        record
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, deltas as u64);
    }
}

#[test]
fn stream_truncated_after_usage_is_not_estimated() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let all = dialect.stream(5);
        let without_terminal = Script::stream(&all[..all.len() - 1]);
        let (events, end) = fixture.stream_events(dialect, without_terminal);
        assert_ends_in_error(dialect, &(events, end), 5, "upstream_error");
        fixture
            .assert_recorded()
            .assert_ended("truncated", &[])
            .assert_usage(10, 5);
    }
}

#[test]
fn e15_stream_error_before_content_becomes_status() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for (kind, status, word) in [
            ("server_error", 502, "upstream_error"),
            ("overloaded_error", 503, "overloaded"),
        ] {
            for before in [Vec::new(), dialect.events(1)[0].clone()] {
                let script = Script::stream(
                    [before, vec![dialect.error_event(kind, "it went dark")]].concat(),
                );
                let message = assert_refusal(
                    dialect,
                    &fixture.call_with(dialect, true, script),
                    status,
                    word,
                );
                assert!(message.contains("it went dark"), "{message}");
                fixture
                    .assert_recorded()
                    .assert_ended("upstream_error", &[]);
            }
        }
    }
}

#[test]
fn e15_stream_error_after_content_is_last_event() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(4);
        let error = vec![dialect.error_event("overloaded_error", "it went dark")];
        let failed = [before, content, error].concat();
        let events = fixture.stream_events(dialect, Script::stream(&failed));
        let message = assert_ends_in_error(dialect, &events, 4, "overloaded");
        assert!(message.contains("it went dark"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 4);
        let events = fixture.stream_events(dialect, Script::stream([failed, after].concat()));
        assert_ends_in_error(dialect, &events, 4, "overloaded");
        fixture
            .assert_recorded()
            .assert_ended("broken", &[])
            .assert_usage(10, 4);
    }
}

#[test]
fn x10_stream_event_invalid_json_is_error() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for broken in [
            "data: {\"choices\":[\n\n",
            "data: <html>\n\n",
            "data: \u{1}\n\n",
            "data: {\"a\":\"\\ud800\"\n\n",
        ] {
            let [before, content, after] = dialect.events(3);
            let script = Script::stream([before.clone(), vec![broken.to_owned()]].concat());
            assert_refusal(
                dialect,
                &fixture.call_with(dialect, true, script),
                502,
                "upstream_error",
            );
            fixture
                .assert_recorded()
                .assert_ended("broken", &["estimated"])
                .assert_usage_about(10, 0);
            let script = Script::stream([before, content, vec![broken.to_owned()], after].concat());
            assert_ends_in_error(
                dialect,
                &fixture.stream_events(dialect, script),
                3,
                "upstream_error",
            );
            fixture
                .assert_recorded()
                .assert_ended("broken", &[])
                .assert_usage(10, 3);
        }
    }
}

#[test]
fn x08_stream_idle_timeout_closes_upstream_connection() {
    let fixture = Fixture::with_limits("idle_timeout_s = 1\nping_s = 15");
    for dialect in BOTH {
        let left = fixture.upstream.disconnects().len();
        let events = fixture.stream_events(dialect, stream_up_to(dialect, 3).then_hangs());
        let message = assert_ends_in_error(dialect, &events, 3, "upstream_timeout");
        assert!(message.contains("1 s"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 3);
        fixture.upstream.wait_for_disconnects(left + 1);
    }
}

#[test]
fn stream_idle_before_content_returns_504_and_charges_input() {
    let fixture = Fixture::with_limits("idle_timeout_s = 1");
    for dialect in BOTH {
        for script in [
            stream_up_to(dialect, 0).then_hangs(),
            Script::stream(dialect.stream(3)).only(0).then_hangs(),
        ] {
            let refusal = refusal_before_buffer_time(&fixture, dialect, &script);
            assert_refusal(dialect, &refusal, 504, "upstream_timeout");
        }
    }
}

/// First response that is a refusal. The gateway sends the head after two seconds without content, and a machine that stops for one of them
/// reaches that before the second of silence: then the call is made again.
fn refusal_before_buffer_time(fixture: &Fixture, dialect: Dialect, script: &Script) -> Response {
    for _ in 0..10 {
        let response = fixture.call_with(dialect, true, script.clone());
        fixture.assert_recorded().assert_usage_about(10, 0);
        if response.status != 200 {
            return response;
        }
    }
    panic!("ten streams began although nothing but silence came");
}

#[test]
fn stream_event_over_size_limit_ends_in_error_event() {
    let fixture = Fixture::with_limits("answer_mb = 1");
    for dialect in BOTH {
        let [before, content, _] = dialect.events(2);
        let endless = format!("data: {}", "x".repeat(3 << 20));
        let events = fixture.stream_events(
            dialect,
            Script::stream([before, content, vec![endless]].concat()),
        );
        let message = assert_ends_in_error(dialect, &events, 2, "upstream_error");
        assert!(message.contains("too large"), "{message}");
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 2);
    }
}

#[test]
fn stream_data_after_terminal_event_does_not_delay_client() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let end = dialect.stream(3);
        let more = vec![": more\n\n".to_owned(); 1_000];
        let script = Script::stream([vec![end.concat()], more].concat()).pause_ms_between(500);
        let began = std::time::Instant::now();
        let (events, end) = fixture.stream_events(dialect, script);
        assert!(
            dialect.is_terminal(events.last().expect("events")),
            "{events:?}"
        );
        assert_eq!(end, BodyEnd::Clean);
        assert!(
            began.elapsed().as_secs() < 60,
            "the client was kept for {:?}",
            began.elapsed()
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 3);
    }
    let (events, end) = fixture.stream_events(Chat, Script::stream(Chat.stream(3)).then_hangs());
    assert!(Chat.is_terminal(events.last().expect("events")));
    assert_eq!(end, BodyEnd::Clean);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 3);
}

#[test]
fn stream_past_call_timeout_ends_in_error_event_despite_progress() {
    let fixture = Fixture::with_limits("call_timeout_s = 6");
    for (disconnects, dialect) in (1..).zip(BOTH) {
        let (events, end) = fixture.stream_events(
            dialect,
            Script::stream(dialect.stream(1_000)).pause_ms_between(60),
        );
        let deltas = events.iter().filter_map(SseEvent::delta).count();
        assert!(
            (1..200).contains(&deltas),
            "{deltas} deltas in six seconds, one in 60 ms"
        );
        let message = assert_ends_in_error(dialect, &(events, end), deltas, "upstream_timeout");
        assert!(message.contains("not whole within 6 s"), "{message}");
        fixture.upstream.wait_for_disconnects(disconnects);
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, deltas as u64);
    }
}
