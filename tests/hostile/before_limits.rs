//! Work is not done before limits are asked: long bodies are not read, large ones not decoded and images not fetched for calls
//! that a limit or budget refuses anyway.

use serde_json::{Value, json};

use crate::harness::client::Connection;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

fn request() -> Value {
    json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]})
}

/// Announces a body and sends none of it.
fn announce(gatekeeper: &Gatekeeper, key: &Key, bytes: usize) -> Connection {
    let mut connection = gatekeeper.anon().connect();
    connection.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: {bytes}\r\n\r\n",
        key.secret
    ));
    connection
}

#[test]
fn long_body_of_a_key_whose_limit_or_budget_is_used_up_is_refused_unread() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let limited = gatekeeper.team(&json!({"name": "limited", "rpm": 1}));
    let spent = gatekeeper.team_with_budget("spent", "0.0005");
    // the call that spends the budget costs more than its ceiling, after which the next ones are held at more
    for (team, status, code) in [
        (spent, 402, "budget_exceeded"),
        (limited, 429, "rate_limit_exceeded"),
    ] {
        let key = gatekeeper.key_of(&team);
        upstream.respond_with(crate::harness::model::with_usage(1_000, 5));
        let _ = gatekeeper.user(&key).chat(&request());
        let mut announced = announce(&gatekeeper, &key, 30_000_000);
        let refusal = announced.read_response("POST");
        assert_eq!(refusal.assert_status(status).error_type(), code);
        assert_eq!(refusal.header("connection"), Some("close"));
    }
}

#[test]
fn model_budget_without_room_is_told_before_the_request_is_translated() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&Provider::anthropic("claude", &upstream).models(&["c-small"]))
        .start();
    let audio = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let request = json!({"model": "c-small", "max_tokens": 5, "messages": [{"role": "user", "content": [audio]}]});
    let budgets = |limit: &str| json!([{"limit": limit, "model": "c-small"}]);
    for (limit, status) in [("1000", 400), ("0.000000001", 402)] {
        let name = format!("team-{status}");
        let team = gatekeeper.team(&json!({"name": name, "budgets": budgets(limit)}));
        let key = gatekeeper.key_of(&team);
        gatekeeper.user(&key).chat(&request).assert_status(status);
    }
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn bodies_in_flight_are_bounded_and_shared_between_keys() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nbody_mb = 1\nbodies_mb = 4")
        .start();
    let greedy = gatekeeper.team_with_budget("greedy", "10");
    let greedy = gatekeeper.key_of(&greedy);
    let open: Vec<Connection> = (0..2)
        .map(|_| announce(&gatekeeper, &greedy, 1_000_000))
        .collect();
    wait_until("two bodies are in flight", || {
        gatekeeper.metric("gatekeeper_body_bytes_in_flight") >= 2_000_000.0
    });
    let refusal = announce(&gatekeeper, &greedy, 1_000_000).read_response("POST");
    assert_eq!(refusal.assert_status(503).error_type(), "overloaded");
    assert!(refusal.header("retry-after").is_some());
    let good = gatekeeper.team_with_budget("good", "10");
    let good = gatekeeper.user(&gatekeeper.key_of(&good));
    let mut long = request();
    long["messages"][0]["content"] = json!("x".repeat(900_000));
    good.chat(&long).assert_status(200);
    drop(open);
    wait_until("the bytes are free again", || {
        gatekeeper.metric("gatekeeper_body_bytes_in_flight") == 0.0
    });
}

#[test]
fn shape_of_a_body_beyond_its_bounds_is_refused_with_the_number() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("team", "1000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let messages = vec![r#"{"role":"user","content":"x"}"#; 100_001].join(",");
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for (body, number) in [
        (
            format!(r#"{{"model":"m-small","messages":[{messages}]}}"#),
            "100000",
        ),
        (
            format!(r#"{{"model":"m-small","messages":[],"tools":{deep}}}"#),
            "256",
        ),
    ] {
        let refusal = user.post_bytes("/v1/chat/completions", body.as_bytes());
        let message = refusal.assert_status(400).error_message();
        assert!(message.contains(number), "{message}");
    }
    assert_eq!(upstream.request_count(), 0);
}

/// 200 fetches were made for a key with one request per minute.
#[test]
fn images_are_fetched_after_the_hold_and_count_against_rate_limits() {
    let upstream = Upstream::start();
    let pictures = Upstream::start();
    pictures.respond_with(Script::unary(404, b"gone"));
    let gemini = Provider::openai("gem", &upstream)
        .preset("gemini")
        .models(&["m-images"]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&gemini)
        .setting("[fetch]\nimages = \"on\"\nprivate_hosts = [\"127.0.0.1\"]")
        .start();
    let limited = gatekeeper.team(
        &json!({"name": "limited", "rpm": 1, "budgets": [{"limit": "1", "period": "total"}]}),
    );
    let poor = gatekeeper.team_with_budget("poor", "0.00001");
    let image =
        json!({"type": "image_url", "image_url": {"url": format!("{}/a.png", pictures.url())}});
    let body = json!({"model": "m-images", "max_tokens": 5, "messages": [{"role": "user", "content": [image]}]});
    let poor = gatekeeper.user(&gatekeeper.key_of(&poor));
    poor.chat(&body).assert_status(402);
    assert_eq!(pictures.request_count(), 0, "no money, no fetch");
    let limited = gatekeeper.user(&gatekeeper.key_of(&limited));
    limited.chat(&body).assert_status(400);
    for _ in 0..20 {
        limited.chat(&body).assert_status(429);
    }
    assert_eq!(
        pictures.request_count(),
        1,
        "one request a minute, one fetch"
    );
    assert_eq!(upstream.request_count(), 0);
}
