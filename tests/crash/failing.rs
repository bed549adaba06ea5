//! A disk that fails while the gateway runs. Requests are refused in words while nothing can be written, and taken again
//! by themselves; a sync that failed is not trusted, and loses nothing.

use std::thread;

use serde_json::json;

use super::house;
use crate::budget::call::Call;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;
use crate::harness::{model, wait_until};

fn call() -> serde_json::Value {
    Call::chat().at_most(30).body()
}

#[test]
fn a_disk_that_is_nearly_full_refuses_new_requests_and_heals_without_a_restart() {
    let upstream = Upstream::start();
    let (gateway, key) = house(&upstream, "disk_reserve_mb = 100");
    let user = gateway.user(&key);
    user.chat(&call()).assert_status(200);
    gateway.disk.set_free_mb(99);
    wait_until("the full disk is noticed", || {
        gateway.anon().get("/readyz").status == 503
    });
    let before = upstream.request_count();
    let refused = user.chat(&call());
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert!(refused.header("retry-after").is_some());
    assert!(
        refused.error_message().contains("free some space"),
        "{}",
        refused.error_message()
    );
    let refused = user.messages(&Call::messages().at_most(30).body());
    assert_eq!(refused.assert_status(503).error_type(), "overloaded_error");
    assert_eq!(upstream.request_count(), before);
    assert_eq!(gateway.anon().get("/healthz").status, 200);
    gateway.usage();
    gateway.disk.set_free_mb(0);
    wait_until("the healed disk is noticed", || {
        gateway.anon().get("/readyz").status == 200
    });
    user.chat(&call()).assert_status(200);
}

#[test]
fn a_reserve_larger_than_the_disk_is_said_at_the_real_door_too() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .ledger("disk_reserve_mb = 1")
        .start();
    let key = {
        let team = gatekeeper.team_with_budget("eng", "10");
        gatekeeper.key_of(&team)
    };
    let config = std::fs::read_to_string(&gatekeeper.config).expect("the config can be read");
    std::fs::write(
        &gatekeeper.config,
        config.replace("disk_reserve_mb = 1", "disk_reserve_mb = 1000000"),
    )
    .expect("written");
    gatekeeper.stop();
    gatekeeper.start_until_listening();
    wait_until("the full disk is noticed", || {
        gatekeeper.anon().get("/readyz").status == 503
    });
    let refused = gatekeeper.user(&key).chat(&call());
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn a_sync_that_failed_loses_nothing() {
    let upstream = Upstream::start();
    let (mut gateway, key) = house(&upstream, "");
    let user = gateway.user(&key);
    for failing in [1, 0, 3, 0] {
        gateway.disk.fail_next_syncs(failing);
        for _ in 0..5 {
            user.chat(&call()).assert_status(200);
        }
    }
    // a sync of the books may have failed too: they cannot be read until they are opened again, within a second
    wait_until("the books have caught up", || {
        let usage = gateway
            .admin()
            .get("/v1/usage?start=2000-01-01&end=2100-01-01");
        usage.status == 200 && usage.json()["total"]["requests"] == json!(20)
    });
    gateway.assert_books_agree();
    let before = gateway.requests();
    gateway.stop();
    gateway.start();
    gateway.usage();
    assert_eq!(gateway.requests(), before);
    assert_eq!(
        upstream.bill_total(1_000_000, 5_000_000),
        gateway.usage_total()
    );
}

