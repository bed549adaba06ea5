//! Clients that leave: the upstream is let go within a second, whether it talks or not, and what was used is in the books.

use std::time::{Duration, Instant};

use super::house::{BOTH, Booked, Chat, Dialect, House, Messages};
use super::sockets::sockets;
use crate::harness::client::{BodyEnd, Connection};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// The promise of PRODUCT.md section 4.
const PROMISED: Duration = Duration::from_secs(1);

fn asks(house: &House, dialect: Dialect, streamed: bool) -> Connection {
    let before = house.upstream.request_count();
    let mut connection = house.user().connect();
    connection.send_request(
        "POST",
        dialect.path(),
        Some(dialect.asking(streamed).to_string().as_bytes()),
    );
    house.upstream.wait_for_requests(before + 1);
    connection
}

/// Exactly one more upstream connection was left, in time.
#[track_caller]
fn let_go(house: &House, hang_ups: usize, left: Instant) {
    house
        .upstream
        .wait_for_disconnects(hang_ups)
        .wait_until_idle();
    let parting = house.upstream.disconnects()[hang_ups - 1];
    let took = parting.at.saturating_duration_since(left);
    assert!(took < PROMISED, "the upstream was let go after {took:?}");
}

#[test]
fn a_client_that_leaves_before_the_head_stops_the_upstream() {
    let house = House::opens();
    house.upstream.respond_with(Script::hangs());
    let mut hang_ups = 0;
    for dialect in BOTH {
        for streamed in [false, true] {
            let connection = asks(&house, dialect, streamed);
            assert_eq!(house.gatekeeper.holds_open(), 1);
            connection.disconnect();
            hang_ups += 1;
            let_go(&house, hang_ups, Instant::now());
            house
                .booked()
                .ends("client_gone", &["estimated"])
                .is_about(10, 0);
        }
    }
}

#[test]
fn a_client_that_closes_its_sending_half_is_gone() {
    let house = House::opens();
    house.upstream.respond_with(Script::hangs());
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        let connection = asks(&house, dialect, false);
        connection.close_write();
        let_go(&house, hang_ups, Instant::now());
        house
            .booked()
            .ends("client_gone", &["estimated"])
            .is_about(10, 0);
        drop(connection);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_whole_answer_stops_the_upstream() {
    let house = House::opens();
    house
        .upstream
        .respond_with(model::with_usage(10, 20).truncated_after(90).then_hangs());
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        let connection = asks(&house, dialect, false);
        connection.disconnect();
        let_go(&house, hang_ups, Instant::now());
        let booked = house.booked();
        // the client may have been faster than what came
        assert!(
            [0, 30].contains(&booked.ends("client_gone", &["estimated"]).output()),
            "{}",
            booked.0
        );
    }
}

#[test]
fn a_client_that_leaves_while_a_beginning_is_kept_back_stops_the_upstream() {
    let house = House::opens();
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        let [before, ..] = dialect.events(0);
        house
            .upstream
            .respond_with(Script::stream(before).then_hangs());
        let connection = asks(&house, dialect, true);
        connection.disconnect();
        let_go(&house, hang_ups, Instant::now());
        house
            .booked()
            .ends("client_gone", &["estimated"])
            .is_about(10, 0);
    }
}

/// Leaves after so many deltas; the record must be between what the client saw and what the upstream sent.
fn hangs_up_after(
    house: &House,
    dialect: Dialect,
    deltas: usize,
    script: Script,
    hang_ups: usize,
) -> Booked {
    house.upstream.respond_with(script);
    let mut body = dialect.streamed();
    body["max_tokens"] = serde_json::json!(200_000);
    let mut stream = house.user().open_stream(dialect.path(), &body);
    assert_eq!(stream.read_deltas(deltas).len(), deltas);
    let left = stream.disconnect();
    let_go(house, hang_ups, left);
    let booked = house.booked();
    booked.ends("client_gone", &["estimated"]);
    let sent = house
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
        (least..=most).contains(&booked.output()),
        "{least} to {most} expected, {sent} words sent, but {}",
        booked.0
    );
    if dialect == Messages {
        assert_eq!(booked.input(), 10, "the input was told at the start");
    } else {
        assert!((10..=60).contains(&booked.input()), "{}", booked.0);
    }
    booked
}

#[test]
fn a_hang_up_stops_a_talking_upstream_and_is_billed() {
    let house = House::opens();
    let mut hang_ups = 0;
    for dialect in BOTH {
        for deltas in [5, 100, 800] {
            hang_ups += 1;
            hangs_up_after(
                &house,
                dialect,
                deltas,
                model::with_usage(10, 100_000).pause_ms_between(1),
                hang_ups,
            );
        }
    }
}

#[test]
fn a_hang_up_stops_a_silent_upstream_and_is_billed() {
    let house = House::opens();
    let mut hang_ups = 0;
    for (dialect, before) in [(Chat, 1), (Messages, 3)] {
        for deltas in [5, 100, 800] {
            hang_ups += 1;
            let script = model::with_usage(10, 1_000)
                .only(before + deltas)
                .then_hangs();
            hangs_up_after(&house, dialect, deltas, script, hang_ups);
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
fn a_client_that_reads_nothing_is_cut_off() {
    let house = House::limited("client_stall_s = 1");
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        house.upstream.respond_with(flood(dialect));
        let stalled = asks(&house, dialect, true);
        house
            .upstream
            .wait_for_disconnects(hang_ups)
            .wait_until_idle();
        house.booked().ends("client_gone", &["estimated"]);
        wait_until("the connection is given up", || {
            sockets(&house).is_none_or(|sockets| {
                sockets
                    .iter()
                    .all(|socket| socket.peer != stalled.address())
            })
        });
        // one that wakes up later must not take the stump for the whole
        let (_, end) = stalled.open_response().read_bytes();
        assert!(
            matches!(end, BodyEnd::Truncated | BodyEnd::Reset),
            "{dialect:?}: the stump of an answer ends {end:?}"
        );
    }
}
