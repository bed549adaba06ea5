//! `[retention]`: records older than the limit of their kind are deleted with everything that belongs to them; reports of
//! the kept interval, budgets and `ledger verify` stay correct throughout.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{SetOnDrop, hello, model, print_figure, repetitions, wait_until};

const SETTINGS: &str =
    "[retention]\nrequests_days = 5\nrefused_days = 2\nhours_days = 8\ndays_days = 30";

fn fixture(retention: &str) -> (Upstream, InProcessGateway, Key) {
    fixture_with("sync = \"os\"", retention)
}

fn fixture_with(ledger: &str, retention: &str) -> (Upstream, InProcessGateway, Key) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .ledger(ledger)
        .setting(retention)
        .start_in_process();
    let budgets = json!([{"limit": "1", "period": "total"}, {"limit": "1", "period": "daily"}, {"limit": "1", "period": "monthly"}]);
    let team = gateway.team(&json!({"name": "eng", "models": ["*"], "budgets": budgets}));
    let key = gateway.key_of(&team);
    // usage and budgets cover more than the request log
    gateway.skip_books_check();
    (upstream, gateway, key)
}

fn total(gateway: &InProcessGateway, query: &str) -> (Value, Value) {
    let report = gateway
        .admin()
        .get(&format!("/v1/usage?{query}"))
        .assert_status(200)
        .json();
    (
        report["total"]["requests"].clone(),
        report["total"]["cost_usd"].clone(),
    )
}

fn assert_verified(gateway: &InProcessGateway) -> Value {
    let verified = gateway.verify_ledger();
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    verified
}

/// One served and one refused call at an instant.
fn call_twice(gateway: &InProcessGateway, key: &Key, instant: &str) {
    gateway.advance_to(instant);
    gateway.user(key).chat(&hello("m-small")).assert_status(200);
    gateway
        .user(key)
        .chat(&hello("no-such-model"))
        .assert_status(404);
}

#[test]
fn retention_deletes_each_kind_after_its_days_and_keeps_totals() {
    let (_upstream, gateway, key) = fixture(SETTINGS);
    for day in 1..=9 {
        call_twice(&gateway, &key, &format!("2026-12-{day:02}T12:00:00Z"));
    }
    // kept: requests of the 4th on, refusals of the 7th on, hours of the 1st on
    wait_until("old requests are deleted", || gateway.requests().len() == 6);
    wait_until("old refusals are deleted", || {
        gateway.request_log().len() == 6 + 3
    });
    assert_eq!(
        total(&gateway, "start=2026-12-01&end=2026-12-10").0,
        json!(9)
    );
    assert_eq!(
        total(&gateway, "start=2026-12-02&end=2026-12-10&group_by=hour").0,
        json!(8)
    );
    gateway.advance_to("2026-12-20T12:00:00Z");
    wait_until("all requests are deleted", || {
        gateway.request_log().is_empty()
    });
    wait_until("old hours are deleted", || {
        gateway
            .admin()
            .get("/v1/usage?group_by=hour&end=2026-12-10")
            .status
            == 400
    });
    let (requests, cost) = total(&gateway, "start=2026-12-01&end=2026-12-10");
    assert_eq!(
        (requests, cost.as_str().is_some_and(|cost| cost > "0.0009")),
        (json!(9), true),
        "days contain all requests"
    );
    let verified = assert_verified(&gateway);
    assert_eq!(
        (&verified["records"], &verified["compared_from"]),
        (&json!(0), &json!("2026-12-15T00:00:00Z"))
    );
    let team = gateway.admin().get("/v1/teams").assert_status(200).json()["data"][0].clone();
    assert_eq!(
        json!(text(&team["budgets"][0], "spent")),
        cost,
        "the open window is complete"
    );
    gateway.advance_to("2027-01-20T12:00:00Z");
    wait_until("old days are deleted", || {
        gateway
            .admin()
            .get("/v1/usage?start=2026-12-01&end=2026-12-10")
            .status
            == 400
    });
    assert_eq!(total(&gateway, "start=2027-01-01").0, json!(0));
    assert_verified(&gateway);
}

#[test]
fn retention_deletes_corrections_with_their_request() {
    let (_upstream, mut gateway, key) = fixture(SETTINGS);
    call_twice(&gateway, &key, "2026-12-01T12:00:00Z");
    let id = text(&gateway.requests()[0], "id");
    let body = json!({"request": id, "amount": "-0.00001", "reason": "goodwill"});
    gateway
        .admin()
        .post("/v1/ledger/corrections", &body)
        .assert_status(201);
    gateway.advance_to("2026-12-07T12:00:00Z");
    wait_until("the request is deleted", || {
        gateway.request_log().is_empty()
    });
    gateway
        .admin()
        .get(&format!("/v1/requests/{id}"))
        .assert_status(404);
    gateway
        .admin()
        .post("/v1/ledger/corrections", &body)
        .assert_status(404);
    let verified = assert_verified(&gateway);
    assert_eq!(
        (&verified["corrections"], &verified["balances"]),
        (&json!(0), &json!(3))
    );
    assert_eq!(
        total(&gateway, "start=2026-12-01").1,
        json!("0.0001"),
        "net of its correction"
    );
    // a restart reads the remaining balances
    gateway.stop();
    gateway.start();
    let team = gateway.admin().get("/v1/teams").assert_status(200).json()["data"][0].clone();
    let spent: Vec<String> = team["budgets"]
        .as_array()
        .expect("budgets")
        .iter()
        .map(|budget| text(budget, "spent"))
        .collect();
    assert_eq!(spent, ["0.0001", "0", "0.0001"]);
    assert_verified(&gateway);
}

