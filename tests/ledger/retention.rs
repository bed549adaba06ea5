//! `[retention]`: what is older than its kind is kept goes, with all that hangs on it; reports stay right from what is kept,
//! budgets lose nothing, and the books agree with themselves all the while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::crowd::at_once;
use crate::harness::inside::Inside;
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::upstream::Upstream;
use crate::harness::{Raises, count, hello, model, record, wait_until};

const SETTINGS: &str =
    "[retention]\nrequests_days = 5\nrefused_days = 2\nhours_days = 8\ndays_days = 30";

fn house(retention: &str) -> (Upstream, Inside, Key) {
    house_with("sync = \"os\"", retention)
}

fn house_with(ledger: &str, retention: &str) -> (Upstream, Inside, Key) {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20));
    let mut inside = Gatekeeper::before(&upstream)
        .ledger(ledger)
        .setting(retention)
        .starts_inside();
    let budgets = json!([{"limit": "1", "period": "total"}, {"limit": "1", "period": "daily"}, {"limit": "1", "period": "monthly"}]);
    let team = inside.team(&json!({"name": "eng", "models": ["*"], "budgets": budgets}));
    let key = inside.key_of(&team);
    // usage and budgets remember more than the request log
    inside.without_checking_books();
    (upstream, inside, key)
}

fn total(inside: &Inside, query: &str) -> (Value, Value) {
    let report = inside
        .admin()
        .get(&format!("/v1/usage?{query}"))
        .expects(200)
        .json();
    (
        report["total"]["requests"].clone(),
        report["total"]["cost_usd"].clone(),
    )
}

fn agrees(inside: &Inside) -> Value {
    let verified = inside.verifies();
    assert_eq!(verified["differences"], json!([]), "{verified:#}");
    verified
}

fn calls(inside: &Inside, key: &Key, instant: &str) {
    inside.it_is(instant);
    inside.user(key).chat(&hello("m-small")).expects(200);
    inside.user(key).chat(&hello("no-such-model")).expects(404);
}

#[test]
fn each_kind_goes_at_its_time_and_reports_stay_right() {
    let (_upstream, inside, key) = house(SETTINGS);
    for day in 1..=9 {
        calls(&inside, &key, &format!("2026-12-{day:02}T12:00:00Z"));
    }
    // kept: requests of the 4th on, refusals of the 7th on, hours of the 1st on
    wait_until("old requests are gone", || inside.requests().len() == 6);
    wait_until("old refusals are gone", || {
        inside.request_log().len() == 6 + 3
    });
    assert_eq!(
        total(&inside, "start=2026-12-01&end=2026-12-10").0,
        json!(9)
    );
    assert_eq!(
        total(&inside, "start=2026-12-02&end=2026-12-10&group_by=hour").0,
        json!(8)
    );
    inside.it_is("2026-12-20T12:00:00Z");
    wait_until("all requests are gone", || inside.request_log().is_empty());
    wait_until("old hours are gone", || {
        inside
            .admin()
            .get("/v1/usage?group_by=hour&end=2026-12-10")
            .status
            == 400
    });
    let (requests, cost) = total(&inside, "start=2026-12-01&end=2026-12-10");
    assert_eq!(
        (requests, cost.as_str().is_some_and(|cost| cost > "0.0009")),
        (json!(9), true),
        "days have it all"
    );
    let verified = agrees(&inside);
    assert_eq!(
        (&verified["records"], &verified["compared_from"]),
        (&json!(0), &json!("2026-12-15T00:00:00Z"))
    );
    let team = inside.admin().get("/v1/teams").expects(200).json()["data"][0].clone();
    assert_eq!(
        json!(text(&team["budgets"][0], "spent")),
        cost,
        "the window that is open lacks nothing"
    );
    inside.it_is("2027-01-20T12:00:00Z");
    wait_until("old days are gone", || {
        inside
            .admin()
            .get("/v1/usage?start=2026-12-01&end=2026-12-10")
            .status
            == 400
    });
    assert_eq!(total(&inside, "start=2027-01-01").0, json!(0));
    agrees(&inside);
}

