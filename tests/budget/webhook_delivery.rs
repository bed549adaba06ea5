//! Webhook delivery: signatures, retries, restarts and failing receivers, which never delay a request.

use std::time::{Duration, Instant};

use ring::hmac;
use serde_json::{Value, json};

use super::webhook::{KINDS, SECRET, Webhook, alert_events, call, kinds_of, send, team};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

#[test]
fn webhook_request_is_signed_and_its_url_is_never_logged() {
    let (upstream, webhook) = (Upstream::start(), Webhook::accepting());
    let mut gatekeeper = webhook.configure(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    send(&gatekeeper, &key).assert_status(200);
    assert_eq!(webhook.kinds(2), KINDS);
    for seen in webhook.receiver.requests() {
        assert_eq!(
            (seen.method(), seen.target()),
            ("POST", "/hook?token=canary-77")
        );
        assert_eq!(seen.header("content-type"), Some("application/json"));
        let signed = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()),
            &seen.body,
        );
        let signed: String = signed
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            seen.header("x-gatekeeper-signature"),
            Some(&*format!("sha256={signed}"))
        );
    }
    let output = gatekeeper.all_output();
    assert!(
        KINDS.iter().all(|kind| output.matches(kind).count() >= 1),
        "{output}"
    );
    assert!(!output.contains("canary"), "{output}");
    assert_eq!(
        webhook.messages()[0]["window_start"],
        Value::Null,
        "a total budget has no window"
    );
}

#[test]
fn webhook_failing_twice_is_retried() {
    let (upstream, failure) = (Upstream::start(), Script::json(500, &json!({})));
    let webhook = Webhook::with_script(Script::in_turn([
        failure,
        Script::closes(),
        Script::json(204, &json!({})),
    ]));
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    send(&gateway, &key).assert_status(200);
    webhook.receiver.wait_for_requests(3);
    let messages = webhook.messages();
    assert!(
        messages.windows(2).all(|pair| pair[0] == pair[1]),
        "{messages:?}"
    );
    // the next alert is sent at once, and a restart repeats none
    send(&gateway, &key).assert_status(200);
    assert_eq!(webhook.kinds(4)[0], "budget.limit");
    gateway.stop();
    gateway.start();
    send(&gateway, &key).assert_status(200);
    assert_eq!(
        (
            webhook.receiver.request_count(),
            alert_events(&gateway).len()
        ),
        (4, 2)
    );
}

#[test]
fn webhook_without_response_is_abandoned_after_three_tries() {
    let (upstream, webhook) = (Upstream::start(), Webhook::with_script(Script::hangs()));
    let mut gatekeeper = webhook.configure(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    let user = gatekeeper.user(&key);
    let mut connection = user.connect();
    connection.chat(&call()).assert_status(200);
    webhook.receiver.wait_for_requests(1);
    let start = Instant::now();
    for _ in 0..50 {
        connection.chat(&call()).assert_status(200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "fifty calls took {:?}: did each wait a second for the webhook?",
        start.elapsed()
    );
    wait_until("the alert is abandoned", || {
        gatekeeper
            .output()
            .contains("failed to send an alert to the webhook; giving up")
    });
    wait_until("the alert is abandoned", || {
        gatekeeper.output().contains("attempts=3")
    });
    assert_eq!(kinds_of(&webhook.messages()[..3]), ["budget.threshold"; 3]);
    // the second alert is tried too; a stop does not wait for it
    webhook.receiver.wait_for_requests(4);
    assert_eq!(webhook.messages()[3]["event"], "budget.limit");
    let stopped = Instant::now();
    assert_eq!(gatekeeper.stop().code(), Some(0));
    assert!(
        stopped.elapsed() < Duration::from_secs(10),
        "the stop took {:?}",
        stopped.elapsed()
    );
    webhook.receiver.respond_with(Script::json(200, &json!({})));
    let before = webhook.receiver.request_count();
    gatekeeper.start();
    webhook.receiver.wait_for_requests(before + 1);
    assert_eq!(
        webhook.messages()[before]["event"],
        "budget.limit",
        "the unsent alert is sent after the start"
    );
}

#[test]
fn webhook_unsent_at_kill_is_sent_once_after_restart() {
    let (upstream, webhook) = (Upstream::start(), Webhook::with_script(Script::hangs()));
    let mut gatekeeper = webhook.configure(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    send(&gatekeeper, &key).assert_status(200);
    webhook.receiver.wait_for_requests(1);
    gatekeeper.kill_9();
    webhook.receiver.respond_with(Script::json(200, &json!({})));
    let before = webhook.receiver.request_count();
    gatekeeper.start();
    webhook.receiver.wait_for_requests(before + 2);
    assert_eq!(kinds_of(&webhook.messages()[before..]), KINDS);
    send(&gatekeeper, &key).assert_status(200);
    gatekeeper.restart();
    send(&gatekeeper, &key).assert_status(200);
    assert_eq!(webhook.receiver.request_count(), before + 2);
    // an alert is logged before it is marked in the books: a kill in between repeats the line
    let output = gatekeeper.all_output();
    assert!(
        KINDS
            .iter()
            .all(|kind| (1..=2).contains(&output.matches(&format!("event=\"{kind}\"")).count())),
        "{output}"
    );
}

#[test]
fn webhook_of_removed_budget_is_sent_once() {
    let (upstream, webhook) = (
        Upstream::start(),
        Webhook::with_script(Script::json(503, &json!({}))),
    );
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (team, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    send(&gateway, &key).assert_status(200);
    webhook.receiver.wait_for_requests(1);
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &json!({"budgets": []}))
        .assert_status(200);
    webhook.receiver.respond_with(Script::json(200, &json!({})));
    webhook.receiver.wait_for_requests(2);
    gateway.usage();
    gateway.stop();
    gateway.start();
    send(&gateway, &key).assert_status(200);
    let other = json!({"budget_limit": "1", "budget_period": "daily"});
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &other)
        .assert_status(200);
    send(&gateway, &key).assert_status(200);
    assert_eq!(
        (
            webhook.receiver.request_count(),
            alert_events(&gateway).len()
        ),
        (2, 1)
    );
}

#[test]
fn webhook_redirect_is_not_followed() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let webhook = Webhook::with_script(
        Script::json(307, &json!({})).header("location", &format!("{}/other", other.url())),
    );
    let mut gateway = webhook.configure(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    send(&gateway, &key).assert_status(200);
    webhook.receiver.wait_for_requests(2);
    assert_eq!(other.connection_count(), 0);
}
