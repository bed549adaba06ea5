//! Health of deployments: cooldown and probe, strategies that look at it, affinity, and deadlines.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{Fixture, chat, decisions, rejection};
use crate::harness::model;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn route(lines: &str) -> String {
    format!("[routes.smart]\ntargets = [\"a/m-small\", \"b/m-small\"]\n{lines}\n")
}

fn broken() -> Script {
    rejection(500, "server_error", "broken")
}

#[test]
fn failing_deployment_leaves_the_rotation_and_returns_with_its_first_success() {
    let fixture = Fixture::new(&route("strategy = \"ordered\""));
    fixture.a.respond_with(broken());
    for _ in 0..10 {
        fixture.call("smart").assert_status(200);
    }
    // five failures open the breaker; from then on no client's request goes there
    assert_eq!(fixture.counts(), [5, 10, 0]);
    let available = |fixture: &Fixture| {
        let metrics = fixture.gateway.admin().get("/metrics").text();
        let line = metrics
            .lines()
            .find(|line| {
                line.starts_with("gatekeeper_deployment_available{deployment=\"a/m-small\"}")
            })
            .map(str::to_owned);
        line.expect("the deployment has a metric").ends_with(" 1")
    };
    assert!(!available(&fixture));
    // one probe after the cooldown fails, and no client notices
    fixture.gateway.clock.advance_ms(5_000);
    for _ in 0..3 {
        fixture.call("smart").assert_status(200);
    }
    assert_eq!(fixture.counts(), [6, 13, 0]);
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.gateway.clock.advance_ms(5_000);
    for _ in 0..3 {
        fixture.call("smart").assert_status(200);
    }
    assert_eq!(fixture.counts(), [9, 13, 0]);
    assert!(available(&fixture));
}

#[test]
fn only_target_is_never_cooled_down_into_certain_failure() {
    let fixture = Fixture::new("[routes.one]\ntargets = [\"a/m-small\"]\nmax_retries = 0\n");
    fixture.a.respond_with(broken());
    for _ in 0..8 {
        fixture.call("one").assert_status(502);
    }
    assert_eq!(fixture.counts(), [8, 0, 0]);
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.call("one").assert_status(200);
}

#[test]
fn one_of_three_deployments_flapping_is_not_noticed_by_clients() {
    let fixture =
        Fixture::new("[routes.three]\ntargets = [\"a/m-small\", \"b/m-small\", \"c/c-small\"]\n");
    fixture.a.respond_with(Script::in_turn((0..200).map(|n| {
        if n % 3 == 0 {
            model::with_usage(10, 20)
        } else {
            broken()
        }
    })));
    for call in 0..90 {
        let response = fixture
            .user()
            .post("/v1/chat/completions", &chat("three", call % 2 == 0));
        response.assert_status(200);
        fixture.gateway.clock.advance_ms(200);
    }
}

#[test]
fn vendor_that_names_a_delay_gets_no_call_before_it_is_over() {
    let fixture = Fixture::new(&route("strategy = \"ordered\""));
    let limited = rejection(429, "rate_limit_exceeded", "slow down").header("retry-after", "8");
    fixture.a.respond_with(limited);
    for _ in 0..4 {
        fixture.call("smart").assert_status(200);
    }
    assert_eq!(fixture.counts(), [1, 4, 0]);
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.gateway.clock.advance_ms(8_000);
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.counts(), [2, 4, 0]);
}

#[test]
fn slow_deployment_gets_few_calls_under_fastest() {
    let fixture = Fixture::new(&route("strategy = \"fastest\""));
    fixture
        .a
        .respond_with(model::with_usage(10, 20).delay_ms(300));
    for _ in 0..60 {
        fixture.call("smart").assert_status(200);
    }
    let [slow, fast, _] = fixture.counts();
    assert!((1..=2).contains(&slow), "{slow} of {} calls", slow + fast);
}

#[test]
fn conversation_keeps_its_target_until_that_cools_down() {
    let fixture = Fixture::new(&route("affinity = \"cache_key\""));
    let call = |key: &str| {
        let mut body = chat("smart", false);
        body["prompt_cache_key"] = json!(key);
        let response = fixture.user().post("/v1/chat/completions", &body);
        response.assert_status(200);
        response
            .header("x-gatekeeper-provider")
            .expect("a provider")
            .to_owned()
    };
    let targets: Vec<String> = (0..12).map(|n| call(&format!("key-{n}"))).collect();
    assert!(
        targets.contains(&"a".to_owned()) && targets.contains(&"b".to_owned()),
        "{targets:?}"
    );
    for (n, target) in targets.iter().enumerate() {
        assert_eq!(call(&format!("key-{n}")), *target);
    }
    let of_a = targets
        .iter()
        .position(|target| target == "a")
        .expect("one at a");
    fixture.a.respond_with(broken());
    for _ in 0..5 {
        assert_eq!(call(&format!("key-{of_a}")), "b");
    }
    let before = fixture.counts()[0];
    assert_eq!(call(&format!("key-{of_a}")), "b");
    assert_eq!(fixture.counts()[0], before);
}

#[test]
fn client_shortens_the_timeouts_and_the_next_target_answers() {
    let fixture = Fixture::new(&route("strategy = \"ordered\""));
    fixture.a.respond_with(Script::hangs());
    let start = Instant::now();
    let user = fixture.user().with("x-stainless-read-timeout", "0.3");
    let response = user.post("/v1/chat/completions", &chat("smart", false));
    response.assert_status(200);
    let attempts = fixture.attempts(&response);
    assert_eq!(decisions(&attempts), ["next_target", "-"]);
    assert_eq!(attempts[0]["failure"]["class"], "timed_out");
    assert_eq!(attempts[0]["flags"], json!(["estimated"]));
    // the whole call: no second attempt once the client's patience is over
    fixture.b.respond_with(Script::hangs());
    let user = fixture.user().with("x-gatekeeper-timeout-ms", "300");
    let response = user.post("/v1/chat/completions", &chat("smart", false));
    response.assert_status(504);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn first_content_in_time_is_a_condition_of_the_route() {
    let fixture = Fixture::new(&route(
        "strategy = \"ordered\"\nfirst_content_timeout_s = 1",
    ));
    let head = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
                \"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    fixture
        .a
        .respond_with(Script::stream([head.to_owned()]).then_hangs());
    let response = fixture.stream("smart");
    assert!(response.assert_status(200).text().contains("[DONE]"));
    assert_eq!(response.header("x-gatekeeper-provider"), Some("b"));
}

#[test]
fn total_outage_is_not_multiplied_by_retries() {
    let fixture = Fixture::with_upstreams(&route(""), Upstream::refusing(), Upstream::refusing());
    let mut attempts = 0;
    // the clock stands still: only the saved floor and a tenth of the requests are left
    for _ in 0..100 {
        let response = fixture.call("smart");
        response.assert_status(502);
        let count = response.header("x-gatekeeper-attempts").expect("a count");
        attempts += count.parse::<u32>().expect("a number");
    }
    assert!(
        (100..=100 + 10 + 20).contains(&attempts),
        "{attempts} attempts"
    );
}
