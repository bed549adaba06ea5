//! Bills above their ceilings: one team provokes them, the vendor bills more than was held. The next calls of the deployment are held
//! for more, unless members of the request explain the bill; other teams are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, Setup};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// More than the ceiling of [`request`], less than twice as much.
const TIGHT: &str = "0.0003";

/// Costs 30 micro-dollars and is held at about 190.
fn request() -> Value {
    json!({"model": "m-small", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]})
}

fn request_with(member: &str) -> Value {
    let mut body = request();
    body[member] = json!(100_000);
    body
}

/// Obeys the cap, but bills 510 micro-dollars when `dear` is set or one of these members comes.
fn vendor(dear: &Arc<AtomicBool>) -> Upstream {
    let (upstream, dear) = (Upstream::start(), dear.clone());
    upstream.respond_with(Script::from_request(move |received| {
        let body = received.json();
        let asked = ["n_predict", "slot_id"].iter().any(|name| body[*name].is_number());
        if !asked && !dear.load(Ordering::SeqCst) {
            return model::with_usage(5, 5);
        }
        let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}});
        Script::json(200, &answer).charging(10, 100)
    }));
    upstream
}

fn ask(gatekeeper: &Gatekeeper, key: &Key, body: &Value) -> Response {
    gatekeeper.user(key).chat(body)
}

fn key_with_budget(gatekeeper: &mut Gatekeeper, name: &str, limit: &str) -> Key {
    let team = gatekeeper.team_with_budget(name, limit);
    gatekeeper.key_of(&team)
}

/// Waits until the bill above its ceiling is an audit event; returns the newest.
fn audited(gatekeeper: &Gatekeeper) -> Value {
    let mut found = Value::Null;
    wait_until("the bill is an audit event", || {
        let page = gatekeeper
            .admin()
            .get("/v1/audit?action=deployment.over_ceiling");
        found = page.assert_status(200).json()["data"][0].clone();
        found.is_object()
    });
    found
}

fn check(gatekeeper: &Gatekeeper) -> String {
    let config = gatekeeper.config.display().to_string();
    let output = gatekeeper.run(&["check", "--config", &config]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn with_slot_id(upstream: &Upstream) -> Setup {
    let provider = Provider::openai("up", upstream).line("takes = [\"slot_id\"]");
    Gatekeeper::without_providers().provider(&provider)
}

#[test]
fn bill_above_its_ceiling_multiplies_the_ceilings_until_200_calls_stay_within() {
    let dear = Arc::new(AtomicBool::new(true));
    let (upstream, receiver) = (vendor(&dear), Upstream::start());
    receiver.respond_with(Script::json(200, &json!({})));
    let alerts = format!("[alerts]\nwebhook = \"{}/hook\"", receiver.url());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting(&alerts)
        .start();
    let provoker = key_with_budget(&mut gatekeeper, "provoker", "10");
    let (rich, tight) = (
        key_with_budget(&mut gatekeeper, "rich", "10"),
        key_with_budget(&mut gatekeeper, "tight", TIGHT),
    );
    ask(&gatekeeper, &provoker, &request()).assert_status(200);
    dear.store(false, Ordering::SeqCst);
    gatekeeper.usage();
    assert_eq!(gatekeeper.requests()[0]["flags"], json!(["over_ceiling"]));
    let event = audited(&gatekeeper);
    assert_eq!(event["subject"], "up/m-small", "{event}");
    receiver.wait_for_requests(1);
    let message = receiver.last_request().json();
    assert_eq!(message["event"], "deployment.over_ceiling");
    let factor: f64 = message["factor"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a factor");
    assert!((2.5..3.0).contains(&factor), "510 / 190: {message}");
    for _ in 0..2 {
        let refusal = ask(&gatekeeper, &tight, &request());
        let text = refusal.assert_status(402).error_message();
        assert!(text.contains("times the usual"), "{text}");
        assert!(check(&gatekeeper).contains("calls of up/m-small are held at 2."));
        ask(&gatekeeper, &rich, &request()).assert_status(200);
        gatekeeper.kill_9();
        gatekeeper.start();
    }
    let mut connection = gatekeeper.user(&rich).connect();
    let mut calls = 0;
    let mut call_until = |count| {
        while calls < count {
            connection.chat(&request()).assert_status(200);
            calls += 1;
        }
    };
    call_until(99);
    ask(&gatekeeper, &tight, &request()).assert_status(402);
    call_until(100);
    ask(&gatekeeper, &tight, &request()).assert_status(200);
    call_until(200);
    wait_until("nothing is left of it", || {
        !check(&gatekeeper).contains("up/m-small are held")
    });
    assert_eq!(receiver.request_count(), 1, "one message for one raise");
}

#[test]
fn member_that_explains_a_bill_is_refused_and_other_teams_are_served_as_before() {
    let upstream = vendor(&Arc::default());
    let mut gatekeeper = with_slot_id(&upstream).start();
    let provoker = key_with_budget(&mut gatekeeper, "provoker", "10");
    let tight = key_with_budget(&mut gatekeeper, "tight", TIGHT);
    let dear = request_with("slot_id");
    ask(&gatekeeper, &provoker, &dear).assert_status(200);
    assert_eq!(
        audited(&gatekeeper)["detail"]["members"],
        json!(["slot_id"])
    );
    ask(&gatekeeper, &tight, &request()).assert_status(200);
    for _ in 0..2 {
        let refusal = ask(&gatekeeper, &provoker, &dear);
        let text = refusal.assert_status(400).error_message();
        assert!(
            text.contains("`slot_id`") && text.contains("takes"),
            "{text}"
        );
        assert!(check(&gatekeeper).contains("with `slot_id` cost more"));
        gatekeeper.restart();
    }
    // the operator's remedy
    let config = std::fs::read_to_string(&gatekeeper.config).expect("a configuration");
    std::fs::write(
        &gatekeeper.config,
        config.replace("takes = [\"slot_id\"]", ""),
    )
    .expect("written");
    gatekeeper.restart();
    let served = ask(&gatekeeper, &provoker, &dear);
    let dropped = served
        .assert_status(200)
        .header("x-gatekeeper-dropped-params");
    assert_eq!(dropped, Some("slot_id"));
    wait_until("the rule is gone", || {
        !check(&gatekeeper).contains("slot_id")
    });
}

#[test]
fn member_sent_by_a_team_without_a_blocking_budget_raises_no_ceiling_of_another() {
    let upstream = vendor(&Arc::default());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let open = gatekeeper.team(&json!({"name": "open"}));
    let open = gatekeeper.key_of(&open);
    let tight = key_with_budget(&mut gatekeeper, "tight", TIGHT);
    for _ in 0..3 {
        ask(&gatekeeper, &open, &request_with("n_predict")).assert_status(200);
    }
    let event = audited(&gatekeeper);
    assert_eq!(event["detail"]["members"], json!(["n_predict"]), "{event}");
    assert_eq!(event["detail"]["factor"], "1");
    ask(&gatekeeper, &tight, &request()).assert_status(200);
}
