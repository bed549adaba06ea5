//! Rate limits on key, team and organization: a burst per minute, then a steady rate. Refused calls take nothing; changes
//! apply at once.

use serde_json::{Value, json};

use super::call::{Call, is_complete};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Instance, Key, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const MINUTE_MS: u64 = 60_000;

pub fn start_gateway(upstream: &Upstream) -> InProcessGateway {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .start_in_process()
}

/// Creates a key in a new team, both with these limits.
pub fn create_key_in_team(instance: &mut Instance, mut team: Value, mut key: Value) -> Key {
    team["name"] = json!("eng");
    let team = instance.team(&team);
    (key["name"], key["team"]) = (json!("ci"), json!(team.id));
    instance.key(&key)
}

/// Creates a key with these limits in a new team without limits.
pub fn create_key(instance: &mut Instance, terms: Value) -> Key {
    create_key_in_team(instance, json!({}), terms)
}

pub fn call() -> Value {
    Call::chat().at_most(20).body()
}

/// Number of served calls of this many in sequence; the others must be refused by a rate limit.
fn count_served(gateway: &InProcessGateway, key: &Key, calls: usize) -> usize {
    let mut user = gateway.user(key).connect();
    (0..calls)
        .filter(|_| check_served(&Call::chat().at_most(20).by(&mut user)))
        .count()
}

/// True if the call was served; otherwise checks that a rate limit refused it, with a time to retry.
#[track_caller]
pub fn check_served(response: &Response) -> bool {
    if response.status == 200 {
        assert!(is_complete(response), "{}", response.text());
        return true;
    }
    let code = response.assert_status(429).error_type();
    assert!(
        matches!(&*code, "rate_limit_exceeded" | "rate_limit_error"),
        "{}",
        response.text()
    );
    assert!(retry_after(response) >= 1);
    false
}

#[track_caller]
pub fn retry_after(response: &Response) -> u64 {
    response
        .header("retry-after")
        .and_then(|value| value.parse().ok())
        .expect("whole seconds to wait")
}

pub fn show_key(instance: &Instance, key: &Key) -> Value {
    instance
        .admin()
        .get(&format!("/v1/keys/{}", key.id))
        .assert_status(200)
        .json()
}

pub fn change_key(instance: &Instance, key: &Key, change: &Value) -> Value {
    instance
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), change)
        .assert_status(200)
        .json()
}

#[test]
fn rate_limit_allows_burst_then_refills_steadily() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({"rpm": 6}));
    assert_eq!(count_served(&gateway, &key, 9), 6, "the burst");
    for (elapsed_ms, served, wait_s) in [
        (0, 0, 10),
        (9_001, 0, 1),
        (999, 1, 10),
        (25_000, 2, 5),
        (5 * MINUTE_MS, 6, 10),
    ] {
        gateway.clock.advance_ms(elapsed_ms);
        assert_eq!(
            count_served(&gateway, &key, 9),
            served,
            "after {elapsed_ms} ms"
        );
        let refusal = gateway.user(&key).chat(&call());
        assert_eq!(
            (retry_after(&refusal), refusal.status),
            (wait_s, 429),
            "after {elapsed_ms} ms"
        );
    }
    assert_eq!(
        upstream.request_count(),
        15,
        "a refused call is not sent upstream"
    );
    assert_eq!(gateway.requests().len(), 15);
}

#[test]
fn rate_limit_refusal_names_limit_owner_in_both_dialects() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key_in_team(&mut gateway, json!({"rpm": 1}), json!({}));
    assert_eq!(count_served(&gateway, &key, 1), 1);
    let chat = gateway.user(&key).chat(&call());
    assert_eq!(
        (chat.assert_status(429).error_type(), retry_after(&chat)),
        ("rate_limit_exceeded".to_owned(), 60)
    );
    assert_eq!(chat.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(chat.header("x-ratelimit-reset-requests"), Some("1m0s"));
    assert!(
        chat.error_message().contains("allows 1 requests a minute"),
        "{}",
        chat.error_message()
    );
    let messages = gateway
        .user(&key)
        .messages(&Call::messages().at_most(20).body());
    assert_eq!(
        (
            messages.assert_status(429).error_type(),
            retry_after(&messages)
        ),
        ("rate_limit_error".to_owned(), 60)
    );
    assert_eq!(gateway.metric("gatekeeper_holds_open"), 0.0);
}

