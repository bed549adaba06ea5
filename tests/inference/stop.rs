//! SIGTERM: what runs may finish, what comes is refused, what takes too long is told so, and the books are exact after it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::house::{BOTH, Chat, Dialect, House, is_error, refused};
use crate::harness::client::{BodyEnd, Response, SseEvent};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// Asks the process to stop and waits until it takes nothing new.
fn stops(house: &House) {
    house.gatekeeper.signal(Signal::TERM);
    wait_until("the process says that it stops", || {
        house.gatekeeper.anon().get("/readyz").status == 503
    });
}

#[test]
fn sigterm_lets_a_stream_finish_refuses_what_is_new_and_exits_0() {
    let mut house = House::opens();
    let mut streams = Vec::new();
    for dialect in BOTH {
        house
            .upstream
            .respond_with(Script::stream(dialect.stream(10)).pause_ms_between(600));
        let mut stream = house
            .user()
            .open_stream(dialect.path(), &dialect.streamed());
        stream.read_deltas(1);
        streams.push((dialect, stream));
    }
    stops(&house);
    for dialect in BOTH {
        refused(dialect, &house.asks(dialect, false), 503, "shutting_down");
        let answer = house.asks(dialect, true);
        refused(dialect, &answer, 503, "shutting_down");
        assert!(answer.header("retry-after").is_some());
    }
    for (dialect, stream) in streams {
        let (events, end) = stream.read_events();
        assert_eq!(
            (events.iter().filter_map(SseEvent::delta).count(), end),
            (9, BodyEnd::Clean)
        );
        assert!(dialect.is_terminal(&events[events.len() - 1]));
    }
    assert_eq!(house.gatekeeper.wait_for_exit().code(), Some(0));
    house.gatekeeper.start();
    house.upstream.respond_with(model::with_usage(10, 20));
    let rows = house.gatekeeper.requests();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row["status"] == "ok" && row["cost_usd"] == "0.00006"),
        "{rows:?}"
    );
}

#[test]
fn a_connection_without_a_request_does_not_delay_the_end() {
    let mut house = House::opens();
    let idle = house.user().connect();
    let mut used = house.user().connect();
    used.chat(&Chat.body()).assert_status(200);
    let asked = Instant::now();
    assert_eq!(house.gatekeeper.stop().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "it took {:?}, with `drain_s` 30",
        asked.elapsed()
    );
    drop((idle, used));
    house.gatekeeper.start();
}

#[test]
fn a_stream_that_outlasts_the_drain_is_told_so_and_booked() {
    for dialect in BOTH {
        let mut house = House::limited("drain_s = 4");
        let [before, content, _] = dialect.events(3);
        house
            .upstream
            .respond_with(Script::stream([before, content].concat()).then_hangs());
        let mut stream = house
            .user()
            .open_stream(dialect.path(), &dialect.streamed());
        stream.read_deltas(3);
        stops(&house);
        let (events, end) = stream.read_events();
        assert_eq!(events.len(), 1, "{events:?}");
        is_error(dialect, &events[0].json(), "shutting_down");
        assert_eq!(end, BodyEnd::Clean);
        assert_eq!(house.gatekeeper.wait_for_exit().code(), Some(0));
        house.gatekeeper.start();
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 3);
    }
}

/// The answer to a call that hangs while the process stops.
fn hung_call(house: &House, dialect: Dialect) -> Response {
    let mut connection = house.user().connect();
    connection.send_request(
        "POST",
        dialect.path(),
        Some(dialect.body().to_string().as_bytes()),
    );
    house.upstream.wait_for_requests(1);
    stops(house);
    connection.read_response("POST")
}

#[test]
fn a_whole_answer_that_outlasts_the_drain_is_refused_and_booked() {
    for dialect in BOTH {
        for (script, came) in [
            (Script::hangs(), 0),
            (
                model::with_usage(10, 20).truncated_after(90).then_hangs(),
                30,
            ),
        ] {
            let mut house = House::limited("drain_s = 4");
            house.upstream.respond_with(script);
            let answer = hung_call(&house, dialect);
            refused(dialect, &answer, 503, "shutting_down");
            assert_eq!(house.gatekeeper.wait_for_exit().code(), Some(0));
            house.gatekeeper.start();
            let booked = house.booked();
            assert_eq!(
                booked.ends("broken", &["estimated"]).output(),
                came,
                "what came counts as text: {}",
                booked.0
            );
        }
    }
}

#[test]
fn sigint_stops_like_sigterm() {
    let mut house = House::opens();
    house.asks(Chat, false).assert_status(200);
    house.gatekeeper.signal(Signal::INT);
    assert_eq!(house.gatekeeper.wait_for_exit().code(), Some(0));
    house.gatekeeper.start();
    house.booked().ends("ok", &[]).costs(10, 20);
}
