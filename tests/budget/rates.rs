//! Rate limits through the door: a minute's burst and then its pace, calls at once, on key, team and organization together;
//! refused calls take nothing, and every way out gives its place back.

use serde_json::{Value, json};

use super::call::{Call, SeededRng, is_whole};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Instance, Key, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{print_figure, repetitions, wait_until};

const MINUTE_MS: u64 = 60_000;

fn house(upstream: &Upstream) -> InProcessGateway {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .start_in_process()
}

/// A key of a team of its own, both with these terms.
fn key_in_team(instance: &mut Instance, mut team: Value, mut key: Value) -> Key {
    team["name"] = json!("eng");
    let team = instance.team(&team);
    (key["name"], key["team"]) = (json!("ci"), json!(team.id));
    instance.key(&key)
}

/// A key alone, with these terms.
fn key_with(instance: &mut Instance, terms: Value) -> Key {
    key_in_team(instance, json!({}), terms)
}

fn call() -> Value {
    Call::chat().at_most(20).body()
}

/// How many of so many calls in a row are served; the others are refused by a rate limit.
fn served_of(gateway: &InProcessGateway, key: &Key, calls: usize) -> usize {
    let mut user = gateway.user(key).connect();
    (0..calls)
        .filter(|_| is_served(&Call::chat().at_most(20).by(&mut user)))
        .count()
}

/// Served whole, or refused in the right words with a time to come again.
#[track_caller]
fn is_served(answer: &Response) -> bool {
    if answer.status == 200 {
        assert!(is_whole(answer), "{}", answer.text());
        return true;
    }
    let word = answer.assert_status(429).error_type();
    assert!(
        matches!(&*word, "rate_limit_exceeded" | "rate_limit_error"),
        "{}",
        answer.text()
    );
    assert!(retry_after(answer) >= 1);
    false
}

#[track_caller]
fn retry_after(answer: &Response) -> u64 {
    answer
        .header("retry-after")
        .and_then(|value| value.parse().ok())
        .expect("whole seconds to wait")
}

fn of_key(instance: &Instance, key: &Key) -> Value {
    instance
        .admin()
        .get(&format!("/v1/keys/{}", key.id))
        .assert_status(200)
        .json()
}

fn change_key(instance: &Instance, key: &Key, change: &Value) -> Value {
    instance
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), change)
        .assert_status(200)
        .json()
}

#[test]
fn a_minute_comes_at_once_and_then_as_time_goes_by() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({"rpm": 6}));
    assert_eq!(served_of(&gateway, &key, 9), 6, "the burst");
    for (elapsed_ms, served, wait_s) in [
        (0, 0, 10),
        (9_001, 0, 1),
        (999, 1, 10),
        (25_000, 2, 5),
        (5 * MINUTE_MS, 6, 10),
    ] {
        gateway.clock.advance_ms(elapsed_ms);
        assert_eq!(
            served_of(&gateway, &key, 9),
            served,
            "after {elapsed_ms} ms"
        );
        let refused = gateway.user(&key).chat(&call());
        assert_eq!(
            (retry_after(&refused), refused.status),
            (wait_s, 429),
            "after {elapsed_ms} ms"
        );
    }
    assert_eq!(
        upstream.request_count(),
        15,
        "who is refused reaches nobody"
    );
    assert_eq!(gateway.requests().len(), 15);
}

#[test]
fn a_refusal_names_whose_limit_it_is_in_both_dialects() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_in_team(&mut gateway, json!({"rpm": 1}), json!({}));
    assert_eq!(served_of(&gateway, &key, 1), 1);
    let chat = gateway.user(&key).chat(&call());
    assert_eq!(
        (chat.assert_status(429).error_type(), retry_after(&chat)),
        ("rate_limit_exceeded".to_owned(), 60)
    );
    assert_eq!(chat.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(chat.header("x-ratelimit-reset-requests"), Some("1m0s"));
    assert!(
        chat.error_message()
            .contains("of this team allows 1 requests a minute"),
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
fn a_refused_call_takes_nothing_from_any_level() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let organizations = gateway.admin().get("/v1/organizations").json();
    let organization = format!(
        "/v1/organizations/{}",
        text(&organizations["data"][0], "id")
    );
    gateway
        .admin()
        .patch(&organization, &json!({"rpm": 20}))
        .assert_status(200);
    let key = key_in_team(
        &mut gateway,
        json!({"rpm": 10, "budget_limit": "1"}),
        json!({"rpm": 4}),
    );
    assert_eq!(served_of(&gateway, &key, 50), 4);
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
        served_of(&gateway, &other, 50),
        6,
        "what is left of the team's"
    );
}

