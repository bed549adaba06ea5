//! Failing disk: requests are refused with a message while the log cannot be written, and served again without a restart;
//! a failed sync is not trusted and loses no record.

use std::thread;

use serde_json::json;

use super::fixture;
use crate::budget::call::Call;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;
use crate::harness::{model, wait_until};

fn call() -> serde_json::Value {
    Call::chat().at_most(30).body()
}

#[test]
fn low_disk_space_refuses_requests_until_freed() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "disk_reserve_mb = 100");
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
fn disk_reserve_larger_than_disk_refuses_requests() {
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
fn failed_sync_loses_no_record() {
    let upstream = Upstream::start();
    let (mut gateway, key) = fixture(&upstream, "");
    let user = gateway.user(&key);
    for failing in [1, 0, 3, 0] {
        gateway.disk.fail_next_syncs(failing);
        for _ in 0..5 {
            user.chat(&call()).assert_status(200);
        }
    }
    // a failed sync of the books also makes them unreadable until they are reopened, within a second
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

/// The rewrite of the records after a failed sync fails half way as well.
#[test]
fn failed_sync_with_failed_rewrite_loses_no_record() {
    let upstream = Upstream::start();
    let (mut gateway, key) = fixture(&upstream, "");
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
fn failed_log_write_refuses_requests_until_healed() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "");
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
        "no unlogged call is sent upstream"
    );
    gateway.disk.set_writes_failing(false);
    user.chat(&call()).assert_status(200);
    wait_until("the books have caught up", || {
        gateway.usage()["total"]["requests"] == json!(2)
    });
}

/// Makes a streamed call whose settlement cannot be logged; the disk keeps failing.
fn leave_settlement_unlogged(gateway: &InProcessGateway, key: &Key, upstream: &Upstream) {
    upstream.respond_with(model::with_usage(10, 20).pause_ms_between(10));
    let mut stream = gateway.user(key).open_stream(
        Call::chat().path(),
        &Call::chat().at_most(30).streamed(true).body(),
    );
    stream.read_deltas(3);
    // the hold is in the books, which need nothing while writes fail
    gateway.usage();
    gateway.disk.set_writes_failing(true);
    let (events, _) = stream.read_events();
    let output: String = events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
        .collect();
    assert!(output.contains("ledger_unavailable"), "{output}");
    assert!(!output.contains("[DONE]"), "{output}");
    upstream.respond_with(model::with_usage(10, 20));
}

/// The hold stays open and is settled at its cost once the log can be written; the client gets no terminal event.
#[test]
fn unlogged_settlement_withholds_terminal_event_and_is_retried() {
    let upstream = Upstream::start();
    let (mut gateway, key) = fixture(&upstream, "");
    leave_settlement_unlogged(&gateway, &key, &upstream);
    let unlogged = || {
        (
            gateway.holds_open(),
            gateway.metric("gatekeeper_ends_unlogged"),
        )
    };
    assert_eq!(unlogged(), (1, 1.0));
    // the settlement is retried for longer than a failed append counts as failing
    wait_until("the settlement is retried", || {
        gateway.disk.counts().failed_log_writes > 7
    });
    assert_eq!(
        (gateway.anon().get("/readyz").status, unlogged()),
        (503, (1, 1.0))
    );
    gateway.disk.set_writes_failing(false);
    wait_until("the settlement is logged", || unlogged() == (0, 0.0));
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
        "a restart adds nothing"
    );
}

#[test]
fn unlogged_settlement_is_logged_on_clean_stop() {
    let upstream = Upstream::start();
    let (mut gateway, key) = fixture(&upstream, "");
    leave_settlement_unlogged(&gateway, &key, &upstream);
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
fn unlogged_settlement_is_orphaned_at_ceiling_by_next_start() {
    let upstream = Upstream::start();
    let (mut gateway, key) = fixture(&upstream, "");
    leave_settlement_unlogged(&gateway, &key, &upstream);
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

/// A call queued behind the open hold is served once its settlement is logged.
#[test]
fn unlogged_settlement_frees_budget_for_queue_once_logged() {
    let upstream = Upstream::start();
    let (mut gateway, _) = fixture(&upstream, "");
    let team = gateway.team_with_budget("small", "0.00045");
    let key = gateway.key_of(&team);
    leave_settlement_unlogged(&gateway, &key, &upstream);
    let user = gateway.user(&key);
    thread::scope(|scope| {
        let queued = scope.spawn(|| user.chat(&call()).status);
        wait_until("the call is queued", || {
            gateway.metric("gatekeeper_requests_waiting") == 1.0
        });
        gateway.disk.set_writes_failing(false);
        assert_eq!(queued.join().expect("a call ends"), 200);
    });
    gateway.assert_books_agree();
}

/// The release is retried and leaves no record, as nothing was sent upstream.
#[test]
fn unlogged_release_is_retried_and_leaves_no_record() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "sync = \"disk\"");
    gateway.disk.set_sync_delay_ms(1_000);
    let mut connection = gateway.user(&key).connect();
    connection.send_request(
        "POST",
        Call::chat().path(),
        Some(call().to_string().as_bytes()),
    );
    wait_until("the call is held and waits for the disk", || {
        gateway.holds_open() == 1
    });
    gateway.disk.set_writes_failing(true);
    connection.disconnect();
    wait_until("the release is unlogged", || {
        gateway.metric("gatekeeper_ends_unlogged") == 1.0
    });
    gateway.disk.heal();
    wait_until("the hold is released", || gateway.holds_open() == 0);
    gateway.usage();
    assert_eq!((gateway.requests().len(), upstream.request_count()), (0, 0));
    gateway.assert_books_agree();
}

/// `/readyz` is 503 while requests would be refused; it returns to 200 on its own after a while, because only a request
/// shows if the log can be written again.
#[test]
fn readiness_while_log_writes_fail_is_503() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "");
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
    assert_eq!(ready(), 200, "ready at once, by the served request");
    gateway.disk.fail_after_log_writes(0);
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(503);
    assert_eq!(ready(), 503);
    gateway.disk.heal();
    wait_until("the gateway is ready again", || ready() == 200);
}
