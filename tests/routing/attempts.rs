//! Attempts: retries, other targets and fallbacks, with the decision, the records and the bill of each.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{Fixture, chat, decisions, rejection};
use crate::harness::gate::Gate;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{model, pico};

const TWO: &str =
    "[routes.smart]\nstrategy = \"ordered\"\ntargets = [\"a/m-small\", \"b/m-small\"]\n";

#[test]
fn x05_failure_is_retried_inside_and_billed_once() {
    let fixture = Fixture::new("[routes.smart]\ntargets = [\"a/m-small\"]\nmax_retries = 1\n");
    for streamed in [false, true] {
        let failed = rejection(500, "server_error", "something broke");
        fixture
            .a
            .respond_with(Script::in_turn([failed, model::with_usage(10, 20)]));
        let response = fixture
            .user()
            .post("/v1/chat/completions", &chat("smart", streamed));
        response.assert_status(200);
        assert_eq!(response.header("x-gatekeeper-attempts"), Some("2"));
        let attempts = fixture.attempts(&response);
        assert_eq!(decisions(&attempts), ["retry", "-"]);
        assert_eq!(attempts[0]["failure"]["class"], "broken");
        assert_eq!(attempts[0]["failure"]["vendor_code"], "server_error");
        assert_eq!(attempts[0]["upstream_status"], 500);
        assert_eq!(attempts[0]["cost_usd"], "0");
        assert_eq!(
            pico(attempts[1]["cost_usd"].as_str().expect("a cost")),
            110_000_000
        );
        assert_eq!(attempts[1]["route"], "smart");
        assert!(
            attempts[1]["chosen"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    assert_eq!(
        fixture.gateway.usage_total(),
        fixture.a.bill_total(1_000_000, 5_000_000)
    );
}

#[test]
fn x06_other_provider_answers_where_one_refuses_the_connection() {
    let fixture = Fixture::with_upstreams(TWO, Upstream::refusing(), Upstream::start());
    for response in [fixture.call("smart"), fixture.stream("smart")] {
        response.assert_status(200);
        assert_eq!(response.header("x-gatekeeper-provider"), Some("b"));
        assert_eq!(response.header("x-gatekeeper-attempts"), Some("2"));
        let attempts = fixture.attempts(&response);
        assert_eq!(decisions(&attempts), ["next_target", "-"]);
        assert_eq!(attempts[0]["failure"]["class"], "connect_failed");
        assert_eq!(attempts[0]["cost_usd"], "0");
    }
}

#[test]
fn fallback_is_planned_from_the_clients_bytes_in_its_own_dialect() {
    let fixture = Fixture::new(
        "[routes.smart]\ntargets = [\"a/m-small\"]\nmax_retries = 0\nfallbacks = [\"c/c-small\"]\n",
    );
    fixture
        .a
        .respond_with(rejection(503, "overloaded", "no room"));
    for streamed in [false, true] {
        let response = fixture
            .user()
            .post("/v1/chat/completions", &chat("smart", streamed));
        response.assert_status(200);
        assert_eq!(response.header("x-gatekeeper-provider"), Some("c"));
        assert_eq!(decisions(&fixture.attempts(&response)), ["fallback", "-"]);
        let sent = fixture.c.last_request();
        assert_eq!(
            (sent.path(), &sent.json()["model"]),
            ("/v1/messages", &json!("c-small"))
        );
        assert_eq!(fixture.a.last_request().json()["model"], "m-small");
    }
}

#[test]
fn context_too_long_goes_to_its_own_fallbacks_alone() {
    let routes = "[routes.smart]\ntargets = [\"a/m-small\"]\nfallbacks = [\"c/c-small\"]\ncontext_fallbacks = [\"b/m-big\"]\n\
                  [routes.plain]\ntargets = [\"a/m-small\"]\nfallbacks = [\"c/c-small\"]\n";
    let fixture = Fixture::new(routes);
    let message = "This model's maximum context length is 10 tokens";
    fixture
        .a
        .respond_with(rejection(400, "context_length_exceeded", message));
    let response = fixture.call("smart");
    response.assert_status(200);
    assert_eq!(response.header("x-gatekeeper-provider"), Some("b"));
    let attempts = fixture.attempts(&response);
    assert_eq!(attempts[0]["failure"]["class"], "context_too_long");
    // without such a fallback the vendor's own words are the answer
    let response = fixture.call("plain");
    assert!(response.assert_status(400).text().contains(message));
    assert_eq!(fixture.counts(), [2, 1, 0]);
}

#[test]
fn bad_request_is_never_repeated() {
    let fixture = Fixture::new(TWO);
    fixture
        .a
        .respond_with(rejection(400, "invalid_request_error", "no such field"));
    let response = fixture.call("smart");
    response.assert_status(400);
    assert_eq!(decisions(&fixture.attempts(&response)), ["give_up"]);
    assert_eq!(fixture.counts(), [1, 0, 0]);
}

#[test]
fn exhausted_attempts_tell_sdks_not_to_retry() {
    let fixture = Fixture::new(&format!("{TWO}max_retries = 0\n"));
    fixture.a.respond_with(rejection(500, "server_error", "a"));
    fixture.b.respond_with(rejection(502, "server_error", "b"));
    let response = fixture.call("smart");
    response.assert_status(502);
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(response.header("x-gatekeeper-attempts"), Some("2"));
    assert_eq!(
        decisions(&fixture.attempts(&response)),
        ["next_target", "exhausted"]
    );
    // a rate limit keeps its delay instead
    fixture.b.respond_with(
        rejection(429, "rate_limit_exceeded", "slow down").header("retry-after", "30"),
    );
    let response = fixture.call("smart");
    response.assert_status(429);
    assert_eq!(response.header("retry-after"), Some("30"));
    assert_eq!(response.header("x-should-retry"), None);
}

#[test]
fn failure_after_dispatch_is_booked_as_an_estimate_before_the_next_attempt() {
    let fixture = Fixture::new(TWO);
    fixture.a.respond_with(Script::closes());
    let response = fixture.call("smart");
    response.assert_status(200);
    let attempts = fixture.attempts(&response);
    assert_eq!(decisions(&attempts), ["next_target", "-"]);
    assert_eq!(attempts[0]["flags"], json!(["estimated"]));
    assert!(pico(attempts[0]["cost_usd"].as_str().expect("a cost")) > 0);
}

#[test]
fn stream_that_fails_before_content_is_replaced_and_after_it_is_an_error() {
    let fixture = Fixture::new(TWO);
    let start = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
                 \"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    let error = "data: {\"error\":{\"message\":\"lost it\",\"type\":\"server_error\",\"code\":\"server_error\"}}\n\n";
    let word = start.replace(
        "\"role\":\"assistant\",\"content\":\"\"",
        "\"content\":\"one \"",
    );
    let script = |events: &[&str]| Script::stream(events.iter().map(|event| (*event).to_owned()));
    fixture.a.respond_with(script(&[start, error]));
    let response = fixture.stream("smart");
    response.assert_status(200);
    assert_eq!(response.header("x-gatekeeper-provider"), Some("b"));
    assert!(!response.text().contains("lost it") && response.text().contains("[DONE]"));
    fixture.a.respond_with(script(&[start, &word, error]));
    let response = fixture.stream("smart");
    assert!(response.assert_status(200).text().contains("lost it"));
    let attempts = fixture.attempts(&response);
    assert_eq!(decisions(&attempts), ["give_up"]);
    assert_eq!(
        attempts[0]["failure"]["why"],
        "content had reached the client"
    );
}

#[test]
fn later_attempt_holds_its_own_budgets_and_without_room_the_first_error_stands() {
    let mut fixture = Fixture::new(TWO);
    fixture
        .a
        .respond_with(rejection(500, "server_error", "a broke"));
    let team = fixture
        .gateway
        .team(&json!({"name": "poor", "models": ["*"], "budgets": [
        {"limit": "0.000001", "period": "total", "action": "block", "model": "b/*"}]}));
    let key = fixture.gateway.key_of(&team);
    let call = |model: &str| {
        let user = fixture.gateway.user(&key);
        user.post("/v1/chat/completions", &chat(model, false))
    };
    let response = call("smart");
    assert!(response.assert_status(502).text().contains("a broke"));
    assert_eq!(fixture.counts(), [1, 0, 0]);
    // the same budget does not hinder the target that it does not count
    fixture.a.respond_with(model::with_usage(10, 20));
    call("smart").assert_status(200);
    call("b/m-small").assert_status(402);
}

#[test]
fn later_attempt_never_waits_for_budget_that_another_call_holds() {
    let mut fixture = Fixture::new(&format!("{TWO}[limits]\nqueue_wait_s = 60\n"));
    let broken = rejection(500, "server_error", "a broke");
    fixture.a.respond_with(broken);
    let gate = Gate::default();
    fixture
        .b
        .respond_with(model::with_usage(10, 20).held_by(&gate));
    // room for the ceiling of one call to `b`, whose cost leaves room for another
    let team = fixture
        .gateway
        .team(&json!({"name": "one", "models": ["*"], "budgets": [
        {"limit": "0.00055", "period": "total", "action": "block", "model": "b/*"}]}));
    let key = fixture.gateway.key_of(&team);
    let user = fixture.gateway.user(&key);
    let call = |model: &str| user.post("/v1/chat/completions", &chat(model, false));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call("b/m-small"));
        fixture.b.wait_for_requests(1);
        let start = Instant::now();
        let refused = call("smart");
        assert!(refused.assert_status(502).text().contains("a broke"));
        assert!(start.elapsed() < Duration::from_secs(30), "it waited");
        gate.open();
        first.join().expect("an answer").assert_status(200);
    });
    call("smart").assert_status(200);
    assert_eq!(
        fixture.b.request_count(),
        2,
        "room came with the settlement"
    );
}

#[test]
fn weights_are_exact_and_equal_for_streams_and_whole_responses() {
    let fixture = Fixture::new(
        "[routes.smart]\ntargets = [{ model = \"a/m-small\", weight = 3 }, \"b/m-small\"]\n",
    );
    for round in 0..20 {
        let response = match round % 2 {
            0 => fixture.call("smart"),
            _ => fixture.stream("smart"),
        };
        response.assert_status(200);
    }
    assert_eq!(fixture.counts(), [15, 5, 0]);
}