#[test]
fn rate_limit_refusal_takes_nothing_from_any_level() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let organizations = gateway.admin().get("/v1/organizations").json();
    let organization = format!(
        "/v1/organizations/{}",
        text(&organizations["data"][0], "id")
    );
    gateway
        .admin()
        .patch(&organization, &json!({"rpm": 20}))
        .assert_status(200);
    let key = create_key_in_team(
        &mut gateway,
        json!({"rpm": 10, "budget_limit": "1"}),
        json!({"rpm": 4}),
    );
    assert_eq!(count_served(&gateway, &key, 50), 4);
    let remaining = |owner: &Value| owner["limits"][0]["remaining_requests"].clone();
    let team = gateway.admin().get("/v1/teams").json()["data"][0].clone();
    let organizations = gateway.admin().get("/v1/organizations").json();
    assert_eq!(
        (remaining(&team), remaining(&organizations["data"][0])),
        (json!(6), json!(16))
    );
    assert_eq!(
        team["budgets"][0]["held"], "0",
        "no money is held for a call that a rate limit refuses"
    );
    let other = gateway.key(&json!({"name": "other", "team": "eng"}));
    assert_eq!(
        count_served(&gateway, &other, 50),
        6,
        "the remaining requests of the team"
    );
}

#[test]
fn budget_refusal_takes_no_request_of_rate_limit() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({"rpm": 2, "budget_limit": "0.00001"}));
    for _ in 0..5 {
        assert_eq!(
            gateway
                .user(&key)
                .chat(&call())
                .assert_status(402)
                .error_type(),
            "budget_exceeded"
        );
    }
    change_key(&gateway, &key, &json!({"budgets": []}));
    assert_eq!(count_served(&gateway, &key, 5), 2);
}

#[test]
fn rate_limit_with_model_pattern_counts_matching_calls() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key(
        &mut gateway,
        json!({"limits": [{"rpm": 2, "model": "m-small"}, {"rpm": 5}]}),
    );
    let of = |model: &str| json!({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]});
    let statuses: Vec<u16> = [
        "m-small", "m-small", "m-small", "m-large", "m-large", "m-large", "m-large",
    ]
    .map(|model| gateway.user(&key).chat(&of(model)).status)
    .to_vec();
    assert_eq!(statuses, [200, 200, 429, 200, 200, 200, 429]);
}

#[test]
fn token_limit_claims_maximum_and_corrects_to_usage() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({"tpm": 1000}));
    let left = |gateway: &InProcessGateway| {
        show_key(gateway, &key)["limits"][0]["remaining_tokens"].clone()
    };
    for (streamed, expected) in [(false, 970), (true, 940)] {
        let response = Call::chat()
            .at_most(400)
            .streamed(streamed)
            .by(&mut gateway.user(&key).connect());
        let remaining: u64 = response
            .header("x-ratelimit-remaining-tokens")
            .and_then(|left| left.parse().ok())
            .expect("a count");
        match streamed {
            true => assert!(
                remaining < 750,
                "{remaining} remain while the stream may use a quarter of the limit"
            ),
            false => assert_eq!(remaining, expected, "a unary response has its final usage"),
        }
        assert_eq!(left(&gateway), expected);
    }
    upstream.respond_with(model::with_usage(3_000, 20));
    gateway.user(&key).chat(&call()).assert_status(200);
    assert_eq!(left(&gateway), 0);
    let refusal = gateway.user(&key).chat(&call());
    assert!(
        refusal
            .assert_status(429)
            .error_message()
            .contains("1000 tokens a minute"),
        "{}",
        refusal.error_message()
    );
    assert!(
        (120..200).contains(&retry_after(&refusal)),
        "usage above the limit is carried over: {}",
        retry_after(&refusal)
    );
    upstream.respond_with(Script::json(
        400,
        &json!({"error": {"message": "no", "type": "invalid_request_error"}}),
    ));
    gateway.clock.advance_ms(10 * MINUTE_MS);
    gateway.user(&key).chat(&call()).assert_status(400);
    assert_eq!(left(&gateway), 1_000, "a rejected call uses no tokens");
}

#[test]
fn rate_limit_ignores_wall_clock_jumps() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({"rpm": 5}));
    assert_eq!(count_served(&gateway, &key, 9), 5);
    for jump_ms in [
        -30_000,
        -3_600_000,
        3_600_000,
        -315_576_000_000,
        315_576_000_000,
    ] {
        gateway.clock.jump_ms(jump_ms);
        assert_eq!(count_served(&gateway, &key, 9), 0, "after {jump_ms} ms");
        gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .assert_status(200);
        assert_eq!(
            count_served(&gateway, &key, 9),
            0,
            "after {jump_ms} ms were adopted"
        );
        gateway.clock.advance_ms(24_000);
        assert_eq!(
            count_served(&gateway, &key, 9),
            2,
            "the limit refills with elapsed time"
        );
    }
}

