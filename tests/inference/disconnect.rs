//! Client disconnects: the upstream call is aborted within a second, sending or silent, and its usage is recorded.

use std::time::{Duration, Instant};

use super::fixture::{BOTH, CallRecord, Chat, Dialect, Fixture, Messages};
use super::sockets::sockets;
use crate::harness::client::{BodyEnd, Connection};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// Longest time from the disconnect to the abort of the upstream call: ten times the promised second, for slow machines.
const ABORT_TIME_MAX: Duration = Duration::from_secs(10);

fn send_request(fixture: &Fixture, dialect: Dialect, streamed: bool) -> Connection {
    let before = fixture.upstream.request_count();
    let mut connection = fixture.user().connect();
    connection.send_request(
        "POST",
        dialect.path(),
        Some(dialect.body_for(streamed).to_string().as_bytes()),
    );
    fixture.upstream.wait_for_requests(before + 1);
    connection
}

/// Asserts that exactly one more upstream call was aborted, in time.
#[track_caller]
fn assert_upstream_aborted(fixture: &Fixture, disconnects: usize, left: Instant) {
    fixture
        .upstream
        .wait_for_disconnects(disconnects)
        .wait_until_idle();
    let disconnect = fixture.upstream.disconnects()[disconnects - 1];
    let took = disconnect.at.saturating_duration_since(left);
    assert!(
        took < ABORT_TIME_MAX,
        "the upstream call was aborted after {took:?}"
    );
}

#[test]
fn client_disconnect_before_head_aborts_upstream() {
    let fixture = Fixture::new();
    fixture.upstream.respond_with(Script::hangs());
    let mut disconnects = 0;
    for dialect in BOTH {
        for streamed in [false, true] {
            let connection = send_request(&fixture, dialect, streamed);
            assert_eq!(fixture.gatekeeper.holds_open(), 1);
            connection.disconnect();
            disconnects += 1;
            assert_upstream_aborted(&fixture, disconnects, Instant::now());
            fixture
                .assert_recorded()
                .assert_ended("client_gone", &["estimated"])
                .assert_usage_about(10, 0);
        }
    }
}

#[test]
fn client_half_close_counts_as_disconnect() {
    let fixture = Fixture::new();
    fixture.upstream.respond_with(Script::hangs());
    for (disconnects, dialect) in (1..).zip(BOTH) {
        let connection = send_request(&fixture, dialect, false);
        connection.close_write();
        assert_upstream_aborted(&fixture, disconnects, Instant::now());
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 0);
        drop(connection);
    }
}

#[test]
fn client_disconnect_during_unary_aborts_upstream() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .respond_with(model::with_usage(10, 20).truncated_after(90).then_hangs());
    for (disconnects, dialect) in (1..).zip(BOTH) {
        let connection = send_request(&fixture, dialect, false);
        connection.disconnect();
        assert_upstream_aborted(&fixture, disconnects, Instant::now());
        let record = fixture.assert_recorded();
        // the disconnect may precede the body
        assert!(
            [0, 30].contains(&record.assert_ended("client_gone", &["estimated"]).output()),
            "{}",
            record.0
        );
    }
}

#[test]
fn client_disconnect_before_content_aborts_upstream() {
    let fixture = Fixture::new();
    for (disconnects, dialect) in (1..).zip(BOTH) {
        let [before, ..] = dialect.events(0);
        fixture
            .upstream
            .respond_with(Script::stream(before).then_hangs());
        let connection = send_request(&fixture, dialect, true);
        connection.disconnect();
        assert_upstream_aborted(&fixture, disconnects, Instant::now());
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 0);
    }
}

/// Disconnects after so many deltas; asserts a recorded output between the client's deltas and the upstream's.
fn assert_disconnect_charged(
    fixture: &Fixture,
    dialect: Dialect,
    deltas: usize,
    script: Script,
    disconnects: usize,
) -> CallRecord {
    fixture.upstream.respond_with(script);
    let mut body = dialect.stream_body();
    body["max_tokens"] = serde_json::json!(200_000);
    let mut stream = fixture.user().open_stream(dialect.path(), &body);
    assert_eq!(stream.read_deltas(deltas).len(), deltas);
    let left = stream.disconnect();
    assert_upstream_aborted(fixture, disconnects, left);
    let record = fixture.assert_recorded();
    record.assert_ended("client_gone", &["estimated"]);
    let sent = fixture
        .upstream
        .bill()
        .last()
        .expect("the upstream's own bill")
        .output_tokens;
    // three bytes per token until a response teaches the estimator
    let tokens = |words: u64| {
        (0..words)
            .map(|n| model::token(n).len() as u64)
            .sum::<u64>()
            / 3
    };
    let (least, most) = (
        tokens(deltas as u64).max(deltas as u64),
        tokens(sent + 1) + 1,
    );
    assert!(
        (least..=most).contains(&record.output()),
        "{least} to {most} expected, {sent} words sent, but {}",
        record.0
    );
    if dialect == Messages {
        assert_eq!(record.input(), 10, "message_start reports the input");
    } else {
        assert!((10..=60).contains(&record.input()), "{}", record.0);
    }
    record
}

#[test]
fn client_disconnect_mid_stream_aborts_sending_upstream_and_charges() {
    let fixture = Fixture::new();
    let mut disconnects = 0;
    for dialect in BOTH {
        for deltas in [5, 100, 800] {
            disconnects += 1;
            assert_disconnect_charged(
                &fixture,
                dialect,
                deltas,
                model::with_usage(10, 100_000).pause_ms_between(1),
                disconnects,
            );
        }
    }
}

#[test]
fn client_disconnect_mid_stream_aborts_silent_upstream_and_charges() {
    let fixture = Fixture::new();
    let mut disconnects = 0;
    for (dialect, before) in [(Chat, 1), (Messages, 3)] {
        for deltas in [5, 100, 800] {
            disconnects += 1;
            let script = model::with_usage(10, 1_000)
                .only(before + deltas)
                .then_hangs();
            assert_disconnect_charged(&fixture, dialect, deltas, script, disconnects);
        }
    }
}

/// Stream larger than the socket buffers.
fn flood(dialect: Dialect) -> Script {
    let [before, content, _] = dialect.events(1);
    let long = content.concat().replace("w0 ", &"word ".repeat(20_000));
    Script::stream([before, vec![long; 400]].concat())
}

#[test]
fn client_stall_past_timeout_is_disconnected() {
    let fixture = Fixture::with_limits("client_stall_s = 1");
    for (disconnects, dialect) in (1..).zip(BOTH) {
        fixture.upstream.respond_with(flood(dialect));
        let stalled = send_request(&fixture, dialect, true);
        fixture
            .upstream
            .wait_for_disconnects(disconnects)
            .wait_until_idle();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"]);
        wait_until("the connection is closed", || {
            sockets(&fixture).is_none_or(|sockets| {
                sockets
                    .iter()
                    .all(|socket| socket.peer != stalled.address())
            })
        });
        // a client that resumes later must not take the truncated body for complete
        let (_, end) = stalled.open_response().read_bytes();
        assert!(
            matches!(end, BodyEnd::Truncated | BodyEnd::Reset),
            "{dialect:?}: the truncated response ends {end:?}"
        );
    }
}
