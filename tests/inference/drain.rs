//! `on_disconnect = "drain"`: a call whose client disconnects is read to its end and recorded as its vendor reports it.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages};
use crate::harness::client::Connection;
use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

fn fixture(limits: &str) -> Fixture {
    let limits = format!("[limits]\n{limits}");
    let drains =
        |provider: crate::harness::process::Provider| provider.line("on_disconnect = \"drain\"");
    Fixture::with_providers(Upstream::start(), drains, |setup| setup.setting(&limits))
}

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

#[test]
fn drain_abandoned_stream_records_reported_usage() {
    let fixture = fixture("");
    for dialect in BOTH {
        let gate = Gate::default();
        fixture
            .upstream
            .respond_with(model::with_usage(10, 60).held_after(20, &gate));
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        stream.read_deltas(5);
        stream.disconnect();
        wait_until("the call is drained", || {
            fixture.gatekeeper.metric("gatekeeper_requests_draining") == 1.0
        });
        gate.open();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &[])
            .assert_usage(10, 60);
        assert_eq!(
            fixture.gatekeeper.metric("gatekeeper_requests_draining"),
            0.0
        );
    }
    assert!(
        fixture.upstream.disconnects().is_empty(),
        "the upstream was read to its end"
    );
}

#[test]
fn drain_abandoned_translated_stream_records_reported_usage() {
    let fixture = fixture("");
    for (client, upstream) in [(Chat, Messages), (Messages, Chat)] {
        let gate = Gate::default();
        fixture
            .upstream
            .respond_with(model::with_usage(10, 60).held_after(20, &gate));
        let mut body = client.stream_body();
        body["model"] = json!(upstream.model());
        let mut stream = fixture.user().open_stream(client.path(), &body);
        stream.read_deltas(5);
        stream.disconnect();
        wait_until("the call is drained", || {
            fixture.gatekeeper.metric("gatekeeper_requests_draining") == 1.0
        });
        gate.open();
        fixture
            .assert_recorded()
            .assert_ended("client_gone", &[])
            .assert_usage(10, 60);
    }
    assert!(
        fixture.upstream.disconnects().is_empty(),
        "the upstream was read to its end"
    );
}

#[test]
fn drain_client_disconnect_before_head_records_reported_usage() {
    let fixture = fixture("");
    for dialect in BOTH {
        for (streamed, script) in [
            (false, model::with_usage(10, 20).delay_ms(1_500)),
            (true, model::with_usage(10, 20).delay_ms(1_500)),
            (false, slow_body()),
        ] {
            fixture.upstream.respond_with(script);
            send_request(&fixture, dialect, streamed).disconnect();
            fixture
                .assert_recorded()
                .assert_ended("client_gone", &[])
                .assert_usage(10, 20);
        }
    }
    assert!(fixture.upstream.disconnects().is_empty());
}

/// Unary response in small writes.
fn slow_body() -> Script {
    model::with_usage(10, 20)
        .in_writes_of(400)
        .pause_ms_between(200)
        .delay_ms(1_000)
}

#[test]
fn drain_connected_client_is_unaffected() {
    let fixture = fixture("");
    fixture.upstream.respond_with(model::with_usage(10, 20));
    for dialect in BOTH {
        for streamed in [false, true] {
            fixture.call(dialect, streamed).assert_status(200);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(10, 20);
        }
        let refusal = dialect.rejection("invalid_request_error", "no such thing");
        let response = fixture.call_with(dialect, false, Script::json(400, &refusal));
        assert_eq!((response.status, response.json()), (400, refusal));
        fixture
            .assert_recorded()
            .assert_ended("upstream_error", &[])
            .assert_usage(0, 0);
        fixture.upstream.respond_with(model::with_usage(10, 20));
    }
}

#[test]
fn drain_failed_stream_is_estimated() {
    let fixture = fixture("");
    for dialect in BOTH {
        let [before, content, _] = dialect.events(30);
        fixture.upstream.respond_with(
            Script::stream([before, content].concat())
                .pause_ms_between(60)
                .then_closes(),
        );
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        stream.read_deltas(2);
        stream.disconnect();
        let record = fixture.assert_recorded();
        record
            .assert_ended("client_gone", &["estimated"])
            .assert_usage_about(10, 30);
        assert!(
            record.output() >= 30,
            "output after the disconnect counts too: {}",
            record.0
        );
    }
}

#[test]
fn drain_slots_limited_to_64_and_shutdown_ends_all() {
    let mut fixture = fixture("drain_s = 1");
    let [before, content, _] = Messages.events(3);
    fixture
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let streams: Vec<_> = (0..70)
        .map(|_| {
            let mut stream = fixture
                .user()
                .open_stream(Messages.path(), &Messages.stream_body());
            stream.read_deltas(3);
            stream
        })
        .collect();
    for stream in streams {
        let _left = stream.disconnect();
    }
    fixture.upstream.wait_for_disconnects(6);
    wait_until("all drain slots are in use", || {
        fixture.gatekeeper.metric("gatekeeper_requests_draining") == 64.0
    });
    assert_eq!(fixture.gatekeeper.metric("gatekeeper_holds_open"), 64.0);
    assert_eq!(fixture.upstream.disconnects().len(), 6);
    assert_eq!(fixture.gatekeeper.stop().code(), Some(0));
    fixture.gatekeeper.start();
    fixture.assert_recorded_calls(70);
    let rows = fixture.gatekeeper.requests();
    assert!(
        rows.iter()
            .all(|row| row["status"] == "client_gone" && row["flags"][0] == "estimated"),
        "{rows:?}"
    );
}
