//! Bounds of a deployment: requests and tokens per minute, and the timeouts of target, route and provider.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{Fixture, chat, decisions};
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

#[test]
fn deployment_at_its_requests_per_minute_gets_no_calls_until_the_minute_is_over() {
    let fixture = Fixture::new(
        "[routes.smart]\nstrategy = \"ordered\"\ntargets = [{ model = \"a/m-small\", rpm = 3 }, { model = \"b/m-small\", rpm = 2 }]\n",
    );
    for _ in 0..5 {
        fixture.call("smart").assert_status(200);
    }
    assert_eq!(fixture.counts(), [3, 2, 0]);
    fixture.gateway.clock.advance_ms(20_000);
    let refused = fixture.call("smart");
    assert_eq!(
        refused.assert_status(429).error_type(),
        "rate_limit_exceeded"
    );
    let wait_s: u64 = refused
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("a delay");
    assert!((39..=41).contains(&wait_s), "{wait_s}");
    assert_eq!(fixture.counts(), [3, 2, 0]);
    fixture.gateway.clock.advance_ms(1_000 * wait_s);
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.counts(), [4, 2, 0]);
}

#[test]
fn deployment_at_its_tokens_per_minute_is_passed_over() {
    let fixture = Fixture::new(
        "[routes.smart]\nstrategy = \"ordered\"\ntargets = [{ model = \"a/m-small\", tpm = 100 }, \"b/m-small\"]\n",
    );
    for upstream in [&fixture.a, &fixture.b] {
        upstream.respond_with(model::with_usage(20, 20));
    }
    for round in 0..6 {
        let response = match round % 2 {
            0 => fixture.call("smart"),
            _ => fixture.stream("smart"),
        };
        response.assert_status(200);
    }
    // 40 tokens each: the third call would pass the bound with its estimated input
    assert_eq!(fixture.counts(), [2, 4, 0]);
    fixture.gateway.clock.advance_ms(60_000);
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.counts(), [3, 4, 0]);
}

#[test]
fn bounds_of_a_provider_hold_for_models_that_are_called_by_their_own_names() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::without_providers()
        .provider(&Provider::openai("up", &upstream).line("rpm = 2"))
        .start_in_process();
    let team = gateway.team_with_budget("eng", "10");
    let key = gateway.key_of(&team);
    let call = |model: &str| {
        let user = gateway.user(&key);
        user.post("/v1/chat/completions", &chat(model, false))
            .status
    };
    let statuses = [(); 3].map(|()| call("up/m-small"));
    assert_eq!(statuses, [200, 200, 429]);
    // each model is a deployment of its own
    assert_eq!(call("m-large"), 200);
    assert_eq!(upstream.request_count(), 3);
}

#[test]
fn refused_request_does_not_count_against_the_bounds_of_a_deployment() {
    let mut fixture =
        Fixture::new("[routes.smart]\ntargets = [{ model = \"a/m-small\", rpm = 1 }]\n");
    let team = fixture
        .gateway
        .team(&json!({"name": "poor", "models": ["*"], "budgets": [
        {"limit": "0.000001", "period": "total", "action": "block"}]}));
    let key = fixture.gateway.key_of(&team);
    let poor = fixture.gateway.user(&key);
    for _ in 0..3 {
        poor.post("/v1/chat/completions", &chat("smart", false))
            .assert_status(402);
    }
    fixture.call("smart").assert_status(200);
    fixture.call("smart").assert_status(429);
}