#[test]
fn a_call_that_money_refuses_takes_no_request() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({"rpm": 2, "budget_limit": "0.00001"}));
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
    assert_eq!(served_of(&gateway, &key, 5), 2);
}

#[test]
fn a_limit_for_some_models_counts_those() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_with(
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
fn tokens_are_claimed_at_their_most_and_corrected_by_what_was_used() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({"tpm": 1000}));
    let left =
        |gateway: &InProcessGateway| of_key(gateway, &key)["limits"][0]["remaining_tokens"].clone();
    for (streamed, expected) in [(false, 970), (true, 940)] {
        let answer = Call::chat()
            .at_most(400)
            .streamed(streamed)
            .by(&mut gateway.user(&key).connect());
        let told: u64 = answer
            .header("x-ratelimit-remaining-tokens")
            .and_then(|left| left.parse().ok())
            .expect("a count");
        match streamed {
            true => assert!(
                told < 750,
                "{told} are left while it may still use a quarter of the minute"
            ),
            false => assert_eq!(told, expected, "a whole answer knows what it used"),
        }
        assert_eq!(left(&gateway), expected);
    }
    upstream.respond_with(model::with_usage(3_000, 20));
    gateway.user(&key).chat(&call()).assert_status(200);
    assert_eq!(left(&gateway), 0);
    let refused = gateway.user(&key).chat(&call());
    assert!(
        refused
            .assert_status(429)
            .error_message()
            .contains("1000 tokens a minute"),
        "{}",
        refused.error_message()
    );
    assert!(
        (120..200).contains(&retry_after(&refused)),
        "what was used beyond the minute is owed: {}",
        retry_after(&refused)
    );
    upstream.respond_with(Script::json(
        400,
        &json!({"error": {"message": "no", "type": "invalid_request_error"}}),
    ));
    gateway.clock.advance_ms(10 * MINUTE_MS);
    gateway.user(&key).chat(&call()).assert_status(400);
    assert_eq!(
        left(&gateway),
        1_000,
        "an upstream that refuses uses no tokens"
    );
}

#[test]
fn a_wall_clock_that_jumps_neither_mints_nor_stops_anything() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({"rpm": 5}));
    assert_eq!(served_of(&gateway, &key, 9), 5);
    for jump_ms in [
        -30_000,
        -3_600_000,
        3_600_000,
        -315_576_000_000,
        315_576_000_000,
    ] {
        gateway.clock.jump_ms(jump_ms);
        assert_eq!(served_of(&gateway, &key, 9), 0, "after {jump_ms} ms");
        gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .assert_status(200);
        assert_eq!(
            served_of(&gateway, &key, 9),
            0,
            "after {jump_ms} ms were adopted"
        );
        gateway.clock.advance_ms(24_000);
        assert_eq!(served_of(&gateway, &key, 9), 2, "a minute is a minute");
    }
}

#[test]
fn calls_that_run_have_their_places_in_a_limit_that_comes_later() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["stream"].as_bool() {
            Some(true) => model::with_usage(10, 20).then_hangs().only(3),
            _ => model::with_usage(10, 20),
        }
    }));
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({}));
    let stream = || {
        gateway.user(&key).open_stream(
            Call::chat().path(),
            &Call::chat().at_most(30).streamed(true).body(),
        )
    };
    let running: Vec<_> = (0..3).map(|_| stream()).collect();
    upstream.wait_for_requests(3);
    assert_eq!(
        change_key(&gateway, &key, &json!({"max_parallel": 2}))["limits"][0]["running"],
        3
    );
    gateway.user(&key).chat(&call()).assert_status(429);
    // another limit in its place counts them too, and one for other models does not
    let limits = json!({"limits": [{"max_parallel": 3, "model": "m-*"}, {"max_parallel": 1, "model": "c-*"}]});
    let shown = change_key(&gateway, &key, &limits);
    assert_eq!(
        (
            &shown["limits"][0]["running"],
            &shown["limits"][1]["running"]
        ),
        (&json!(3), &json!(0)),
        "{shown:#}"
    );
    gateway.user(&key).chat(&call()).assert_status(429);
    for stream in running {
        let _left = stream.disconnect();
    }
    crate::harness::wait_until("they have left", || gateway.holds_open() == 0);
    assert_eq!(of_key(&gateway, &key)["limits"][0]["running"], 0);
    gateway.user(&key).chat(&call()).assert_status(200);
}

