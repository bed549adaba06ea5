//! Rate limits and parallel limits under concurrency: never exceeded, and every call that ends frees its slot.

use serde_json::json;

use super::call::{Call, SeededRng};
use super::rate_limits::{
    call, change_key, check_served, create_key, create_key_in_team, retry_after, show_key,
    start_gateway,
};
use crate::harness::client::Connection;
use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{print_figure, repetitions, wait_until};

#[test]
fn parallel_limit_added_later_counts_running_calls() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["stream"].as_bool() {
            Some(true) => model::with_usage(10, 20).then_hangs().only(3),
            _ => model::with_usage(10, 20),
        }
    }));
    let mut gateway = start_gateway(&upstream);
    let key = create_key(&mut gateway, json!({}));
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
    // a replacing limit counts running calls too, a limit for other models does not
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
        let _disconnected = stream.disconnect();
    }
    wait_until("all calls have ended", || gateway.holds_open() == 0);
    assert_eq!(show_key(&gateway, &key)["limits"][0]["running"], 0);
    gateway.user(&key).chat(&call()).assert_status(200);
}

#[test]
fn rate_limits_under_concurrency_are_never_exceeded() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(2));
    let mut gateway = start_gateway(&upstream);
    // a claim exceeds the usage, so that many calls are refused at first
    let key = create_key_in_team(
        &mut gateway,
        json!({"rpm": 90, "tpm": 4_000, "max_parallel": 12}),
        json!({"max_parallel": 8}),
    );
    let calls: Vec<Call> = {
        let mut rng = SeededRng::new(3);
        (0..500)
            .map(|_| {
                if rng.next().is_multiple_of(2) {
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
        check_served(
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
    let limit = show_key(&gateway, &key)["limits"][0].clone();
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
fn parallel_limit_frees_every_slot_after_disconnects() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 30).pause_ms_between(1));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let key = create_key(&mut gatekeeper, json!({"max_parallel": 30}));
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
                _ => drop(check_served(&connection.read_response("POST"))),
            }
        },
    );
    wait_until("every slot is free", || {
        show_key(&gatekeeper, &key)["limits"][0]["running"] == 0
    });
    // no slot was freed twice either. The upstream cannot tell: it notices a call that was given up later than the gateway
    let gate = Gate::default();
    upstream.respond_with(model::with_usage(10, 5).held_by(&gate));
    let body = Call::chat().at_most(5).body();
    let mut held: Vec<Connection> = (0..30).map(|_| user.connect()).collect();
    for connection in &mut held {
        connection.send_request(
            "POST",
            "/v1/chat/completions",
            Some(body.to_string().as_bytes()),
        );
    }
    wait_until("thirty concurrent calls have thirty slots", || {
        show_key(&gatekeeper, &key)["limits"][0]["running"] == 30
    });
    user.chat(&body).assert_status(429);
    gate.open();
    for connection in &mut held {
        connection.read_response("POST").assert_status(200);
    }
}

#[test]
fn parallel_limit_reached_is_refused_and_cleared_by_kill() {
    let upstream = Upstream::start();
    upstream.respond_with(Script::hangs());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let key = create_key(&mut gatekeeper, json!({"max_parallel": 1}));
    let mut first = gatekeeper.user(&key).connect();
    first.send_request(
        "POST",
        "/v1/chat/completions",
        Some(call().to_string().as_bytes()),
    );
    upstream.wait_for_requests(1);
    let refusal = gatekeeper.user(&key).chat(&call());
    assert_eq!(
        (
            refusal.assert_status(429).error_type(),
            retry_after(&refusal)
        ),
        ("rate_limit_exceeded".to_owned(), 1)
    );
    assert!(
        refusal
            .error_message()
            .contains("of this key allows 1 calls at once"),
        "{}",
        refusal.error_message()
    );
    gatekeeper.kill_9();
    upstream.respond_with(model::with_usage(10, 20));
    gatekeeper.start();
    assert_eq!(show_key(&gatekeeper, &key)["limits"][0]["running"], 0);
    gatekeeper.user(&key).chat(&call()).assert_status(200);
}
