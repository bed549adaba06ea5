//! What budgets say for themselves: once for each window that most of it is spent, once that it is at its limit; in the log,
//! the audit log and the webhook, and never in anybody's way.

use std::fs;
use std::time::{Duration, Instant};

use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::call::Call;
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Instance, Key, Setup, Team};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;
use crate::harness::workers::run_workers;

const SECRET: &str = "webhook-secret-canary";
const KINDS: [&str; 2] = ["budget.limit", "budget.threshold"];

/// The receiver of a webhook, and the folder that keeps the key of its signature.
struct Hook {
    receiver: Upstream,
    folder: TempDir,
}

impl Hook {
    fn that(answers: Script) -> Hook {
        let (receiver, folder) = (Upstream::start(), tempfile::tempdir().expect("a folder"));
        receiver.respond_with(answers);
        fs::write(folder.path().join("secret"), SECRET).expect("a secret can be written");
        Hook { receiver, folder }
    }

    fn takes_all() -> Hook {
        Hook::that(Script::json(200, &json!({})))
    }

    fn before(&self, upstream: &Upstream) -> Setup {
        let secret = self.folder.path().join("secret");
        let alerts = format!(
            "[alerts]\nwebhook = \"{}/hook?token=canary-77\"\nwebhook_secret = \"file:{}\"\nwebhook_timeout_s = 1",
            self.receiver.url(),
            secret.display()
        );
        Gatekeeper::with_upstream(upstream)
            .ledger("segment_mb = 1")
            .setting(&alerts)
    }

    /// What was sent so far.
    fn messages(&self) -> Vec<Value> {
        self.receiver
            .requests()
            .iter()
            .map(|seen| seen.json())
            .collect()
    }

    /// The kinds of what was sent, sorted, once there are so many.
    fn kinds(&self, count: usize) -> Vec<String> {
        self.receiver.wait_for_requests(count);
        kinds_of(&self.messages())
    }
}

fn kinds_of(messages: &[Value]) -> Vec<String> {
    let mut kinds: Vec<String> = messages
        .iter()
        .map(|message| message["event"].as_str().expect("a kind").to_owned())
        .collect();
    kinds.sort();
    kinds
}

/// The audit events of budgets' own saying.
fn audited(gateway: &InProcessGateway) -> Vec<Value> {
    gateway
        .audit()
        .into_iter()
        .filter(|event| KINDS.iter().any(|kind| event["action"] == *kind))
        .collect()
}

/// A call costs 110 micro-dollars and is held at some 195.
fn call() -> Value {
    Call::chat().at_most(20).body()
}

fn team(instance: &mut Instance, name: &str, budgets: Value) -> (Team, Key) {
    let team = instance.team(&json!({"name": name, "budgets": budgets}));
    let key = instance.key_of(&team);
    (team, key)
}

fn asks(instance: &Instance, key: &Key) -> Response {
    instance.user(key).chat(&call())
}

