//! Orphans: calls in flight at a `kill -9` are booked at their ceiling, listed with their known progress, and corrected to
//! their estimate by one audited command that changes nothing the second time.

use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, usd, wait_until};

/// A gateway killed and restarted with two calls in flight: a stream with logged progress and a unary call without.
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
    let mut unary = gatekeeper.user(&key).connect();
    unary.send_request(
        "POST",
        "/v1/chat/completions",
        Some(Call::chat().at_most(1_000).body().to_string().as_bytes()),
    );
    upstream.wait_for_requests(2);
    // two holds, and the stream's first progress mark after 2 s
    wait_until("progress is logged", || {
        gatekeeper.metric("gatekeeper_ledger_written") >= 3.0
    });
    gatekeeper.kill_9();
    drop((stream, unary));
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
    let output = gatekeeper.run(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn spent(gatekeeper: &Gatekeeper) -> i128 {
    let teams = gatekeeper
        .admin()
        .get("/v1/teams")
        .assert_status(200)
        .json();
    pico(&text(&teams["data"][0]["budgets"][0], "spent"))
}

/// Sum of one amount over all orphans.
fn sum(orphans: &[Value], amount: &str) -> i128 {
    orphans
        .iter()
        .map(|orphan| pico(&text(orphan, amount)))
        .sum()
}

fn with_stream(orphans: &[Value], stream: bool) -> &Value {
    orphans
        .iter()
        .find(|orphan| orphan["stream"] == stream)
        .expect("one stream and one unary call")
}

/// Checks the list of the two orphans of `killed`: progress, ceilings and estimates.
fn assert_listed(orphans: &[Value]) {
    assert_eq!(orphans.len(), 2);
    let (stream, unary) = (with_stream(orphans, true), with_stream(orphans, false));
    assert!(
        stream["last_heard"]["output_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0),
        "{stream}"
    );
    assert!(unary["last_heard"].is_null(), "{unary}");
    for orphan in orphans {
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
        pico(&text(stream, "estimate_usd")) > pico(&text(unary, "estimate_usd")),
        "the estimate counts the delivered output"
    );
}

/// Runs a command with the config of the gateway.
fn run(gatekeeper: &Gatekeeper, arguments: &[&str]) -> String {
    let config = gatekeeper.config.to_str().expect("a path");
    command(gatekeeper, &[arguments, &["--config", config]].concat())
}

/// Checks that each record keeps its cost and flag and has one correction.
fn assert_corrected(rows: &[Value]) {
    for row in rows {
        assert_eq!(
            row["cost_usd"], row["ceiling_usd"],
            "the record is unchanged"
        );
        assert_eq!(
            (row["corrections"].as_array().map(Vec::len), &row["flags"]),
            (Some(1), &json!(["orphaned"]))
        );
    }
}

#[test]
fn orphans_settle_estimated_corrects_each_once() {
    let (_upstream, mut gatekeeper, _) = killed();
    let log = gatekeeper.output();
    assert!(
        log.contains("booked at their ceiling and flagged `orphaned`; list them with `gatekeeper ledger orphans`, correct them with --settle-estimated orphans=2"),
        "{log}"
    );
    assert_eq!(log.matches("in flight").count(), 1, "logged once");
    let listed = orphans(&gatekeeper);
    assert_listed(&listed);
    let (booked, estimate) = (sum(&listed, "cost_usd"), sum(&listed, "estimate_usd"));
    assert_eq!(
        (
            spent(&gatekeeper),
            gatekeeper.metric("gatekeeper_orphans_uncorrected")
        ),
        (booked, 2.0)
    );
    assert!(run(&gatekeeper, &["usage"]).contains("warning: 2 requests"));
    let stream = text(with_stream(&listed, true), "id");
    assert!(run(&gatekeeper, &["ledger", "orphans"]).contains(&stream));

    let output = run(&gatekeeper, &["ledger", "orphans", "--settle-estimated"]);
    let amount = usd(estimate - booked);
    assert_eq!(
        output,
        format!("corrected 2 orphans by ${amount}; 0 are left\n")
    );
    gatekeeper.assert_books_agree();
    assert_eq!(
        (gatekeeper.usage_total(), spent(&gatekeeper)),
        (estimate, estimate)
    );
    let rows = gatekeeper.requests();
    assert_corrected(&rows);
    assert!(orphans(&gatekeeper).is_empty() && !run(&gatekeeper, &["usage"]).contains("warning"));
    assert_eq!(gatekeeper.metric("gatekeeper_orphans_uncorrected"), 0.0);

    let output = run(&gatekeeper, &["ledger", "orphans", "--settle-estimated"]);
    assert_eq!(output, "corrected 0 orphans by $0; 0 are left\n");
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
fn orphans_settle_by_team_skips_other_teams_and_corrected_orphans() {
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
