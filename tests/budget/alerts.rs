//! Budget alerts: one for each window at the threshold and one at the limit, in the log, the audit log and the webhook.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::webhook::{KINDS, Webhook, alert_events, call, kinds_of, send, team};
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Team};
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;
use crate::harness::workers::run_workers;

/// Checks all fields of a webhook message about the monthly budget.
fn assert_message(message: &Value, team: &Team) {
    let percent = message["percent"].as_u64().expect("a number");
    assert!((85..=100).contains(&percent), "{message}");
    assert_eq!(
        (&message["owner"], &message["owner_name"]),
        (&json!(team.id), &json!("eng")),
        "{message}"
    );
    assert_eq!(
        (&message["limit_usd"], &message["period"]),
        (&json!("0.0022"), &json!("monthly")),
        "{message}"
    );
    assert_eq!(
        (&message["window_start"], &message["window_end"]),
        (
            &json!("2026-11-01T00:00:00Z"),
            &json!("2026-12-01T00:00:00Z")
        ),
        "{message}"
    );
    assert_eq!(message["threshold_percent"], json!(85));
    assert!(
        message["budget"]
            .as_str()
            .is_some_and(|id| id.starts_with("bud_"))
            && message["settled_usd"].is_string()
    );
}

/// Checks that the audit log has one alert of each kind.
fn assert_audited(events: &[Value]) {
    let details: Vec<Value> = events.iter().map(|event| event["detail"].clone()).collect();
    assert_eq!(kinds_of(&details), KINDS);
    let is_by_process = |event: &Value| {
        event["actor"] == "process" && event["subject"] == event["detail"]["budget"]
    };
    assert!(events.iter().all(is_by_process), "{events:?}");
}

#[test]
fn alert_of_each_kind_is_sent_once_under_concurrency() {
    let (upstream, webhook) = (Upstream::start(), Webhook::accepting());
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (team, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.0022", "period": "monthly"}]),
    );
    let user = gateway.user(&key);
    let statuses = run_workers(
        50,
        200,
        |_| user.connect(),
        |connection, _| connection.chat(&call()).status,
    );
    assert!(statuses.contains(&402), "{statuses:?}");
    assert_eq!(webhook.kinds(2), KINDS);
    for message in webhook.messages() {
        assert_message(&message, &team);
    }
    assert_audited(&alert_events(&gateway));
    gateway.stop();
    gateway.start();
    send(&gateway, &key).assert_status(402);
    gateway.advance_to("2026-12-01T00:00:00Z");
    for _ in 0..18 {
        send(&gateway, &key).assert_status(200);
    }
    assert_eq!(
        webhook.kinds(3),
        ["budget.limit", "budget.threshold", "budget.threshold"],
        "a new window has its own alert"
    );
    assert_eq!(
        alert_events(&gateway).len(),
        3,
        "a restart repeats no alert"
    );
}

#[test]
fn alert_after_lowered_limit_is_sent_with_first_refusal() {
    let (upstream, webhook) = (Upstream::start(), Webhook::accepting());
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (team, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "1", "period": "monthly"}]),
    );
    for _ in 0..3 {
        send(&gateway, &key).assert_status(200);
    }
    let lower = json!({"budgets": [{"limit": "0.0001", "period": "monthly"}]});
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &lower)
        .assert_status(200);
    assert_eq!(alert_events(&gateway), Vec::<Value>::new());
    send(&gateway, &key).assert_status(402);
    assert_eq!(webhook.kinds(2), KINDS);
    assert!(
        webhook
            .messages()
            .iter()
            .all(|message| message["percent"] == 330 && message["settled_usd"] == "0.00033")
    );
}

#[test]
fn alert_on_single_oversized_call_is_not_sent() {
    let (upstream, webhook) = (Upstream::start(), Webhook::accepting());
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (_, key) = team(&mut gateway, "eng", json!([{"limit": "0.0003"}]));
    let mut large = call();
    large["max_tokens"] = json!(1_000_000);
    gateway.user(&key).chat(&large).assert_status(402);
    send(&gateway, &key).assert_status(200);
    gateway.usage();
    assert_eq!(
        (alert_events(&gateway), webhook.receiver.request_count()),
        (Vec::new(), 0)
    );
}

#[test]
fn alert_without_webhook_is_audited() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting("[alerts]\nthreshold_percent = 30")
        .start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.0003", "model": "m-*"}]),
    );
    send(&gateway, &key).assert_status(200);
    wait_until("the alert is audited", || alert_events(&gateway).len() == 1);
    let event = &alert_events(&gateway)[0];
    assert_eq!(
        (&event["action"], &event["detail"]["percent"]),
        (&json!("budget.threshold"), &json!(36))
    );
    assert_eq!(event["detail"]["model"], json!("m-*"));
}

#[test]
fn alert_during_failed_syncs_is_sent_and_audited_once() {
    let (upstream, webhook) = (Upstream::start(), Webhook::accepting());
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    gateway.disk.fail_next_syncs(6);
    for _ in 0..3 {
        send(&gateway, &key).assert_status(200);
    }
    assert_eq!(webhook.kinds(2), KINDS);
    gateway.disk.heal();
    gateway.usage();
    assert_eq!(
        (
            alert_events(&gateway).len(),
            webhook.receiver.request_count()
        ),
        (2, 2)
    );
}

/// More alerts than the queue holds, both at the start of the process and while it runs.
#[test]
fn alerts_over_queue_capacity_are_all_sent_once() {
    const TEAMS: usize = 80;
    const BUDGETS: usize = 16;
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[alerts]\nthreshold_percent = 85")
        .start();
    // a call costs $0.00011, a little more than half of each budget
    let budgets: Vec<Value> = ["*", "m-*", "m-s*", "m-small"]
        .iter()
        .flat_map(|model| {
            ["daily", "weekly", "monthly", "total"]
                .map(|period| json!({"limit": "0.0002", "action": "warn", "period": period, "model": model}))
        })
        .collect();
    assert_eq!(budgets.len(), BUDGETS);
    let keys: Vec<Key> = (0..TEAMS)
        .map(|number| team(&mut gatekeeper, &format!("eng-{number}"), json!(budgets)).1)
        .collect();
    let call_all = |gatekeeper: &Gatekeeper| {
        run_workers(
            40,
            TEAMS,
            |_| (),
            |(), number| send(gatekeeper, &keys[number]).status,
        )
        .into_iter()
        .all(|status| status == 200)
    };
    assert!(call_all(&gatekeeper));
    let config = fs::read_to_string(&gatekeeper.config).expect("the config can be read");
    fs::write(
        &gatekeeper.config,
        config.replace("threshold_percent = 85", "threshold_percent = 40"),
    )
    .expect("written");
    gatekeeper.restart();
    let logged = |gatekeeper: &Gatekeeper, kind: &str| {
        gatekeeper
            .all_output()
            .matches(&format!("event=\"{kind}\""))
            .count()
    };
    wait_until("all threshold alerts are logged", || {
        logged(&gatekeeper, "budget.threshold") >= TEAMS * BUDGETS
    });
    assert!(call_all(&gatekeeper));
    wait_until("all limit alerts are logged", || {
        logged(&gatekeeper, "budget.limit") >= TEAMS * BUDGETS
    });
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(
        [
            logged(&gatekeeper, "budget.threshold"),
            logged(&gatekeeper, "budget.limit")
        ],
        [TEAMS * BUDGETS; 2],
        "each alert is logged once"
    );
}