#[test]
fn timeouts_of_the_target_come_before_those_of_route_and_provider() {
    let (slow, fast) = (Upstream::start(), Upstream::start());
    slow.respond_with(Script::hangs());
    let routes = "[routes.by-target]\nstrategy = \"ordered\"\nhead_timeout_s = 100\n\
        targets = [{ model = \"slow/m-small\", head_timeout_s = 1 }, \"fast/m-small\"]\n\
        [routes.by-route]\nstrategy = \"ordered\"\nhead_timeout_s = 1\ntargets = [\"slow/m-small\", \"fast/m-small\"]\n\
        [routes.by-provider]\nstrategy = \"ordered\"\ntargets = [\"local/m-small\", \"fast/m-small\"]\n";
    let mut gateway = Gatekeeper::without_providers()
        .provider(&Provider::openai("slow", &slow).line("head_timeout_s = 200"))
        .provider(&Provider::openai("local", &slow).line("head_timeout_s = 1"))
        .provider(&Provider::openai("fast", &fast))
        .setting(routes)
        .start_in_process();
    let team = gateway.team_with_budget("eng", "10");
    let key = gateway.key_of(&team);
    let start = Instant::now();
    for route in ["by-target", "by-route", "by-provider"] {
        let user = gateway.user(&key);
        let response = user.post("/v1/chat/completions", &chat(route, false));
        response.assert_status(200);
        assert_eq!(response.header("x-gatekeeper-provider"), Some("fast"));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn host_that_takes_no_connection_is_given_up_by_the_connect_timeout_and_costs_nothing() {
    // a listener whose queue is full answers no SYN
    let full = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = full.local_addr().expect("bound");
    let _waiting: Vec<_> = (0..200)
        .map_while(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()
        })
        .collect();
    let fast = Upstream::start();
    let routes = "[routes.smart]\nstrategy = \"ordered\"\nconnect_timeout_s = 1\n\
        targets = [\"full/m-small\", \"fast/m-small\"]\n";
    let mut gateway = Gatekeeper::without_providers()
        .provider(&Provider::openai("full", &fast).base_url(&format!("http://{address}/v1")))
        .provider(&Provider::openai("fast", &fast))
        .setting(routes)
        .start_in_process();
    let team = gateway.team_with_budget("eng", "10");
    let key = gateway.key_of(&team);
    let user = gateway.user(&key);
    let response = user.post("/v1/chat/completions", &chat("smart", false));
    response.assert_status(200);
    let id = response.header("x-gatekeeper-request-id").expect("an id");
    let request = gateway.admin().get(&format!("/v1/requests/{id}")).json();
    let attempts = request["attempts"].as_array().expect("attempts");
    assert_eq!(decisions(attempts), ["next_target", "-"]);
    assert_eq!(attempts[0]["failure"]["class"], "connect_failed");
    assert_eq!(attempts[0]["cost_usd"], "0");
    assert!(
        attempts[0]["upstream_error_detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("connect_timeout")),
        "{}",
        attempts[0]
    );
}

#[test]
fn timeout_headers_of_the_client_shorten_and_never_extend() {
    let routes = "[routes.smart]\nmax_retries = 0\nhead_timeout_s = 1\ntargets = [\"a/m-small\"]\n";
    let fixture = Fixture::new(routes);
    fixture.a.respond_with(Script::hangs());
    let start = Instant::now();
    for (header, value, most_ms) in [
        ("x-stainless-read-timeout", "0.2", 1_000),
        ("x-stainless-timeout", "0.2", 1_000),
        ("x-gatekeeper-timeout-ms", "200", 1_000),
        ("x-stainless-read-timeout", "600", 30_000),
        ("x-stainless-timeout", "600", 30_000),
        ("x-gatekeeper-timeout-ms", "600000", 30_000),
    ] {
        let began = Instant::now();
        let user = fixture.user().with(header, value);
        let response = user.post("/v1/chat/completions", &chat("smart", false));
        response.assert_status(504);
        let took_ms = began.elapsed().as_millis();
        let least_ms = if most_ms == 1_000 { 150 } else { 950 };
        assert!(took_ms >= least_ms, "{header}: {value}: {took_ms} ms");
        let told = response.text();
        assert_eq!(
            told.contains("within 1 s"),
            most_ms > 1_000,
            "{header}: {value}: {told}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}
