//! Budget windows, model patterns and levels: several budgets apply together, each counts its own calls and resets on time.

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::in_process::InProcessGateway;
use crate::harness::pico;
use crate::harness::process::{Gatekeeper, Key, Team, text};
use crate::harness::upstream::Upstream;

/// A call that costs 110 micro-dollars and is held at about 195.
fn call() -> Value {
    Call::chat().at_most(20).body()
}

fn start_gateway(upstream: &Upstream, settings: &str) -> InProcessGateway {
    Gatekeeper::with_upstream(upstream)
        .setting(settings)
        .ledger("segment_mb = 1")
        .start_in_process()
}

fn team(gateway: &mut InProcessGateway, budgets: &Value) -> (Team, Key) {
    let team = gateway.team(&json!({"name": "eng", "budgets": budgets}));
    let key = gateway.key_of(&team);
    (team, key)
}

/// Number of calls served until a refusal, and its message.
fn count_served(gateway: &InProcessGateway, key: &Key) -> (usize, String) {
    let user = gateway.user(key);
    for served in 0..100 {
        let response = user.chat(&call());
        if response.status != 200 {
            assert_eq!(response.assert_status(402).error_type(), "budget_exceeded");
            return (served, response.error_message());
        }
    }
    panic!("no budget blocks");
}

fn budgets(gateway: &InProcessGateway, team: &Team) -> Vec<Value> {
    let found = gateway.admin().get(&format!("/v1/teams/{}", team.id));
    found.assert_status(200).json()["budgets"]
        .as_array()
        .expect("budgets")
        .clone()
}

#[test]
fn budget_windows_of_all_periods_apply_together_and_reset_on_time() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([
            {"limit": "0.0005", "period": "daily"},
            {"limit": "0.00115", "period": "weekly"},
            {"limit": "0.0018", "period": "monthly"},
            {"limit": "0.0022", "period": "total"},
        ]),
    );
    for (instant, expected, by) in [
        ("2026-11-23T10:00:00Z", 3, "daily"),
        ("2026-11-23T23:59:59.999Z", 0, "daily"),
        ("2026-11-24T00:00:00Z", 3, "daily"),
        // both refuse; the weekly budget is tighter
        ("2026-11-25T07:00:00Z", 3, "weekly"),
        ("2026-11-26T07:00:00Z", 0, "weekly"),
        ("2026-11-29T23:59:59.999Z", 0, "weekly"),
        ("2026-11-30T00:00:00Z", 3, "daily"),
        ("2026-11-30T23:59:59.999Z", 0, "daily"),
        ("2026-12-01T00:00:00Z", 3, "daily"),
        ("2026-12-02T00:00:00Z", 3, "weekly"),
        ("2027-06-01T00:00:00Z", 1, "total"),
        ("2028-02-29T00:00:00Z", 0, "total"),
    ] {
        gateway.advance_to(instant);
        let (count, message) = count_served(&gateway, &key);
        assert_eq!(count, expected, "at {instant}: {message}");
        assert!(
            message.contains(&format!(" {by} budget")),
            "at {instant}: {message}"
        );
        assert_eq!(
            message.contains(" UTC (bud_"),
            by != "total",
            "a refusal names the end of the window: {message}"
        );
    }
    let spent: Vec<String> = budgets(&gateway, &team)
        .iter()
        .map(|budget| text(budget, "spent"))
        .collect();
    assert_eq!(spent, ["0", "0", "0", "0.00209"]);
}

#[test]
fn budget_window_follows_instance_timezone() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "timezone = \"Europe/Berlin\"");
    let (team, key) = team(
        &mut gateway,
        &json!([{"limit": "0.0005", "period": "daily"}]),
    );
    let (served, refusal) = count_served(&gateway, &key);
    assert_eq!(served, 3);
    assert!(refusal.contains("; resets 24 Nov 00:00 CET"), "{refusal}");
    assert_eq!(
        text(&budgets(&gateway, &team)[0], "resets_at"),
        "2026-11-23T23:00:00Z"
    );
    gateway.advance_to("2026-11-23T22:59:59Z");
    assert_eq!(count_served(&gateway, &key).0, 0);
    gateway.advance_to("2026-11-23T23:00:00Z");
    assert_eq!(count_served(&gateway, &key).0, 3);
    assert_eq!(
        text(&budgets(&gateway, &team)[0], "resets_at"),
        "2026-11-24T23:00:00Z"
    );
}