#[test]
fn rate_limit_change_applies_at_once_and_after_restart() {
    let upstream = Upstream::start();
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({"rpm": 3}));
    assert_eq!(count_served(&gateway, &key, 9), 3);
    assert_eq!(
        change_key(&gateway, &key, &json!({"rpm": 5}))["limits"][0]["remaining_requests"],
        2
    );
    assert_eq!(count_served(&gateway, &key, 9), 2);
    let changed = change_key(&gateway, &key, &json!({"rpm": 2, "max_parallel": 7}));
    assert_eq!(
        (&changed["rpm"], &changed["max_parallel"]),
        (&json!(2), &json!(7))
    );
    assert_eq!(count_served(&gateway, &key, 9), 0);
    change_key(&gateway, &key, &json!({"rpm": null}));
    assert_eq!(count_served(&gateway, &key, 9), 9);
    change_key(&gateway, &key, &json!({"rpm": 4}));
    assert_eq!(count_served(&gateway, &key, 9), 4);
    gateway.stop();
    gateway.start();
    assert_eq!(show_key(&gateway, &key)["limits"][0]["max_parallel"], 7);
    assert_eq!(
        count_served(&gateway, &key, 9),
        4,
        "the limit is full after a restart"
    );
    let audit = gateway.audit();
    let changed = audit.iter().rfind(|event| event["action"] == "key.change");
    let changed = changed.expect("the change is audited");
    assert_eq!(changed["detail"]["limits"]["to"][0]["rpm"], 4);
}

#[test]
fn rate_limit_headers_are_gateway_values_or_forwarded_without_limit() {
    let upstream = Upstream::start();
    upstream
        .respond_with(model::with_usage(10, 20).header("x-ratelimit-remaining-requests", "4999"));
    let mut gateway = start_gateway(&upstream);
    let key = create_key_in_team(
        &mut gateway,
        json!({"rpm": 6, "tpm": 60_000}),
        json!({"rpm": 60}),
    );
    let free = gateway.key(&json!({"name": "free", "team": text(&gateway.admin().get("/v1/teams").json()["data"][0], "id")}));
    for (call, remaining, reset) in [
        (Call::chat(), "5", "10s"),
        (Call::messages(), "4", "20s"),
        (Call::chat().streamed(true), "3", "30s"),
    ] {
        let response = call.at_most(20).by(&mut gateway.user(&key).connect());
        let response = response.assert_status(200);
        for (name, expected) in [
            ("x-ratelimit-limit-requests", "6"),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
            ("x-ratelimit-limit-tokens", "60000"),
            ("x-gatekeeper-upstream-ratelimit-remaining-requests", "4999"),
        ] {
            assert_eq!(response.header(name), Some(expected), "{name}");
        }
        assert!(
            response
                .header("x-ratelimit-reset-tokens")
                .is_some_and(|reset| reset.ends_with("ms"))
        );
    }
    // the team's limits apply to its other key; without limits the vendor's headers are forwarded
    assert_eq!(
        gateway
            .user(&free)
            .chat(&call())
            .header("x-ratelimit-limit-requests"),
        Some("6")
    );
    let team = text(&gateway.admin().get("/v1/teams").json()["data"][0], "id");
    gateway
        .admin()
        .patch(&format!("/v1/teams/{team}"), &json!({"limits": []}))
        .assert_status(200);
    let response = gateway.user(&free).chat(&call());
    assert_eq!(
        response.header("x-ratelimit-remaining-requests"),
        Some("4999")
    );
    assert_eq!(response.header("x-ratelimit-limit-requests"), None);
}

#[test]
fn rate_limits_over_command_line_are_set_and_shown() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let config = gatekeeper.config.to_str().expect("a path").to_owned();
    let run = |arguments: &[&str]| {
        let output = gatekeeper.run(&[arguments, &["--config", &config]].concat());
        (
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (code, made) = run(&[
        "teams",
        "create",
        "eng",
        "--rpm",
        "600",
        "--max-parallel",
        "20",
    ]);
    assert!(
        code == Some(0) && made.contains("600 requests per minute, 20 in parallel"),
        "{made}"
    );
    let (code, made) = run(&[
        "keys", "create", "--team", "eng", "--name", "ci", "--rpm", "60", "--tpm", "100000",
    ]);
    assert!(
        code == Some(0) && made.contains("60 requests per minute, 100000 tokens per minute"),
        "{made}"
    );
    assert!(
        run(&["keys", "list"])
            .1
            .contains("100000 tokens per minute")
    );
    let (code, refusal) = run(&["keys", "create", "--team", "eng", "--rpm", "0"]);
    assert_eq!(code, Some(2), "{refusal}");
}