#[test]
fn a_changed_limit_counts_at_once_and_outlives_a_restart() {
    let upstream = Upstream::start();
    let mut gateway = house(&upstream);
    let key = key_with(&mut gateway, json!({"rpm": 3}));
    assert_eq!(served_of(&gateway, &key, 9), 3);
    assert_eq!(
        change_key(&gateway, &key, &json!({"rpm": 5}))["limits"][0]["remaining_requests"],
        2
    );
    assert_eq!(served_of(&gateway, &key, 9), 2);
    let changed = change_key(&gateway, &key, &json!({"rpm": 2, "max_parallel": 7}));
    assert_eq!(
        (&changed["rpm"], &changed["max_parallel"]),
        (&json!(2), &json!(7))
    );
    assert_eq!(served_of(&gateway, &key, 9), 0);
    change_key(&gateway, &key, &json!({"rpm": null}));
    assert_eq!(served_of(&gateway, &key, 9), 9);
    change_key(&gateway, &key, &json!({"rpm": 4}));
    assert_eq!(served_of(&gateway, &key, 9), 4);
    gateway.stop();
    gateway.start();
    assert_eq!(of_key(&gateway, &key)["limits"][0]["max_parallel"], 7);
    assert_eq!(
        served_of(&gateway, &key, 9),
        4,
        "a restart begins with an unused minute"
    );
    let actions = gateway.audit();
    assert_eq!(
        actions.last().expect("audited")["detail"]["limits"]["to"][0]["rpm"],
        4
    );
}

#[test]
fn the_headers_are_ours_where_there_is_a_limit_and_else_the_upstreams() {
    let upstream = Upstream::start();
    upstream
        .respond_with(model::with_usage(10, 20).header("x-ratelimit-remaining-requests", "4999"));
    let mut gateway = house(&upstream);
    let key = key_in_team(
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
        let answer = call.at_most(20).by(&mut gateway.user(&key).connect());
        let answer = answer.assert_status(200);
        for (name, expected) in [
            ("x-ratelimit-limit-requests", "6"),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
            ("x-ratelimit-limit-tokens", "60000"),
            ("x-gatekeeper-upstream-ratelimit-remaining-requests", "4999"),
        ] {
            assert_eq!(answer.header(name), Some(expected), "{name}");
        }
        assert!(
            answer
                .header("x-ratelimit-reset-tokens")
                .is_some_and(|reset| reset.ends_with("ms"))
        );
    }
    // the team's limits are above its other key too; without any, the vendor's pass
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
    let answer = gateway.user(&free).chat(&call());
    assert_eq!(
        answer.header("x-ratelimit-remaining-requests"),
        Some("4999")
    );
    assert_eq!(answer.header("x-ratelimit-limit-requests"), None);
}

#[test]
fn no_rate_is_exceeded_by_five_hundred_requests_fifty_at_once() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let mut gateway = house(&upstream);
    // a claim is larger than what is used, so that many are refused at first: each asks until it is served or nothing is left
    let key = key_in_team(
        &mut gateway,
        json!({"rpm": 90, "tpm": 4_000, "max_parallel": 12}),
        json!({"max_parallel": 8}),
    );
    let calls: Vec<Call> = {
        let mut seeded = SeededRng::new(3);
        (0..500)
            .map(|_| {
                if seeded.next().is_multiple_of(2) {
                    Call::chat()
                } else {
                    Call::messages()
                }
                .at_most(20)
            })
            .collect()
    };
    let connect = |_: usize| gateway.user(&key).connect();
    let served = run_workers(50, calls.len(), connect, |connection, number| {
        is_served(
            &calls[number]
                .streamed(number.is_multiple_of(3))
                .by(connection),
        )
    });
    let served = served.into_iter().filter(|served| *served).count();
    assert!(
        upstream.in_flight_max() <= 8,
        "{} at once",
        upstream.in_flight_max()
    );
    assert!((1..=90).contains(&served), "{served} served of 90 that fit");
    let limit = of_key(&gateway, &key)["limits"][0].clone();
    assert_eq!(limit["running"], 0);
    let team = gateway.admin().get("/v1/teams").json()["data"][0]["limits"][0].clone();
    assert_eq!(
        (&team["running"], &team["remaining_requests"]),
        (&json!(0), &json!(90 - served))
    );
    assert_eq!(team["remaining_tokens"], json!(4_000 - 30 * served));
    print_figure(
        "rates",
        &format!(
            "500 requests, 50 at once, 8 in flight allowed: {} in flight, {served} of 90 served",
            upstream.in_flight_max()
        ),
    );
}