/// The records that a failed sync did not cover are written again; here that fails as well, in the middle.
#[test]
fn a_sync_that_failed_and_could_not_be_made_good_at_once_loses_nothing() {
    let upstream = Upstream::start();
    let (mut gateway, key) = house(&upstream, "");
    let user = gateway.user(&key);
    gateway.usage();
    gateway.disk.set_sync_delay_ms(300);
    gateway.disk.fail_next_syncs(1);
    for _ in 0..6 {
        user.chat(&call()).assert_status(200);
    }
    gateway.disk.fail_after_log_writes(5);
    wait_until("the sync has failed", || {
        gateway.disk.counts().failed_syncs > 0
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    gateway.disk.heal();
    user.chat(&call()).assert_status(200);
    wait_until("the books have caught up", || {
        gateway.usage()["total"]["requests"] == json!(7)
    });
    let before = gateway.requests();
    gateway.stop();
    gateway.start();
    gateway.usage();
    assert_eq!(gateway.requests(), before);
    assert_eq!(
        upstream.bill_total(1_000_000, 5_000_000),
        gateway.usage_total()
    );
}

#[test]
fn while_nothing_can_be_written_requests_are_refused_and_afterwards_taken_again() {
    let upstream = Upstream::start();
    let (gateway, key) = house(&upstream, "");
    let user = gateway.user(&key);
    user.chat(&call()).assert_status(200);
    gateway.usage();
    gateway.disk.set_writes_failing(true);
    let refused = user.chat(&call());
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert_eq!(
        upstream.request_count(),
        1,
        "nothing is sent upstream that is not in the log"
    );
    gateway.disk.set_writes_failing(false);
    user.chat(&call()).assert_status(200);
    wait_until("the books have caught up", || {
        gateway.usage()["total"]["requests"] == json!(2)
    });
}

/// A call whose stream the log did not take the end of, on a disk that still fails.
fn if_undelivered(gateway: &InProcessGateway, key: &Key, upstream: &Upstream) {
    upstream.respond_with(model::with_usage(10, 20).pause_ms_between(10));
    let mut stream = gateway.user(key).open_stream(
        Call::chat().path(),
        &Call::chat().at_most(30).streamed(true).body(),
    );
    stream.read_deltas(3);
    gateway.disk.set_writes_failing(true);
    let (events, _) = stream.read_events();
    let said: String = events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
        .collect();
    assert!(said.contains("ledger_unavailable"), "{said}");
    assert!(!said.contains("[DONE]"), "{said}");
    upstream.respond_with(model::with_usage(10, 20));
}

/// Its hold stays as long, and it is booked at what it cost once the log takes it: the client was not told its end.
#[test]
fn an_answer_whose_cost_cannot_be_written_is_not_ended_and_is_booked_later() {
    let upstream = Upstream::start();
    let (mut gateway, key) = house(&upstream, "");
    if_undelivered(&gateway, &key, &upstream);
    let left = || {
        (
            gateway.holds_open(),
            gateway.metric("gatekeeper_ends_unlogged"),
        )
    };
    assert_eq!(left(), (1, 1.0));
    // longer than a request that failed is remembered: the log is tried all the while
    wait_until("it was tried often", || {
        gateway.disk.counts().failed_log_writes > 7
    });
    assert_eq!(
        (gateway.anon().get("/readyz").status, left()),
        (503, (1, 1.0))
    );
    gateway.disk.set_writes_failing(false);
    wait_until("the log takes it", || left() == (0, 0.0));
    assert_eq!(gateway.anon().get("/readyz").status, 200);
    gateway.usage();
    let row = gateway.requests().remove(0);
    assert_eq!(
        (&row["status"], &row["flags"]),
        (&json!("broken"), &json!([])),
        "{row:#}"
    );
    let booked = gateway.usage_total();
    assert_eq!(booked, upstream.bill_total(1_000_000, 5_000_000));
    gateway.assert_books_agree();
    let metrics = gateway.admin().get("/metrics").text();
    assert!(
        metrics.contains("gatekeeper_requests_total{status=\"broken\"} 1\n"),
        "{metrics}"
    );
    gateway.stop();
    gateway.start();
    assert_eq!(
        (gateway.usage_total(), gateway.requests().len()),
        (booked, 1),
        "a restart has nothing to add"
    );
}

#[test]
fn what_the_log_did_not_take_is_logged_when_the_gateway_is_stopped() {
    let upstream = Upstream::start();
    let (mut gateway, key) = house(&upstream, "");
    if_undelivered(&gateway, &key, &upstream);
    gateway.disk.set_writes_failing(false);
    gateway.stop();
    gateway.start();
    gateway.usage();
    assert_eq!(gateway.requests().remove(0)["flags"], json!([]));
    assert_eq!(
        gateway.usage_total(),
        upstream.bill_total(1_000_000, 5_000_000)
    );
}

#[test]
fn what_the_log_never_took_is_booked_at_its_ceiling_by_the_next_start() {
    let upstream = Upstream::start();
    let (mut gateway, key) = house(&upstream, "");
    if_undelivered(&gateway, &key, &upstream);
    gateway.stop();
    gateway.disk.set_writes_failing(false);
    gateway.start();
    gateway.usage();
    let row = gateway.requests().remove(0);
    assert_eq!(
        (&row["flags"], &row["cost_usd"]),
        (&json!(["orphaned"]), &row["ceiling_usd"])
    );
}

/// Who waits for the room that such a call keeps gets it with the booking.
#[test]
fn room_that_an_unlogged_end_keeps_comes_free_with_it() {
    let upstream = Upstream::start();
    let (mut gateway, _) = house(&upstream, "");
    let team = gateway.team_with_budget("small", "0.00045");
    let key = gateway.key_of(&team);
    if_undelivered(&gateway, &key, &upstream);
    let user = gateway.user(&key);
    thread::scope(|scope| {
        let waits = scope.spawn(|| user.chat(&call()).status);
        wait_until("it waits for room", || {
            gateway.metric("gatekeeper_requests_waiting") == 1.0
        });
        gateway.disk.set_writes_failing(false);
        assert_eq!(waits.join().expect("a call ends"), 200);
    });
    gateway.assert_books_agree();
}

/// A hold that cannot be given back is given back later, and leaves no record: nothing was sent.
#[test]
fn a_hold_that_cannot_be_given_back_is_given_back_later() {
    let upstream = Upstream::start();
    let (gateway, key) = house(&upstream, "sync = \"disk\"");
    gateway.disk.set_sync_delay_ms(1_000);
    let mut connection = gateway.user(&key).connect();
    connection.send_request(
        "POST",
        Call::chat().path(),
        Some(call().to_string().as_bytes()),
    );
    wait_until("it is held and waits for the disk", || {
        gateway.holds_open() == 1
    });
    gateway.disk.set_writes_failing(true);
    connection.disconnect();
    wait_until("it cannot be given back", || {
        gateway.metric("gatekeeper_ends_unlogged") == 1.0
    });
    gateway.disk.heal();
    wait_until("it is given back", || gateway.holds_open() == 0);
    gateway.usage();
    assert_eq!((gateway.requests().len(), upstream.request_count()), (0, 0));
    gateway.assert_books_agree();
}

/// Who asks whether to send requests here is told no while they would be refused, and asked to look again soon: only a request shows
/// whether the log can be written once more.
#[test]
fn while_the_log_cannot_be_written_the_gateway_is_not_ready() {
    let upstream = Upstream::start();
    let (gateway, key) = house(&upstream, "");
    let user = gateway.user(&key);
    let ready = || gateway.anon().get("/readyz").status;
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    assert_eq!(ready(), 200);
    gateway.disk.fail_after_log_writes(0);
    for _ in 0..2 {
        assert_eq!(
            user.chat(&Call::chat().at_most(30).body())
                .assert_status(503)
                .error_type(),
            "ledger_unavailable"
        );
        assert_eq!(ready(), 503);
    }
    gateway.disk.heal();
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    assert_eq!(ready(), 200, "at once, by the request that was taken");
    gateway.disk.fail_after_log_writes(0);
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(503);
    assert_eq!(ready(), 503);
    gateway.disk.heal();
    wait_until("it takes requests again", || ready() == 200);
}