#[test]
fn budget_window_after_restart_is_kept() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([{"limit": "0.0005", "period": "daily"}, {"limit": "0.001", "period": "total"}]),
    );
    assert_eq!(count_served(&gateway, &key).0, 3);
    let before = budgets(&gateway, &team);
    gateway.stop();
    gateway.start();
    assert_eq!(budgets(&gateway, &team), before);
    assert_eq!(count_served(&gateway, &key).0, 0);
    gateway.advance_to("2026-11-24T00:00:00Z");
    gateway.stop();
    gateway.start();
    assert_eq!(count_served(&gateway, &key).0, 3);
}

#[test]
fn budget_limit_change_applies_at_once() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([{"limit": "0.0005", "period": "monthly"}]),
    );
    let limit = |gateway: &InProcessGateway, usd: &str| {
        let budgets = json!({"budgets": [{"limit": usd, "period": "monthly"}]});
        gateway
            .admin()
            .patch(&format!("/v1/teams/{}", team.id), &budgets)
            .assert_status(200);
    };
    let user = gateway.user(&key);
    user.chat(&call()).assert_status(200);
    limit(&gateway, "0.00005");
    assert_eq!(
        user.chat(&call()).assert_status(402).error_type(),
        "budget_exceeded"
    );
    let budget = &budgets(&gateway, &team)[0];
    assert_eq!(
        (text(budget, "spent"), text(budget, "remaining")),
        ("0.00011".to_owned(), "0".to_owned())
    );
    limit(&gateway, "0.0004");
    assert_eq!(count_served(&gateway, &key).0, 1);
    limit(&gateway, "0.0005");
    assert_eq!(count_served(&gateway, &key).0, 1);
    assert_eq!(text(&budgets(&gateway, &team)[0], "spent"), "0.00033");
}

#[test]
fn warn_budget_admits_counts_and_flags() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([{"limit": "0.0003", "period": "total", "action": "warn"}]),
    );
    let user = gateway.user(&key);
    for _ in 0..4 {
        let response = user.chat(&call());
        assert_eq!(
            response
                .assert_status(200)
                .header("x-gatekeeper-budget-remaining-usd"),
            None,
            "only block budgets have a remainder"
        );
    }
    let budget = &budgets(&gateway, &team)[0];
    assert_eq!(
        (text(budget, "spent"), text(budget, "action")),
        ("0.00044".to_owned(), "warn".to_owned())
    );
    gateway.usage();
    let mut rows = gateway.requests();
    rows.reverse();
    let flags: Vec<&Value> = rows.iter().map(|row| &row["flags"]).collect();
    // the flag follows spent, not held: the third call is the first over the limit
    assert_eq!(
        flags,
        [
            &json!([]),
            &json!([]),
            &json!(["over_warning"]),
            &json!(["over_warning"])
        ]
    );
}

#[test]
fn model_pattern_budget_counts_matching_calls() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([{"limit": "0.0003", "model": "m-l*"}, {"limit": "0.0005", "model": "up/m-small"}, {"limit": "10"}]),
    );
    let user = gateway.user(&key);
    let large = |name: &str| {
        let mut body = call();
        body["model"] = json!(name);
        body
    };
    user.chat(&large("m-large")).assert_status(200);
    let refusal = user.chat(&large("up/m-large"));
    assert_eq!(refusal.assert_status(402).error_type(), "budget_exceeded");
    assert_eq!(count_served(&gateway, &key).0, 3);
    let spent: Vec<String> = budgets(&gateway, &team)
        .iter()
        .map(|budget| text(budget, "spent"))
        .collect();
    assert_eq!(spent, ["0.00011", "0.00033", "0.00044"]);
}

#[test]
fn remaining_budget_header_is_smallest_remainder() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, _) = team(&mut gateway, &json!([{"limit": "5"}]));
    let key = gateway.key(&json!({"name": "small", "team": team.id, "budget_limit": "0.001", "budget_period": "daily"}));
    let response = gateway.user(&key).chat(&call());
    assert_eq!(
        response
            .assert_status(200)
            .header("x-gatekeeper-budget-remaining-usd"),
        Some("0.00089")
    );
    let held = gateway.admin().get(&format!("/v1/keys/{}", key.id)).json();
    assert_eq!(pico(&text(&held["budgets"][0], "held")), 0);
}

