//! Clients that leave: the upstream is let go within a second, whether it talks or not, and what was used is in the books.

use std::time::{Duration, Instant};

use super::fixture::{BOTH, CallRecord, Chat, Dialect, Fixture, Messages};
use super::sockets::sockets;
use crate::harness::client::{BodyEnd, Connection};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// The promise of PRODUCT.md section 4.
const PROMISED: Duration = Duration::from_secs(1);

fn asks(fixture: &Fixture, dialect: Dialect, streamed: bool) -> Connection {
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

/// Exactly one more upstream connection was left, in time.
#[track_caller]
fn let_go(fixture: &Fixture, disconnects: usize, left: Instant) {
    fixture
        .upstream
        .wait_for_disconnects(disconnects)
        .wait_until_idle();
    let parting = fixture.upstream.disconnects()[disconnects - 1];
    let took = parting.at.saturating_duration_since(left);
    assert!(took < PROMISED, "the upstream was let go after {took:?}");
}

#[test]
fn client_disconnect_before_head_aborts_upstream() {
    let fixture = Fixture::new();
    fixture.upstream.respond_with(Script::hangs());
    let mut disconnects = 0;
    for dialect in BOTH {
        for streamed in [false, true] {
            let connection = asks(&fixture, dialect, streamed);
            assert_eq!(fixture.gatekeeper.holds_open(), 1);
            connection.disconnect();
            disconnects += 1;
            let_go(&fixture, disconnects, Instant::now());
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
        let connection = asks(&fixture, dialect, false);
        connection.close_write();
        let_go(&fixture, disconnects, Instant::now());
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
        let connection = asks(&fixture, dialect, false);
        connection.disconnect();
        let_go(&fixture, disconnects, Instant::now());
        let record = fixture.assert_recorded();
        // the client may have been faster than what came
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
        let connection = asks(&fixture, dialect, true);
        connection.disconnect();
        let_go(&fixture, disconnects, Instant::now());
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 0);
    }
}

/// Leaves after so many deltas; the record must be between what the client saw and what the upstream sent.
fn hangs_up_after(
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
    let_go(fixture, disconnects, left);
    let record = fixture.assert_recorded();
    record.assert_ended("client_gone", &["estimated"]);
    let sent = fixture
        .upstream
        .bill()
        .last()
        .expect("the upstream's own bill")
        .output_tokens;
    // three bytes a token, as long as no answer has taught otherwise
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
        assert_eq!(record.input(), 10, "the input was told at the start");
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
            hangs_up_after(
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
            hangs_up_after(&fixture, dialect, deltas, script, disconnects);
        }
    }
}

/// More than any socket holds.
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
        let stalled = asks(&fixture, dialect, true);
        fixture
            .upstream
            .wait_for_disconnects(disconnects)
            .wait_until_idle();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &["estimated"]);
        wait_until("the connection is given up", || {
            sockets(&fixture).is_none_or(|sockets| {
                sockets
                    .iter()
                    .all(|socket| socket.peer != stalled.address())
            })
        });
        // one that wakes up later must not take the stump for the whole
        let (_, end) = stalled.open_response().read_bytes();
        assert!(
            matches!(end, BodyEnd::Truncated | BodyEnd::Reset),
            "{dialect:?}: the stump of a response ends {end:?}"
        );
    }
}
