//! Fixture of the clock tests: a gateway with a settable clock, and a team whose daily budget fits three calls.

use serde_json::{Value, json};

use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Team, text};
use crate::harness::upstream::Upstream;

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: i64 = 3_600_000;
/// Ten years with two and a half leap days.
pub const DECADE_MS: i64 = 87_660 * HOUR_MS;

/// Daily budget for three calls of 110 micro-dollars.
pub const DAY_LIMIT: &str = "0.0005";
pub const CALLS_PER_DAY: usize = 3;

pub struct Fixture {
    pub upstream: Upstream,
    pub gateway: InProcessGateway,
    pub team: Team,
    /// key of the team with a daily budget
    pub key: Key,
    /// key of a team without a budget
    free: Key,
}

impl Fixture {
    /// Half an hour before midnight, with the daily budget spent.
    pub fn before_midnight() -> Fixture {
        let fixture = Fixture::new();
        fixture.gateway.advance_to("2026-11-23T23:30:00Z");
        assert_eq!(fixture.count_served(), CALLS_PER_DAY);
        fixture
    }

    pub fn new() -> Fixture {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 20));
        let mut gateway = Gatekeeper::with_upstream(&upstream)
            .ledger("segment_mb = 1")
            .start_in_process();
        let budgets =
            json!([{"limit": DAY_LIMIT, "period": "daily"}, {"limit": "1", "period": "total"}]);
        let team = gateway.team(&json!({"name": "eng", "budgets": budgets}));
        let key = gateway.key_of(&team);
        let free = gateway.team(&json!({"name": "free"}));
        let free = gateway.key_of(&free);
        Fixture {
            upstream,
            gateway,
            team,
            key,
            free,
        }
    }

    /// Number of calls served until the daily budget refuses one; a call without a budget is always served.
    pub fn count_served(&self) -> usize {
        self.gateway
            .user(&self.free)
            .chat(&call())
            .assert_status(200);
        let user = self.gateway.user(&self.key);
        for served in 0..10 {
            let response = user.chat(&call());
            if response.status != 200 {
                assert!(
                    response
                        .assert_status(402)
                        .error_message()
                        .contains(" daily budget; resets "),
                    "{}",
                    response.error_message()
                );
                return served;
            }
        }
        panic!("no budget blocks");
    }

    pub fn clock(&self) -> Value {
        self.gateway
            .admin()
            .get("/v1/clock")
            .assert_status(200)
            .json()
    }

    pub fn accept_clock(&self) -> Value {
        self.gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .assert_status(200)
            .json()
    }

    /// Public status of `/readyz`, and the reason for administrators.
    fn readiness(&self) -> (String, String) {
        let public = self.gateway.anon().get("/readyz").assert_status(200).json();
        let private = self
            .gateway
            .admin()
            .get("/readyz")
            .assert_status(200)
            .json();
        assert_eq!(
            (&public["status"], &public["reason"]),
            (&private["status"], &Value::Null)
        );
        (
            text(&public, "status"),
            private["reason"].as_str().unwrap_or_default().to_owned(),
        )
    }

    pub fn assert_degraded(&self, reason_part: &str) {
        let (status, reason) = self.readiness();
        assert_eq!(status, "degraded");
        assert!(
            reason.contains(reason_part) && reason.contains("gatekeeper clock"),
            "{reason}"
        );
    }

    pub fn assert_ready(&self) {
        assert_eq!(self.readiness(), ("ready".to_owned(), String::new()));
    }

    /// Advances ten steady minutes; the clock is in step at their end, not before.
    pub fn run_ten_steady_minutes(&self) {
        assert_eq!(self.clock()["in_step"], false);
        self.gateway.clock.advance_ms(10 * MINUTE_MS - 1);
        let clock = self.clock();
        assert_eq!(
            (&clock["in_step"], &clock["steady_ms"]),
            (&json!(false), &json!(599_999)),
            "{clock}"
        );
        self.gateway.clock.advance_ms(1);
        assert_eq!(self.clock()["in_step"], true);
    }

    /// The daily budget of the team.
    pub fn daily_budget(&self) -> Value {
        let team = self
            .gateway
            .admin()
            .get(&format!("/v1/teams/{}", self.team.id))
            .assert_status(200)
            .json();
        team["budgets"][0].clone()
    }

    pub fn resets_at(&self) -> String {
        text(&self.daily_budget(), "resets_at")
    }

    /// Cost by day, oldest first.
    pub fn cost_by_day(&self) -> Vec<(String, String)> {
        self.gateway.usage();
        let path = "/v1/usage?group_by=day&start=2000-01-01&end=2100-01-01";
        let report = self.gateway.admin().get(path).assert_status(200).json();
        let rows = report["data"].as_array().expect("rows");
        rows.iter()
            .map(|row| (text(row, "day")[..10].to_owned(), text(row, "cost_usd")))
            .collect()
    }

    pub fn clock_events(&self) -> Vec<Value> {
        let mut events = self.gateway.audit();
        events.retain(|event| event["subject"] == "clock");
        events
    }
}

pub fn call() -> Value {
    json!({"model": "m-small", "max_tokens": 20, "messages": [{"role": "user", "content": "What does it cost?"}]})
}