#[test]
fn remaining_and_reset_headers_are_in_responses_streams_and_refusals() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    gateway.advance_to("2026-11-24T10:00:00Z");
    let budgets = json!([{"limit": "0.0004", "period": "daily", "model": "m-sm*"}, {"limit": "1", "period": "monthly"}]);
    let (_, key) = team(&mut gateway, &budgets);
    let user = gateway.user(&key);
    let headers = |response: &crate::harness::client::Response| {
        [
            "x-gatekeeper-budget-remaining-usd",
            "x-gatekeeper-budget-reset",
        ]
        .map(|name| response.header(name).unwrap_or("").to_owned())
    };
    let reset = "2026-11-25T00:00:00Z".to_owned();
    assert_eq!(
        headers(user.chat(&call()).assert_status(200)),
        ["0.00029".to_owned(), reset.clone()]
    );
    let stream = Call::chat()
        .at_most(20)
        .streamed(true)
        .by(&mut user.connect());
    let [left, until] = headers(stream.assert_status(200));
    // the remainder includes the open hold of the stream
    assert!(
        pico(&left) > 0 && pico(&left) < pico("0.00018") && until == reset,
        "{left} {until}"
    );
    let refusal = user.chat(&Call::chat().at_most(100).body());
    assert_eq!(
        headers(refusal.assert_status(402)),
        ["0.00018".to_owned(), reset]
    );
    let message = refusal.error_message();
    assert!(
        message.contains("budget on m-sm*; resets ")
            && message.contains("Name a smaller max_tokens"),
        "{message}"
    );
    let mut long = call();
    long["messages"][0]["content"] = json!("word ".repeat(2_000));
    let message = user.chat(&long).assert_status(402).error_message();
    assert!(
        message.contains(". Ask your administrator"),
        "a smaller max_tokens would not help: {message}"
    );
}

/// In another timezone stored balances and roll-ups would not be found, and every budget would start again.
#[test]
fn timezone_change_after_first_booking_is_refused() {
    let upstream = Upstream::start();
    upstream.respond_with(crate::harness::model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("timezone = \"Europe/Berlin\"")
        .start();
    let replace_timezone = |gatekeeper: &Gatekeeper, from: &str, to: &str| {
        let config =
            std::fs::read_to_string(&gatekeeper.config).expect("the configuration is there");
        assert!(config.contains(from));
        std::fs::write(&gatekeeper.config, config.replace(from, to))
            .expect("the configuration can be written");
    };
    gatekeeper.stop();
    replace_timezone(&gatekeeper, "Europe/Berlin", "America/New_York");
    gatekeeper.start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key_of(&team);
    gatekeeper.user(&key).chat(&call()).assert_status(200);
    gatekeeper.stop();
    replace_timezone(&gatekeeper, "America/New_York", "Europe/Berlin");
    let (status, output) = gatekeeper.start_expecting_failure();
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(
        output.contains("\"America/New_York\"")
            && output.contains("\"Europe/Berlin\"")
            && output.contains("nothing was written"),
        "{output}"
    );
    replace_timezone(&gatekeeper, "Europe/Berlin", "America/New_York");
    gatekeeper.start();
    assert_eq!(gatekeeper.usage()["total"]["requests"], 1);
}

#[test]
fn warn_budget_counts_what_a_blocking_one_would_have_refused_over_a_restart() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream, "");
    let (team, key) = team(
        &mut gateway,
        &json!([
            {"limit": "0.0003", "period": "total", "action": "warn"},
            {"limit": "1", "period": "total", "action": "block"},
        ]),
    );
    let counted = |gateway: &InProcessGateway| {
        let budgets = budgets(gateway, &team);
        let member = |budget: &Value| {
            (
                budget["would_refuse_requests"].clone(),
                budget["would_refuse"].clone(),
            )
        };
        let warning = budgets.iter().find(|budget| budget["action"] == "warn");
        let blocking = budgets.iter().find(|budget| budget["action"] == "block");
        assert_eq!(
            member(blocking.expect("a budget")),
            (Value::Null, Value::Null)
        );
        member(warning.expect("a budget"))
    };
    assert_eq!(counted(&gateway), (json!(0), json!("0")));
    for _ in 0..4 {
        gateway.user(&key).chat(&call()).assert_status(200);
    }
    // two of 0.00011 fit, and what a refused one costs is not spent
    assert_eq!(counted(&gateway), (json!(2), json!("0.00022")));
    gateway.stop();
    gateway.start();
    assert_eq!(counted(&gateway), (json!(2), json!("0.00022")));
    gateway.user(&key).chat(&call()).assert_status(200);
    assert_eq!(counted(&gateway), (json!(3), json!("0.00033")));
    let listed = gateway.admin().get("/v1/budgets?action=warn").json();
    assert_eq!(listed["data"][0]["would_refuse_requests"], 3);
}
