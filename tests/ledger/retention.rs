//! `[retention]`: what is older than its kind is kept goes, with all that hangs on it; reports stay right from what is kept,
//! budgets lose nothing, and the books agree with themselves all the while.

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

fn house(retention: &str) -> (Upstream, InProcessGateway, Key) {
    house_with("sync = \"os\"", retention)
}

fn house_with(ledger: &str, retention: &str) -> (Upstream, InProcessGateway, Key) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .ledger(ledger)
        .setting(retention)
        .start_in_process();
    let budgets = json!([{"limit": "1", "period": "total"}, {"limit": "1", "period": "daily"}, {"limit": "1", "period": "monthly"}]);
    let team = gateway.team(&json!({"name": "eng", "models": ["*"], "budgets": budgets}));
    let key = gateway.key_of(&team);
    // usage and budgets remember more than the request log
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

fn agrees(gateway: &InProcessGateway) -> Value {
    let verified = gateway.verify_ledger();
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    verified
}

fn calls(gateway: &InProcessGateway, key: &Key, instant: &str) {
    gateway.advance_to(instant);
    gateway.user(key).chat(&hello("m-small")).assert_status(200);
    gateway
        .user(key)
        .chat(&hello("no-such-model"))
        .assert_status(404);
}

#[test]
fn each_kind_goes_at_its_time_and_reports_stay_right() {
    let (_upstream, gateway, key) = house(SETTINGS);
    for day in 1..=9 {
        calls(&gateway, &key, &format!("2026-12-{day:02}T12:00:00Z"));
    }
    // kept: requests of the 4th on, refusals of the 7th on, hours of the 1st on
    wait_until("old requests are gone", || gateway.requests().len() == 6);
    wait_until("old refusals are gone", || {
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
    wait_until("all requests are gone", || gateway.request_log().is_empty());
    wait_until("old hours are gone", || {
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
        "days have it all"
    );
    let verified = agrees(&gateway);
    assert_eq!(
        (&verified["records"], &verified["compared_from"]),
        (&json!(0), &json!("2026-12-15T00:00:00Z"))
    );
    let team = gateway.admin().get("/v1/teams").assert_status(200).json()["data"][0].clone();
    assert_eq!(
        json!(text(&team["budgets"][0], "spent")),
        cost,
        "the window that is open lacks nothing"
    );
    gateway.advance_to("2027-01-20T12:00:00Z");
    wait_until("old days are gone", || {
        gateway
            .admin()
            .get("/v1/usage?start=2026-12-01&end=2026-12-10")
            .status
            == 400
    });
    assert_eq!(total(&gateway, "start=2027-01-01").0, json!(0));
    agrees(&gateway);
}

#[test]
fn corrections_and_orphans_go_with_their_request() {
    let (_upstream, mut gateway, key) = house(SETTINGS);
    calls(&gateway, &key, "2026-12-01T12:00:00Z");
    let id = text(&gateway.requests()[0], "id");
    let body = json!({"request": id, "amount": "-0.00001", "reason": "goodwill"});
    gateway
        .admin()
        .post("/v1/ledger/corrections", &body)
        .assert_status(201);
    gateway.advance_to("2026-12-07T12:00:00Z");
    wait_until("the request is gone", || gateway.request_log().is_empty());
    gateway
        .admin()
        .get(&format!("/v1/requests/{id}"))
        .assert_status(404);
    gateway
        .admin()
        .post("/v1/ledger/corrections", &body)
        .assert_status(404);
    let verified = agrees(&gateway);
    assert_eq!(
        (&verified["corrections"], &verified["balances"]),
        (&json!(0), &json!(3))
    );
    assert_eq!(
        total(&gateway, "start=2026-12-01").1,
        json!("0.0001"),
        "net of its correction"
    );
    // a restart reads what is left
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
    agrees(&gateway);
}

#[test]
fn an_orphan_that_nobody_corrected_goes_with_its_request() {
    let (upstream, mut gateway, key) = house(SETTINGS);
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
    // the log never takes its end
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
    wait_until("the request is gone", || gateway.request_log().is_empty());
    assert_eq!(orphans(&gateway), json!([]));
    agrees(&gateway);
    gateway.stop();
    gateway.start();
    assert_eq!(gateway.metric("gatekeeper_orphans_uncorrected"), 0.0);
}

#[test]
fn balances_of_windows_long_past_go() {
    let (_upstream, gateway, key) = house(SETTINGS);
    calls(&gateway, &key, "2026-12-01T12:00:00Z");
    gateway.advance_to("2027-02-01T12:00:00Z");
    wait_until("the request is gone", || gateway.request_log().is_empty());
    wait_until("only the balance of all times is left", || {
        agrees(&gateway)["balances"] == json!(1)
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
fn nothing_goes_where_nothing_is_said_to() {
    let (_upstream, gateway, key) =
        house("[retention]\nrequests_days = 0\nrefused_days = 0\nhours_days = 0");
    calls(&gateway, &key, "2026-12-01T12:00:00Z");
    gateway.advance_to("2046-12-01T12:00:00Z");
    gateway
        .user(&key)
        .chat(&hello("m-small"))
        .assert_status(200);
    agrees(&gateway);
    assert_eq!(
        (
            gateway.request_log().len(),
            gateway.metric("gatekeeper_retention_rows_deleted")
        ),
        (3, 0.0)
    );
}

#[test]
fn books_agree_while_old_requests_are_deleted_under_load() {
    agrees_under_load("os", repetitions("GK_RETENTION_DAYS", 12));
}

/// There the writer is never idle: slices are deleted between the syncs that clients wait for.
#[test]
fn books_agree_while_old_requests_are_deleted_and_everyone_waits_for_the_disk() {
    agrees_under_load("disk", repetitions("GK_RETENTION_DAYS", 12) / 2);
}

/// Days pass while clients call and somebody verifies: the books agree at every look.
fn agrees_under_load(sync: &str, days: usize) {
    let (_upstream, gateway, key) = house_with(
        &format!("sync = \"{sync}\""),
        "[retention]\nrequests_days = 1\nrefused_days = 1\nhours_days = 2\ndays_days = 4",
    );
    let over = AtomicBool::new(false);
    let start_ms = 1_796_083_200_000_u64; // 2026-12-01T00:00:00Z
    let served = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let served = run_workers(
                4,
                4,
                |_| gateway.user(&key).connect(),
                |connection, _| {
                    let mut served = 0_u64;
                    while !over.load(Ordering::SeqCst) {
                        match connection.chat(&hello("m-small")).status {
                            200 => served += 1,
                            402 | 429 => {}
                            status => panic!("answered {status}"),
                        }
                    }
                    served
                },
            );
            served.into_iter().sum::<u64>()
        });
        let over = SetOnDrop(&over);
        for day in 0..days as u64 {
            for hour in [1, 7, 19] {
                gateway
                    .clock
                    .advance_to_ms(start_ms + day * 86_400_000 + hour * 3_600_000);
                agrees(&gateway);
            }
        }
        drop(over);
        load.join().expect("a client saw something wrong")
    });
    // usage rows and roll-ups go too: what was deleted need not be a request
    wait_until("requests have gone", || {
        // nothing is deleted while the books are verified
        std::thread::sleep(Duration::from_secs(2));
        agrees(&gateway)["records"]
            .as_u64()
            .is_some_and(|kept| kept < served)
    });
    print_figure(
        &format!("retention, sync = {sync}: requests served while their predecessors went"),
        &served.to_string(),
    );
}
