//! Graceful shutdown: running calls finish, new calls are refused, calls past the drain time are ended, and the books
//! agree afterwards.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::fixture::{BOTH, Chat, Dialect, Fixture, assert_error, assert_refusal};
use crate::harness::client::{BodyEnd, Response, SseEvent};
use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{hello_streamed, repetitions, wait_until};

/// Sends SIGTERM and waits until new calls are refused.
fn begin_shutdown(fixture: &Fixture) {
    fixture.gatekeeper.signal(Signal::TERM);
    wait_until("the process says that it stops", || {
        fixture.gatekeeper.anon().get("/readyz").status == 503
    });
}

#[test]
fn sigterm_finishes_streams_refuses_new_calls_and_exits_0() {
    let mut fixture = Fixture::new();
    let mut streams = Vec::new();
    for dialect in BOTH {
        fixture
            .upstream
            .respond_with(Script::stream(dialect.stream(10)).pause_ms_between(600));
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        stream.read_deltas(1);
        streams.push((dialect, stream));
    }
    begin_shutdown(&fixture);
    for dialect in BOTH {
        assert_refusal(dialect, &fixture.call(dialect, false), 503, "shutting_down");
        let response = fixture.call(dialect, true);
        assert_refusal(dialect, &response, 503, "shutting_down");
        assert!(response.header("retry-after").is_some());
    }
    for (dialect, stream) in streams {
        let (events, end) = stream.read_events();
        assert_eq!(
            (events.iter().filter_map(SseEvent::delta).count(), end),
            (9, BodyEnd::Clean)
        );
        assert!(dialect.is_terminal(&events[events.len() - 1]));
    }
    assert_eq!(fixture.gatekeeper.wait_for_exit().code(), Some(0));
    fixture.gatekeeper.start();
    fixture.upstream.respond_with(model::with_usage(10, 20));
    let rows = fixture.gatekeeper.requests();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row["status"] == "ok" && row["cost_usd"] == "0.00006"),
        "{rows:?}"
    );
}

#[test]
fn shutdown_idle_connection_does_not_delay_exit() {
    let mut fixture = Fixture::new();
    let idle = fixture.user().connect();
    let mut used = fixture.user().connect();
    used.chat(&Chat.body()).assert_status(200);
    let asked = Instant::now();
    assert_eq!(fixture.gatekeeper.stop().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "it took {:?}, with `drain_s` 30",
        asked.elapsed()
    );
    drop((idle, used));
    fixture.gatekeeper.start();
}

#[test]
fn shutdown_stream_past_drain_ends_in_error_event_and_is_recorded() {
    for dialect in BOTH {
        let mut fixture = Fixture::with_limits("drain_s = 4");
        let [before, content, _] = dialect.events(3);
        fixture
            .upstream
            .respond_with(Script::stream([before, content].concat()).then_hangs());
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        stream.read_deltas(3);
        begin_shutdown(&fixture);
        let (events, end) = stream.read_events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_error(dialect, &events[0].json(), "shutting_down");
        assert_eq!(end, BodyEnd::Clean);
        assert_eq!(fixture.gatekeeper.wait_for_exit().code(), Some(0));
        fixture.gatekeeper.start();
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"])
            .assert_usage_about(10, 3);
    }
}

#[test]
fn sigterm_with_many_open_streams_ends_each_and_keeps_the_books_exact() {
    const TOKENS: usize = 3;
    let count = repetitions("GK_STOP_STREAMS", 100);
    let (upstream, gate) = (Upstream::start(), Gate::default());
    let most = count + 50;
    let limits = format!(
        "[limits]\nconnections_max = {most}\nconnections_per_address_max = {most}\ndrain_s = 10"
    );
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting(&limits)
        .start();
    let team = gatekeeper.team_with_budget("streams", "1000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let open = |script: Script, count: usize| {
        upstream.respond_with(script);
        let open_one = |_| {
            let mut stream = user.open_stream("/v1/chat/completions", &hello_streamed("m-small"));
            stream.read_deltas(1);
            stream
        };
        (0..count).map(open_one).collect::<Vec<_>>()
    };
    let tokens = TOKENS as u64;
    let finishing = open(
        model::with_usage(10, tokens).held_after(2, &gate),
        count - count / 10,
    );
    // these outlive the drain time
    let hanging = open(
        model::with_usage(10, tokens).only(2).then_hangs(),
        count / 10,
    );
    gatekeeper.signal(Signal::TERM);
    wait_until("the process says that it stops", || {
        gatekeeper.anon().get("/readyz").status == 503
    });
    gate.open();
    for stream in finishing {
        let (events, end) = stream.read_events();
        assert_eq!(
            (events.iter().filter_map(SseEvent::delta).count(), end),
            (TOKENS - 1, BodyEnd::Clean)
        );
        assert_eq!(
            events.last().map(|event| event.data.as_str()),
            Some("[DONE]")
        );
    }
    for stream in hanging {
        let (events, end) = stream.read_events();
        assert_error(
            Chat,
            &events.last().expect("an event").json(),
            "shutting_down",
        );
        assert_eq!(end, BodyEnd::Clean);
    }
    assert_eq!(gatekeeper.wait_for_exit().code(), Some(0));
    gatekeeper.start();
    let rows = gatekeeper.requests();
    let ended = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert_eq!(
        (rows.len(), ended("ok"), ended("broken")),
        (count, count - count / 10, count / 10)
    );
    assert_eq!(gatekeeper.holds_open(), 0);
}