#[test]
fn retention_deletes_uncorrected_orphan_with_its_request() {
    let (upstream, mut gateway, key) = fixture(SETTINGS);
    gateway.advance_to("2026-12-01T12:00:00Z");
    upstream.respond_with(model::with_usage(10, 20).pause_ms_between(10));
    let mut body = hello("m-small");
    body["stream"] = json!(true);
    let mut stream = gateway
        .user(&key)
        .open_stream("/v1/chat/completions", &body);
    stream.read_deltas(3);
    gateway.disk.set_writes_failing(true);
    stream.read_events();
    // the settlement is never logged
    gateway.stop();
    gateway.disk.set_writes_failing(false);
    gateway.start();
    let orphans = |gateway: &InProcessGateway| {
        gateway
            .admin()
            .get("/v1/ledger/orphans")
            .assert_status(200)
            .json()["data"]
            .clone()
    };
    assert_eq!(orphans(&gateway).as_array().map(Vec::len), Some(1));
    gateway.advance_to("2026-12-07T12:00:00Z");
    wait_until("the request is deleted", || {
        gateway.request_log().is_empty()
    });
    assert_eq!(orphans(&gateway), json!([]));
    assert_verified(&gateway);
    gateway.stop();
    gateway.start();
    assert_eq!(gateway.metric("gatekeeper_orphans_uncorrected"), 0.0);
}

#[test]
fn retention_deletes_balances_of_past_windows() {
    let (_upstream, gateway, key) = fixture(SETTINGS);
    call_twice(&gateway, &key, "2026-12-01T12:00:00Z");
    gateway.advance_to("2027-02-01T12:00:00Z");
    wait_until("the request is deleted", || {
        gateway.request_log().is_empty()
    });
    wait_until("only the balance of the total window is left", || {
        assert_verified(&gateway)["balances"] == json!(1)
    });
    let team = gateway.admin().get("/v1/teams").assert_status(200).json()["data"][0].clone();
    assert_eq!(
        (
            text(&team["budgets"][0], "spent"),
            text(&team["budgets"][2], "spent")
        ),
        ("0.00011".into(), "0".into())
    );
}

#[test]
fn retention_zero_days_keeps_everything() {
    let (_upstream, gateway, key) =
        fixture("[retention]\nrequests_days = 0\nrefused_days = 0\nhours_days = 0");
    call_twice(&gateway, &key, "2026-12-01T12:00:00Z");
    gateway.advance_to("2046-12-01T12:00:00Z");
    gateway
        .user(&key)
        .chat(&hello("m-small"))
        .assert_status(200);
    assert_verified(&gateway);
    assert_eq!(
        (
            gateway.request_log().len(),
            gateway.metric("gatekeeper_retention_rows_deleted")
        ),
        (3, 0.0)
    );
}

#[test]
fn retention_under_load_keeps_books_consistent() {
    assert_consistent_under_load("os", repetitions("GK_RETENTION_DAYS", 12));
}

/// With `sync = "disk"` the writer is never idle: slices are deleted between the syncs that clients wait for.
#[test]
fn retention_under_load_with_sync_disk_keeps_books_consistent() {
    assert_consistent_under_load("disk", repetitions("GK_RETENTION_DAYS", 12) / 2);
}

/// Advances the clock over days while clients call; `ledger verify` must find no difference at any time.
fn assert_consistent_under_load(sync: &str, days: usize) {
    let (_upstream, gateway, key) = fixture_with(
        &format!("sync = \"{sync}\""),
        "[retention]\nrequests_days = 1\nrefused_days = 1\nhours_days = 2\ndays_days = 4",
    );
    let stop = AtomicBool::new(false);
    let start_ms = 1_796_083_200_000_u64; // 2026-12-01T00:00:00Z
    let served = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let served = run_workers(
                4,
                4,
                |_| gateway.user(&key).connect(),
                |connection, _| {
                    let mut served = 0_u64;
                    while !stop.load(Ordering::SeqCst) {
                        match connection.chat(&hello("m-small")).status {
                            200 => served += 1,
                            402 | 429 => {}
                            status => panic!("status {status}"),
                        }
                    }
                    served
                },
            );
            served.into_iter().sum::<u64>()
        });
        let stop = SetOnDrop(&stop);
        for day in 0..days as u64 {
            for hour in [1, 7, 19] {
                gateway
                    .clock
                    .advance_to_ms(start_ms + day * 86_400_000 + hour * 3_600_000);
                assert_verified(&gateway);
            }
        }
        drop(stop);
        load.join().expect("all clients succeed")
    });
    // deleted rows may be usage rows and roll-ups: only the record count shows deleted requests
    wait_until("requests are deleted", || {
        // retention pauses while `ledger verify` runs
        std::thread::sleep(Duration::from_secs(2));
        assert_verified(&gateway)["records"]
            .as_u64()
            .is_some_and(|kept| kept < served)
    });
    print_figure(
        &format!("retention, sync = {sync}: requests served while their predecessors went"),
        &served.to_string(),
    );
}
