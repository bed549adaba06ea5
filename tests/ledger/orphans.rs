//! Calls in flight at a `kill -9`: booked at their ceiling, listed with what is known of them, and corrected to their
//! estimate by one audited command that changes nothing the second time.

use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, usd, wait_until};

/// A server that was killed while a stream, of which it had heard, and a whole answer, of which it had not, were in flight.
fn killed() -> (Upstream, Gatekeeper, Key) {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["stream"].as_bool() {
            Some(true) => model::with_usage(10, 2_000).pause_ms_between(10),
            _ => Script::hangs(),
        }
    }));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "1");
    let key = gatekeeper.key_of(&team);
    let stream = gatekeeper.user(&key).open_stream(
        "/v1/chat/completions",
        &Call::chat().streamed(true).at_most(5_000).body(),
    );
    let mut whole = gatekeeper.user(&key).connect();
    whole.send_request(
        "POST",
        "/v1/chat/completions",
        Some(Call::chat().at_most(1_000).body().to_string().as_bytes()),
    );
    upstream.wait_for_requests(2);
    // two holds, and the stream's first note after 2 s
    wait_until("progress is logged", || {
        gatekeeper.metric("gatekeeper_ledger_written") >= 3.0
    });
    gatekeeper.kill_9();
    drop((stream, whole));
    gatekeeper.start();
    (upstream, gatekeeper, key)
}

fn orphans(gatekeeper: &Gatekeeper) -> Vec<Value> {
    let list = gatekeeper
        .admin()
        .get("/v1/ledger/orphans")
        .assert_status(200)
        .json();
    list["data"].as_array().expect("a list").clone()
}

fn command(gatekeeper: &Gatekeeper, arguments: &[&str]) -> String {
    let ran = gatekeeper.run(arguments);
    assert!(
        ran.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

fn spent(gatekeeper: &Gatekeeper) -> i128 {
    let teams = gatekeeper
        .admin()
        .get("/v1/teams")
        .assert_status(200)
        .json();
    pico(&text(&teams["data"][0]["budgets"][0], "spent"))
}

#[test]
fn orphans_are_corrected_to_their_estimate_once() {
    let (_upstream, mut gatekeeper, _) = killed();
    assert!(
        gatekeeper
            .output()
            .contains("booked at their ceiling and flagged `orphaned`; list them with `gatekeeper ledger orphans`, correct them with --settle-estimated orphans=2"),
        "{}",
        gatekeeper.output()
    );
    assert_eq!(
        gatekeeper.output().matches("in flight").count(),
        1,
        "it is said once"
    );
    let listed = orphans(&gatekeeper);
    assert_eq!(listed.len(), 2);
    let stream = listed
        .iter()
        .find(|orphan| orphan["stream"] == true)
        .expect("the stream");
    let whole = listed
        .iter()
        .find(|orphan| orphan["stream"] == false)
        .expect("the whole answer");
    assert!(
        stream["last_heard"]["output_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0),
        "{stream}"
    );
    assert!(whole["last_heard"].is_null(), "{whole}");
    let booked: i128 = listed
        .iter()
        .map(|orphan| pico(&text(orphan, "cost_usd")))
        .sum();
    let estimate: i128 = listed
        .iter()
        .map(|orphan| pico(&text(orphan, "estimate_usd")))
        .sum();
    for orphan in &listed {
        let (cost, estimate) = (
            pico(&text(orphan, "cost_usd")),
            pico(&text(orphan, "estimate_usd")),
        );
        assert!(
            0 < estimate
                && estimate < cost
                && text(orphan, "cost_usd") == text(orphan, "ceiling_usd"),
            "{orphan}"
        );
    }
    assert!(
        pico(&text(stream, "estimate_usd")) > pico(&text(whole, "estimate_usd")),
        "the input, and what was delivered"
    );
    assert_eq!(
        (
            spent(&gatekeeper),
            gatekeeper.metric("gatekeeper_orphans_uncorrected")
        ),
        (booked, 2.0)
    );
    let place = ["--config", gatekeeper.config.to_str().expect("a path")].map(str::to_owned);
    let with_place = |arguments: &[&str]| -> Vec<String> {
        arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .chain(place.clone())
            .collect()
    };
    let run = |gatekeeper: &Gatekeeper, arguments: &[&str]| {
        let owned = with_place(arguments);
        command(
            gatekeeper,
            &owned.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    };
    assert!(run(&gatekeeper, &["usage"]).contains("warning: 2 requests"));
    assert!(run(&gatekeeper, &["ledger", "orphans"]).contains(&text(stream, "id")));

    let said = run(&gatekeeper, &["ledger", "orphans", "--settle-estimated"]);
    assert_eq!(
        said,
        format!(
            "corrected 2 orphans by ${}; 0 are left\n",
            usd(estimate - booked)
        )
    );
    gatekeeper.assert_books_agree();
    assert_eq!(
        (gatekeeper.usage_total(), spent(&gatekeeper)),
        (estimate, estimate)
    );
    let rows = gatekeeper.requests();
    for row in &rows {
        assert_eq!(
            row["cost_usd"], row["ceiling_usd"],
            "the record stays as it was"
        );
        assert_eq!(
            (row["corrections"].as_array().map(Vec::len), &row["flags"]),
            (Some(1), &json!(["orphaned"]))
        );
    }
    assert!(orphans(&gatekeeper).is_empty() && !run(&gatekeeper, &["usage"]).contains("warning"));
    assert_eq!(gatekeeper.metric("gatekeeper_orphans_uncorrected"), 0.0);

    let again = run(&gatekeeper, &["ledger", "orphans", "--settle-estimated"]);
    assert_eq!(again, "corrected 0 orphans by $0; 0 are left\n");
    assert_eq!(gatekeeper.requests(), rows);
    gatekeeper.restart();
    assert_eq!(
        (
            gatekeeper.requests(),
            gatekeeper.usage_total(),
            spent(&gatekeeper)
        ),
        (rows, estimate, estimate)
    );
}

#[test]
fn orphans_of_one_team_are_corrected_alone_and_a_correction_by_hand_counts() {
    let (upstream, mut gatekeeper, _) = killed();
    upstream.wait_until_idle();
    let other = gatekeeper.team(&json!({"name": "other"}));
    let settle = |team: &str| {
        let body = json!({"orphans": "estimated", "team": team});
        gatekeeper
            .admin()
            .post("/v1/ledger/corrections", &body)
            .json()
    };
    assert_eq!(settle(&other.id)["corrected"], 0);
    let first = orphans(&gatekeeper).remove(0);
    let body = json!({"request": first["id"], "amount": format!("-{}", text(&first, "cost_usd")), "reason": "never sent"});
    assert_eq!(
        gatekeeper
            .admin()
            .post("/v1/ledger/corrections", &body)
            .assert_status(201)
            .json()["orphans_uncorrected"],
        1
    );
    let rest = settle("eng");
    assert_eq!(
        (&rest["corrected"], &rest["orphans_uncorrected"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        gatekeeper
            .admin()
            .post("/v1/ledger/corrections", &json!({"orphans": "all"}))
            .status,
        400
    );
}