#[test]
fn corrections_and_orphans_go_with_their_request() {
    let (_upstream, mut inside, key) = house(SETTINGS);
    calls(&inside, &key, "2026-12-01T12:00:00Z");
    let id = text(&inside.requests()[0], "id");
    let body = json!({"request": id, "amount": "-0.00001", "reason": "goodwill"});
    inside
        .admin()
        .post("/v1/ledger/corrections", &body)
        .expects(201);
    inside.it_is("2026-12-07T12:00:00Z");
    wait_until("the request is gone", || inside.request_log().is_empty());
    inside
        .admin()
        .get(&format!("/v1/requests/{id}"))
        .expects(404);
    inside
        .admin()
        .post("/v1/ledger/corrections", &body)
        .expects(404);
    let verified = agrees(&inside);
    assert_eq!(
        (&verified["corrections"], &verified["balances"]),
        (&json!(0), &json!(3))
    );
    assert_eq!(
        total(&inside, "start=2026-12-01").1,
        json!("0.0001"),
        "net of its correction"
    );
    // a restart reads what is left
    inside.stop();
    inside.start();
    let team = inside.admin().get("/v1/teams").expects(200).json()["data"][0].clone();
    let spent: Vec<String> = team["budgets"]
        .as_array()
        .expect("budgets")
        .iter()
        .map(|budget| text(budget, "spent"))
        .collect();
    assert_eq!(spent, ["0.0001", "0", "0.0001"]);
    agrees(&inside);
}

#[test]
fn an_orphan_that_nobody_corrected_goes_with_its_request() {
    let (upstream, mut inside, key) = house(SETTINGS);
    inside.it_is("2026-12-01T12:00:00Z");
    upstream.answers(model::uses(10, 20).pause_ms_between(10));
    let mut body = hello("m-small");
    body["stream"] = json!(true);
    let mut stream = inside.user(&key).streams("/v1/chat/completions", &body);
    stream.reads_deltas(3);
    inside.disk.fails_writes(true);
    stream.rest();
    // the log never takes its end
    inside.stop();
    inside.disk.fails_writes(false);
    inside.start();
    let orphans = |inside: &Inside| {
        inside.admin().get("/v1/ledger/orphans").expects(200).json()["data"].clone()
    };
    assert_eq!(orphans(&inside).as_array().map(Vec::len), Some(1));
    inside.it_is("2026-12-07T12:00:00Z");
    wait_until("the request is gone", || inside.request_log().is_empty());
    assert_eq!(orphans(&inside), json!([]));
    agrees(&inside);
    inside.stop();
    inside.start();
    assert_eq!(inside.metric("gatekeeper_orphans_uncorrected"), 0.0);
}

#[test]
fn balances_of_windows_long_past_go() {
    let (_upstream, inside, key) = house(SETTINGS);
    calls(&inside, &key, "2026-12-01T12:00:00Z");
    inside.it_is("2027-02-01T12:00:00Z");
    wait_until("the request is gone", || inside.request_log().is_empty());
    wait_until("only the balance of all times is left", || {
        agrees(&inside)["balances"] == json!(1)
    });
    let team = inside.admin().get("/v1/teams").expects(200).json()["data"][0].clone();
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
    let (_upstream, inside, key) =
        house("[retention]\nrequests_days = 0\nrefused_days = 0\nhours_days = 0");
    calls(&inside, &key, "2026-12-01T12:00:00Z");
    inside.it_is("2046-12-01T12:00:00Z");
    inside.user(&key).chat(&hello("m-small")).expects(200);
    agrees(&inside);
    assert_eq!(
        (
            inside.request_log().len(),
            inside.metric("gatekeeper_retention_rows_deleted")
        ),
        (3, 0.0)
    );
}

#[test]
fn books_agree_while_old_requests_are_deleted_under_load() {
    agrees_under_load("os", count("GK_RETENTION_DAYS", 12));
}

/// There the writer is never idle: slices are deleted between the syncs that clients wait for.
#[test]
fn books_agree_while_old_requests_are_deleted_and_everyone_waits_for_the_disk() {
    agrees_under_load("disk", count("GK_RETENTION_DAYS", 12) / 2);
}

/// Days pass while clients call and somebody verifies: the books agree at every look.
fn agrees_under_load(sync: &str, days: usize) {
    let (_upstream, inside, key) = house_with(
        &format!("sync = \"{sync}\""),
        "[retention]\nrequests_days = 1\nrefused_days = 1\nhours_days = 2\ndays_days = 4",
    );
    let over = AtomicBool::new(false);
    let start_ms = 1_796_083_200_000_u64; // 2026-12-01T00:00:00Z
    let served = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let served = at_once(
                4,
                4,
                |_| inside.user(&key).connects(),
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
        let over = Raises(&over);
        for day in 0..days as u64 {
            for hour in [1, 7, 19] {
                inside
                    .clock
                    .advance_to_ms(start_ms + day * 86_400_000 + hour * 3_600_000);
                agrees(&inside);
            }
        }
        drop(over);
        load.join().expect("a client saw something wrong")
    });
    // usage rows and roll-ups go too: what was deleted need not be a request
    wait_until("requests have gone", || {
        // nothing is deleted while the books are verified
        std::thread::sleep(Duration::from_secs(2));
        agrees(&inside)["records"]
            .as_u64()
            .is_some_and(|kept| kept < served)
    });
    record(
        &format!("retention, sync = {sync}: requests served while their predecessors went"),
        &served.to_string(),
    );
}