/// The answer to a call that hangs while the process stops.
fn hung_call(fixture: &Fixture, dialect: Dialect) -> Response {
    let mut connection = fixture.user().connect();
    connection.send_request(
        "POST",
        dialect.path(),
        Some(dialect.body().to_string().as_bytes()),
    );
    fixture.upstream.wait_for_requests(1);
    begin_shutdown(fixture);
    connection.read_response("POST")
}

#[test]
fn shutdown_unary_past_drain_returns_error_and_is_recorded() {
    for dialect in BOTH {
        for (script, came) in [
            (Script::hangs(), 0),
            (
                model::with_usage(10, 20).truncated_after(90).then_hangs(),
                30,
            ),
        ] {
            let mut fixture = Fixture::with_limits("drain_s = 4");
            fixture.upstream.respond_with(script);
            let response = hung_call(&fixture, dialect);
            assert_refusal(dialect, &response, 503, "shutting_down");
            assert_eq!(fixture.gatekeeper.wait_for_exit().code(), Some(0));
            fixture.gatekeeper.start();
            let record = fixture.assert_recorded();
            assert_eq!(
                record.assert_ended("broken", &["estimated"]).output(),
                came,
                "received bytes count as text: {}",
                record.0
            );
        }
    }
}

#[test]
fn sigint_stops_like_sigterm() {
    let mut fixture = Fixture::new();
    fixture.call(Chat, false).assert_status(200);
    fixture.gatekeeper.signal(Signal::INT);
    assert_eq!(fixture.gatekeeper.wait_for_exit().code(), Some(0));
    fixture.gatekeeper.start();
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn second_signal_ends_the_process_at_once() {
    let mut fixture = Fixture::new();
    fixture.upstream.respond_with(Script::hangs());
    let mut connection = fixture.user().connect();
    let body = Chat.body().to_string();
    connection.send_request("POST", Chat.path(), Some(body.as_bytes()));
    fixture.upstream.wait_for_requests(1);
    begin_shutdown(&fixture);
    let asked = Instant::now();
    fixture.gatekeeper.signal(Signal::INT);
    assert_eq!(fixture.gatekeeper.wait_for_exit().code(), Some(1));
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "it took {:?}, with `drain_s` 30",
        asked.elapsed()
    );
    let output = fixture.gatekeeper.output();
    let stopping = output.lines().find(|line| line.contains("stopping"));
    let stopping = stopping.unwrap_or_else(|| panic!("no line in {output}"));
    assert!(
        stopping.contains("requests=1") && stopping.contains("wait_s_max=30"),
        "{stopping}"
    );
    assert!(output.contains("second signal"), "{output}");
}

#[test]
fn start_is_one_log_line_with_its_settings() {
    let mut fixture = Fixture::new();
    let address = format!("address={}", fixture.gatekeeper.address());
    assert_eq!(fixture.gatekeeper.stop().code(), Some(0));
    fixture.gatekeeper.start();
    // the listener answers a moment before the line is written
    wait_until("the start is logged", || {
        let output = fixture.gatekeeper.output();
        output.contains("gatekeeper started") && output.ends_with('\n')
    });
    let output = fixture.gatekeeper.output();
    let starts: Vec<&str> = output
        .lines()
        .filter(|line| line.contains("gatekeeper started"))
        .collect();
    assert_eq!(starts.len(), 1, "{output}");
    for part in [
        "INFO",
        "version=\"",
        "config=\"",
        "data=",
        &address,
        "providers=\"",
        "keys=1",
        "sync=\"os\"",
        "zone=\"",
    ] {
        assert!(starts[0].contains(part), "{part} is not in {}", starts[0]);
    }
    assert!(!output.contains("actix"), "{output}");
}
