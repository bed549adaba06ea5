//! Deployments that die and heal: out of the rotation within a second, back within one probe interval, whatever became of the probes
//! before. Figure: time that a failover adds.

use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{Fixture, chat, rejection};
use crate::harness::client::Response;
use crate::harness::gate::Gate;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{model, print_figure, wait_until};

const ORDERED: &str = "[limits]\nprobe_interval_s = 3\n\
    [routes.smart]\nstrategy = \"ordered\"\ntargets = [\"a/m-small\", \"b/m-small\"]\n";

fn failures() -> [Script; 4] {
    [
        rejection(500, "server_error", "broken"),
        rejection(429, "rate_limit_exceeded", "slow down"),
        rejection(401, "invalid_api_key", "no"),
        Script::closes(),
    ]
}

impl Fixture {
    fn health_of_a(&self) -> Value {
        let health = self.gateway.admin().get("/v1/routes/smart/health");
        health.assert_status(200).json()["deployments"][0].clone()
    }

    /// A call in a thread of its own.
    fn spawn(&self, streamed: bool) -> JoinHandle<Response> {
        let (user, body) = (self.user(), chat("smart", streamed));
        std::thread::spawn(move || user.post("/v1/chat/completions", &body))
    }

    /// Calls until the breaker of `a` opens.
    fn open_breaker(&self) {
        for _ in 0..5 {
            self.call("smart").assert_status(200);
        }
        assert_eq!(self.health_of_a()["state"], "open");
    }
}

/// A gateway whose `a` failed until its breaker opened, and the call that probes it, which gets this response.
fn probed_with(response: Script, streamed: bool) -> (Fixture, JoinHandle<Response>) {
    let fixture = Fixture::new(ORDERED);
    let broken = rejection(500, "server_error", "broken");
    fixture.a.respond_with(broken);
    fixture.open_breaker();
    fixture.a.respond_with(response);
    fixture.gateway.clock.advance_ms(3_000);
    let probe = fixture.spawn(streamed);
    (fixture, probe)
}

#[test]
fn healed_deployment_is_back_within_one_probe_interval_after_any_number_of_failed_probes() {
    for failure in failures() {
        let fixture = Fixture::new(ORDERED);
        fixture.a.respond_with(failure);
        fixture.open_breaker();
        // an outage of a minute: one probe per interval, and never a longer cooldown
        for _ in 0..20 {
            let calls = fixture.a.request_count();
            fixture.gateway.clock.advance_ms(3_000);
            for _ in 0..3 {
                fixture.call("smart").assert_status(200);
            }
            assert_eq!(fixture.a.request_count(), calls + 1);
            let cooldown_ms = fixture.health_of_a()["cooldown_ms"].as_u64();
            assert!(cooldown_ms.is_some_and(|ms| ms <= 3_000), "{cooldown_ms:?}");
        }
        fixture.a.respond_with(model::with_usage(10, 20));
        let calls = fixture.a.request_count();
        fixture.gateway.clock.advance_ms(2_900);
        fixture.call("smart").assert_status(200);
        assert_eq!(fixture.a.request_count(), calls, "within the interval");
        fixture.gateway.clock.advance_ms(100);
        for _ in 0..3 {
            fixture.call("smart").assert_status(200);
        }
        assert_eq!(fixture.a.request_count(), calls + 3, "back at once");
    }
}

#[test]
fn probe_that_hangs_does_not_keep_a_healed_deployment_away() {
    let gate = Gate::default();
    let (fixture, hung) = probed_with(model::with_usage(10, 20).held_by(&gate), false);
    fixture.a.wait_for_requests(6);
    assert_eq!(fixture.health_of_a()["state"], "half_open");
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.a.request_count(), 6, "one probe per interval");
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.gateway.clock.advance_ms(3_000);
    fixture.call("smart").assert_status(200);
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.a.request_count(), 8);
    assert_eq!(fixture.health_of_a()["state"], "closed");
    gate.open();
    hung.join().expect("answered").assert_status(200);
}

#[test]
fn deployment_is_back_with_the_first_content_of_a_long_stream() {
    let gate = Gate::default();
    // the head, a first delta, then a pause
    let (fixture, long) = probed_with(model::with_usage(10, 20).held_after(4, &gate), true);
    wait_until("the deployment is back", || {
        fixture.health_of_a()["state"] == "closed"
    });
    fixture.a.respond_with(model::with_usage(10, 20));
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.a.request_count(), 7);
    gate.open();
    let long = long.join().expect("answered");
    assert!(long.text().contains("[DONE]"), "{}", long.text());
}

#[test]
fn answer_that_began_before_a_limit_does_not_end_the_pause_that_the_vendor_asks_for() {
    let fixture = Fixture::new(ORDERED);
    let gate = Gate::default();
    fixture
        .a
        .respond_with(model::with_usage(10, 20).held_by(&gate));
    let early = fixture.spawn(false);
    fixture.a.wait_for_requests(1);
    let limited = rejection(429, "rate_limit_exceeded", "slow down");
    fixture.a.respond_with(limited.header("retry-after", "30"));
    fixture.call("smart").assert_status(200);
    gate.open();
    early.join().expect("answered").assert_status(200);
    let health = fixture.health_of_a();
    assert_eq!(
        (&health["state"], &health["cooldown_ms"]),
        (&json!("open"), &json!(30_000))
    );
    fixture.gateway.clock.advance_ms(29_000);
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.a.request_count(), 2);
}

#[test]
fn dead_deployment_is_out_of_the_rotation_within_a_second_at_50_requests_per_second() {
    let even = "[routes.smart]\ntargets = [\"a/m-small\", \"b/m-small\"]\n";
    let dead = [
        Fixture::with_upstreams(even, Upstream::refusing(), Upstream::start()),
        Fixture::new(even),
        Fixture::new(even),
    ];
    dead[1].a.respond_with(Script::closes());
    dead[2]
        .a
        .respond_with(rejection(503, "overloaded", "no room"));
    for fixture in dead {
        let first_attempts_at_a = |calls: usize| {
            let at_a = (0..calls).filter(|_| {
                let response = fixture.call("smart");
                response.assert_status(200);
                fixture.gateway.clock.advance_ms(20);
                response.header("x-gatekeeper-attempts") == Some("2")
            });
            at_a.count()
        };
        // a second, then those until the first probe
        assert_eq!(first_attempts_at_a(50), 5);
        assert_eq!(first_attempts_at_a(150), 0);
    }
}

#[test]
fn failover_calls_the_next_target_at_once() {
    let rounds: usize =
        std::env::var("GK_FAILOVERS").map_or(20, |text| text.parse().expect("a number"));
    let fixture = Fixture::new(ORDERED);
    fixture
        .a
        .respond_with(rejection(500, "server_error", "broken"));
    let mut added: Vec<Duration> = (0..rounds)
        .map(|round| {
            match round % 2 {
                0 => fixture.call("smart"),
                _ => fixture.stream("smart"),
            }
            .assert_status(200);
            // `a` answers at once: from its call to that of `b`
            let (failed, next) = (fixture.a.last_request().at, fixture.b.last_request().at);
            // the next call is a probe, or one of the first five
            fixture.gateway.clock.advance_ms(3_000);
            next - failed
        })
        .collect();
    assert_eq!(fixture.counts(), [rounds, rounds, 0]);
    added.sort_unstable();
    let at = |percent: usize| added[(added.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    print_figure(
        "failover, from the call that fails at once to the next one, median and p99",
        &format!("{:.2} ms, {:.2} ms, {rounds} times", at(50), at(99)),
    );
}