#[test]
fn every_slot_comes_back_though_three_in_ten_clients_leave() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 30).pause_ms_between(1));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let key = key_with(&mut gatekeeper, json!({"max_parallel": 30}));
    let calls = repetitions("GK_SLOTS", 300);
    let user = gatekeeper.user(&key);
    run_workers(
        40,
        calls,
        |_| (),
        |(), number| {
            let mut connection = user.connect();
            let body = Call::chat()
                .at_most(30)
                .streamed(number % 2 == 0)
                .body()
                .to_string();
            connection.send_request("POST", "/v1/chat/completions", Some(body.as_bytes()));
            match number % 10 {
                0 => connection.disconnect(),
                3 => {
                    std::thread::sleep(std::time::Duration::from_millis(number as u64 % 7));
                    connection.disconnect();
                }
                6 => drop(connection.open_response()),
                _ => drop(is_served(&connection.read_response("POST"))),
            }
        },
    );
    wait_until("every slot is free again", || {
        of_key(&gatekeeper, &key)["limits"][0]["running"] == 0
    });
    assert!(
        upstream.in_flight_max() <= 30,
        "{} at once",
        upstream.in_flight_max()
    );
    let served = run_workers(
        30,
        30,
        |_| user.connect(),
        |connection, _| is_served(&Call::chat().at_most(5).by(connection)),
    );
    assert!(
        served.into_iter().all(|served| served),
        "thirty at once have thirty slots"
    );
}

#[test]
fn a_full_house_is_told_to_come_again_in_a_second_and_a_kill_empties_it() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::hangs());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let key = key_with(&mut gatekeeper, json!({"max_parallel": 1}));
    let mut first = gatekeeper.user(&key).connect();
    first.send_request(
        "POST",
        "/v1/chat/completions",
        Some(call().to_string().as_bytes()),
    );
    upstream.wait_for_requests(1);
    let refused = gatekeeper.user(&key).chat(&call());
    assert_eq!(
        (
            refused.assert_status(429).error_type(),
            retry_after(&refused)
        ),
        ("rate_limit_exceeded".to_owned(), 1)
    );
    assert!(
        refused
            .error_message()
            .contains("of this key allows 1 calls at once"),
        "{}",
        refused.error_message()
    );
    gatekeeper.kill_9();
    upstream.respond_with(model::with_usage(10, 20));
    gatekeeper.start();
    assert_eq!(of_key(&gatekeeper, &key)["limits"][0]["running"], 0);
    gatekeeper.user(&key).chat(&call()).assert_status(200);
}

#[test]
fn the_command_line_sets_and_shows_them() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let config = gatekeeper.config.to_str().expect("a path").to_owned();
    let says = |arguments: &[&str]| {
        let output = gatekeeper.run(&[arguments, &["--config", &config]].concat());
        (
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (code, made) = says(&[
        "teams",
        "create",
        "eng",
        "--rpm",
        "600",
        "--max-parallel",
        "20",
    ]);
    assert!(
        code == Some(0) && made.contains("600 requests a minute, 20 at once"),
        "{made}"
    );
    let (code, made) = says(&[
        "keys", "create", "--team", "eng", "--name", "ci", "--rpm", "60", "--tpm", "100000",
    ]);
    assert!(
        code == Some(0) && made.contains("60 requests a minute, 100000 tokens a minute"),
        "{made}"
    );
    assert!(says(&["keys", "list"]).1.contains("100000 tokens a minute"));
    let (code, refused) = says(&["keys", "create", "--team", "eng", "--rpm", "0"]);
    assert_eq!(code, Some(2), "{refused}");
}
