//! `on_disconnect = "drain"`: a call whose client goes away is read to its end, and booked as its vendor reports it.

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages};
use crate::harness::client::Connection;
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

fn house(limits: &str) -> House {
    let limits = format!("[limits]\n{limits}");
    let drains =
        |provider: crate::harness::process::Provider| provider.line("on_disconnect = \"drain\"");
    House::calling(Upstream::start(), drains, |setup| setup.setting(&limits))
}

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

#[test]
fn a_stream_whose_client_left_is_booked_as_it_is_reported_at_its_end() {
    let house = house("");
    for dialect in BOTH {
        house
            .upstream
            .respond_with(model::with_usage(10, 60).pause_ms_between(60));
        let mut stream = house
            .user()
            .open_stream(dialect.path(), &dialect.streamed());
        stream.read_deltas(5);
        stream.disconnect();
        wait_until("the call is drained", || {
            house.gatekeeper.metric("gatekeeper_requests_draining") == 1.0
        });
        house.booked().ends("client_gone", &[]).costs(10, 60);
        assert_eq!(house.gatekeeper.metric("gatekeeper_requests_draining"), 0.0);
    }
    assert!(
        house.upstream.disconnects().is_empty(),
        "the upstream was heard to its end"
    );
}

#[test]
fn a_translated_stream_is_drained_like_any_other() {
    let house = house("");
    for (client, upstream) in [(Chat, Messages), (Messages, Chat)] {
        house
            .upstream
            .respond_with(model::with_usage(10, 60).pause_ms_between(60));
        let mut body = client.streamed();
        body["model"] = json!(upstream.model());
        let mut stream = house.user().open_stream(client.path(), &body);
        stream.read_deltas(5);
        stream.disconnect();
        house.booked().ends("client_gone", &[]).costs(10, 60);
    }
    assert!(
        house.upstream.disconnects().is_empty(),
        "the upstream was heard to its end"
    );
}

#[test]
fn a_call_whose_client_left_before_the_head_is_booked_as_it_is_reported() {
    let house = house("");
    for dialect in BOTH {
        for (streamed, script) in [
            (false, model::with_usage(10, 20).delay_ms(1_500)),
            (true, model::with_usage(10, 20).delay_ms(1_500)),
            (false, slow_body()),
        ] {
            house.upstream.respond_with(script);
            asks(&house, dialect, streamed).disconnect();
            house.booked().ends("client_gone", &[]).costs(10, 20);
        }
    }
    assert!(house.upstream.disconnects().is_empty());
}

/// A whole answer that comes in crumbs.
fn slow_body() -> Script {
    model::with_usage(10, 20)
        .in_writes_of(400)
        .pause_ms_between(200)
        .delay_ms(1_000)
}

#[test]
fn a_client_that_stays_sees_nothing_of_it() {
    let house = house("");
    house.upstream.respond_with(model::with_usage(10, 20));
    for dialect in BOTH {
        for streamed in [false, true] {
            house.asks(dialect, streamed).assert_status(200);
            house.booked().ends("ok", &[]).costs(10, 20);
        }
        let refusal = dialect.refusal("invalid_request_error", "no such thing");
        let answer = house.answered(dialect, false, Script::json(400, &refusal));
        assert_eq!((answer.status, answer.json()), (400, refusal));
        house.booked().ends("upstream_error", &[]).costs(0, 0);
        house.upstream.respond_with(model::with_usage(10, 20));
    }
}

#[test]
fn a_drained_stream_that_fails_is_an_estimate() {
    let house = house("");
    for dialect in BOTH {
        let [before, content, _] = dialect.events(30);
        house.upstream.respond_with(
            Script::stream([before, content].concat())
                .pause_ms_between(60)
                .then_closes(),
        );
        let mut stream = house
            .user()
            .open_stream(dialect.path(), &dialect.streamed());
        stream.read_deltas(2);
        stream.disconnect();
        let booked = house.booked();
        booked.ends("client_gone", &["estimated"]).is_about(10, 30);
        assert!(
            booked.output() >= 30,
            "what came after the client counts too: {}",
            booked.0
        );
    }
}

#[test]
fn sixty_four_are_drained_at_once_the_rest_is_let_go_and_a_stop_ends_all() {
    let mut house = house("drain_s = 1");
    let [before, content, _] = Messages.events(3);
    house
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let streams: Vec<_> = (0..70)
        .map(|_| {
            let mut stream = house
                .user()
                .open_stream(Messages.path(), &Messages.streamed());
            stream.read_deltas(3);
            stream
        })
        .collect();
    for stream in streams {
        let _left = stream.disconnect();
    }
    house.upstream.wait_for_disconnects(6);
    wait_until("all places are taken", || {
        house.gatekeeper.metric("gatekeeper_requests_draining") == 64.0
    });
    assert_eq!(house.gatekeeper.metric("gatekeeper_holds_open"), 64.0);
    assert_eq!(house.upstream.disconnects().len(), 6);
    assert_eq!(house.gatekeeper.stop().code(), Some(0));
    house.gatekeeper.start();
    house.booked_all(70);
    let rows = house.gatekeeper.requests();
    assert!(
        rows.iter()
            .all(|row| row["status"] == "client_gone" && row["flags"][0] == "estimated"),
        "{rows:?}"
    );
}