#[test]
fn each_kind_is_told_exactly_once_by_two_hundred_requests_fifty_at_once() {
    let (upstream, hook) = (Upstream::start(), Hook::takes_all());
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let mut gateway = hook.before(&upstream).start_in_process();
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
    assert_eq!(hook.kinds(2), KINDS);
    for message in hook.messages() {
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
            message["window_start"],
            json!("2026-11-01T00:00:00Z"),
            "{message}"
        );
        assert_eq!(
            message["window_end"],
            json!("2026-12-01T00:00:00Z"),
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
    let events = audited(&gateway);
    assert_eq!(
        kinds_of(
            &events
                .iter()
                .map(|event| event["detail"].clone())
                .collect::<Vec<_>>()
        ),
        KINDS
    );
    assert!(
        events
            .iter()
            .all(|event| event["actor"] == "process"
                && event["subject"] == event["detail"]["budget"]),
        "{events:?}"
    );
    gateway.stop();
    gateway.start();
    asks(&gateway, &key).assert_status(402);
    gateway.advance_to("2026-12-01T00:00:00Z");
    for _ in 0..18 {
        asks(&gateway, &key).assert_status(200);
    }
    assert_eq!(
        hook.kinds(3),
        ["budget.limit", "budget.threshold", "budget.threshold"],
        "a new window speaks anew"
    );
    assert_eq!(audited(&gateway).len(), 3, "a restart repeats nothing");
}

#[test]
fn what_is_sent_is_signed_and_its_address_is_shown_nowhere() {
    let (upstream, hook) = (Upstream::start(), Hook::takes_all());
    let mut gatekeeper = hook.before(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    asks(&gatekeeper, &key).assert_status(200);
    assert_eq!(hook.kinds(2), KINDS);
    for seen in hook.receiver.requests() {
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
    let said = gatekeeper.all_output();
    assert!(
        KINDS.iter().all(|kind| said.matches(kind).count() >= 1),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(
        hook.messages()[0]["window_start"],
        Value::Null,
        "a total budget has no window"
    );
}

#[test]
fn a_receiver_that_fails_twice_is_asked_a_third_time() {
    let (upstream, no) = (Upstream::start(), Script::json(500, &json!({})));
    let hook = Hook::that(Script::in_turn([
        no,
        Script::closes(),
        Script::json(204, &json!({})),
    ]));
    let mut gateway = hook.before(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    asks(&gateway, &key).assert_status(200);
    hook.receiver.wait_for_requests(3);
    let messages = hook.messages();
    assert!(
        messages.windows(2).all(|pair| pair[0] == pair[1]),
        "{messages:?}"
    );
    // the next one is heard at once, and after a restart there is nothing to repeat
    asks(&gateway, &key).assert_status(200);
    assert_eq!(hook.kinds(4)[0], "budget.limit");
    gateway.stop();
    gateway.start();
    asks(&gateway, &key).assert_status(200);
    assert_eq!(
        (hook.receiver.request_count(), audited(&gateway).len()),
        (4, 2)
    );
}

#[test]
fn a_receiver_that_never_answers_keeps_nobody_and_is_given_up_after_three_tries() {
    let (upstream, hook) = (Upstream::start(), Hook::that(Script::hangs()));
    let mut gatekeeper = hook.before(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    let user = gatekeeper.user(&key);
    let mut connection = user.connect();
    connection.chat(&call()).assert_status(200);
    hook.receiver.wait_for_requests(1);
    let begun = Instant::now();
    for _ in 0..50 {
        connection.chat(&call()).assert_status(200);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "fifty calls took {:?}",
        begun.elapsed()
    );
    wait_until("it is given up", || {
        gatekeeper
            .output()
            .contains("failed to send an alert to the webhook; giving up")
    });
    wait_until("it is given up", || {
        gatekeeper.output().contains("attempts=3")
    });
    assert_eq!(kinds_of(&hook.messages()[..3]), ["budget.threshold"; 3]);
    // the other one has its turn too; a stop waits for none of it
    hook.receiver.wait_for_requests(4);
    assert_eq!(hook.messages()[3]["event"], "budget.limit");
    let asked = Instant::now();
    assert_eq!(gatekeeper.stop().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "the stop took {:?}",
        asked.elapsed()
    );
    hook.receiver.respond_with(Script::json(200, &json!({})));
    let before = hook.receiver.request_count();
    gatekeeper.start();
    hook.receiver.wait_for_requests(before + 1);
    assert_eq!(
        hook.messages()[before]["event"],
        "budget.limit",
        "what was not sent is sent after the start"
    );
}

#[test]
fn what_was_not_sent_at_a_kill_is_sent_after_the_start_and_once_only() {
    let (upstream, hook) = (Upstream::start(), Hook::that(Script::hangs()));
    let mut gatekeeper = hook.before(&upstream).start();
    let (_, key) = team(
        &mut gatekeeper,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    asks(&gatekeeper, &key).assert_status(200);
    hook.receiver.wait_for_requests(1);
    gatekeeper.kill_9();
    hook.receiver.respond_with(Script::json(200, &json!({})));
    let before = hook.receiver.request_count();
    gatekeeper.start();
    hook.receiver.wait_for_requests(before + 2);
    assert_eq!(kinds_of(&hook.messages()[before..]), KINDS);
    asks(&gatekeeper, &key).assert_status(200);
    gatekeeper.restart();
    asks(&gatekeeper, &key).assert_status(200);
    assert_eq!(hook.receiver.request_count(), before + 2);
    // a line stands in the log before it is in the books: one that the kill came between comes twice, none is missing
    let said = gatekeeper.all_output();
    assert!(
        KINDS
            .iter()
            .all(|kind| (1..=2).contains(&said.matches(&format!("event=\"{kind}\"")).count())),
        "{said}"
    );
}

#[test]
fn a_budget_that_is_taken_away_leaves_nothing_to_say() {
    let (upstream, hook) = (Upstream::start(), Hook::that(Script::json(503, &json!({}))));
    let mut gateway = hook.before(&upstream).start_in_process();
    let (team, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    asks(&gateway, &key).assert_status(200);
    hook.receiver.wait_for_requests(1);
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &json!({"budgets": []}))
        .assert_status(200);
    hook.receiver.respond_with(Script::json(200, &json!({})));
    hook.receiver.wait_for_requests(2);
    gateway.usage();
    gateway.stop();
    gateway.start();
    asks(&gateway, &key).assert_status(200);
    let other = json!({"budget_limit": "1", "budget_period": "daily"});
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &other)
        .assert_status(200);
    asks(&gateway, &key).assert_status(200);
    assert_eq!(
        (hook.receiver.request_count(), audited(&gateway).len()),
        (2, 1)
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let (upstream, elsewhere) = (Upstream::start(), Upstream::start());
    let hook = Hook::that(
        Script::json(307, &json!({})).header("location", &format!("{}/other", elsewhere.url())),
    );
    let mut gateway = hook.before(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00012", "action": "warn"}]),
    );
    asks(&gateway, &key).assert_status(200);
    hook.receiver.wait_for_requests(2);
    assert_eq!(elsewhere.connection_count(), 0);
}

#[test]
fn lowering_a_limit_below_what_is_spent_blocks_and_is_told_with_the_first_refusal() {
    let (upstream, hook) = (Upstream::start(), Hook::takes_all());
    let mut gateway = hook.before(&upstream).start_in_process();
    let (team, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "1", "period": "monthly"}]),
    );
    for _ in 0..3 {
        asks(&gateway, &key).assert_status(200);
    }
    let lower = json!({"budgets": [{"limit": "0.0001", "period": "monthly"}]});
    gateway
        .admin()
        .patch(&format!("/v1/teams/{}", team.id), &lower)
        .assert_status(200);
    assert_eq!(audited(&gateway), Vec::<Value>::new());
    asks(&gateway, &key).assert_status(402);
    assert_eq!(hook.kinds(2), KINDS);
    assert!(
        hook.messages()
            .iter()
            .all(|message| message["percent"] == 330 && message["settled_usd"] == "0.00033")
    );
}

#[test]
fn a_single_call_that_is_too_large_says_nothing_of_the_budget() {
    let (upstream, hook) = (Upstream::start(), Hook::takes_all());
    let mut gateway = hook.before(&upstream).start_in_process();
    let (_, key) = team(&mut gateway, "eng", json!([{"limit": "0.0003"}]));
    let mut large = call();
    large["max_tokens"] = json!(1_000_000);
    gateway.user(&key).chat(&large).assert_status(402);
    asks(&gateway, &key).assert_status(200);
    gateway.usage();
    assert_eq!(
        (audited(&gateway), hook.receiver.request_count()),
        (Vec::new(), 0)
    );
}

#[test]
fn without_a_webhook_the_audit_log_is_told_and_nobody_else() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting("[alerts]\nthreshold_percent = 30")
        .start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.0003", "model": "m-*"}]),
    );
    asks(&gateway, &key).assert_status(200);
    wait_until("it is audited", || audited(&gateway).len() == 1);
    let event = &audited(&gateway)[0];
    assert_eq!(
        (&event["action"], &event["detail"]["percent"]),
        (&json!("budget.threshold"), &json!(36))
    );
    assert_eq!(event["detail"]["model"], json!("m-*"));
}

#[test]
fn what_cannot_be_written_down_is_told_once_it_can() {
    let (upstream, hook) = (Upstream::start(), Hook::takes_all());
    let mut gateway = hook.before(&upstream).start_in_process();
    let (_, key) = team(
        &mut gateway,
        "eng",
        json!([{"limit": "0.00011", "action": "warn"}]),
    );
    gateway.disk.fail_next_syncs(6);
    for _ in 0..3 {
        asks(&gateway, &key).assert_status(200);
    }
    assert_eq!(hook.kinds(2), KINDS);
    gateway.disk.heal();
    gateway.usage();
    assert_eq!(
        (audited(&gateway).len(), hook.receiver.request_count()),
        (2, 2)
    );
}

/// More than find a place to wait: what is due when the process starts, and what crosses while it runs.
#[test]
fn no_alert_is_lost_however_many_come_at_once() {
    const TEAMS: usize = 80;
    const BUDGETS: usize = 16;
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[alerts]\nthreshold_percent = 85")
        .start();
    // a call costs 0.00011, a little more than half of each
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
    let ask_all = |gatekeeper: &Gatekeeper| {
        run_workers(
            40,
            TEAMS,
            |_| (),
            |(), number| asks(gatekeeper, &keys[number]).status,
        )
        .into_iter()
        .all(|status| status == 200)
    };
    assert!(ask_all(&gatekeeper));
    let config = fs::read_to_string(&gatekeeper.config).expect("the config can be read");
    fs::write(
        &gatekeeper.config,
        config.replace("threshold_percent = 85", "threshold_percent = 40"),
    )
    .expect("written");
    gatekeeper.restart();
    let told = |gatekeeper: &Gatekeeper, kind: &str| {
        gatekeeper
            .all_output()
            .matches(&format!("event=\"{kind}\""))
            .count()
    };
    wait_until("all thresholds are told", || {
        told(&gatekeeper, "budget.threshold") >= TEAMS * BUDGETS
    });
    assert!(ask_all(&gatekeeper));
    wait_until("all limits are told", || {
        told(&gatekeeper, "budget.limit") >= TEAMS * BUDGETS
    });
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(
        [
            told(&gatekeeper, "budget.threshold"),
            told(&gatekeeper, "budget.limit")
        ],
        [TEAMS * BUDGETS; 2],
        "each once"
    );
}
