//! Scripts of upstream behaviour against what follows: each failure class as stream and whole, at the first, a middle and the last
//! target, at a vendor of the client's dialect and of another; then random scripts against the upstreams' bills.

use serde_json::{Value, json};

use super::fixture::{chat, decisions, rejection};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::rng::SeededRng;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{pico, wait_until};

const CLASSES: [&str; 11] = [
    "rate_limited",
    "overloaded",
    "timed_out",
    "connect_failed",
    "context_too_long",
    "content_filtered",
    "bad_request",
    "bad_credential",
    "quota_exhausted",
    "model_not_found",
    "broken",
];

#[derive(Clone, Copy, Debug)]
enum Position {
    First,
    Middle,
    Last,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    class: &'static str,
    streamed: bool,
    position: Position,
    other_dialect: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for class in CLASSES {
        for streamed in [false, true] {
            for position in [Position::First, Position::Middle, Position::Last] {
                for other_dialect in [false, true] {
                    cases.push(Case {
                        class,
                        streamed,
                        position,
                        other_dialect,
                    });
                }
            }
        }
    }
    cases
}

impl Case {
    /// Provider whose target fails in the class.
    fn failing(&self) -> &'static str {
        match (self.class, self.other_dialect) {
            ("connect_failed", false) => "dead",
            ("connect_failed", true) => "dead-c",
            (_, false) => "a",
            (_, true) => "c",
        }
    }

    /// Providers of the route in order, of the same dialect as the client but for the failing one.
    fn providers(&self) -> [&'static str; 3] {
        let failing = self.failing();
        match self.position {
            Position::First => [failing, "b", "d"],
            Position::Middle => ["b", failing, "d"],
            Position::Last => ["b", "d", failing],
        }
    }

    /// Place of the failing target.
    fn place(&self) -> usize {
        match self.position {
            Position::First => 0,
            Position::Middle => 1,
            Position::Last => 2,
        }
    }

    /// Status of the answer if no target answers well.
    fn status(&self) -> u16 {
        match self.class {
            // the vendor's 402 is the operator's to mend
            "quota_exhausted" if self.other_dialect => 502,
            "rate_limited" | "quota_exhausted" => 429,
            "overloaded" => 503,
            "timed_out" => 504,
            "context_too_long" | "content_filtered" | "bad_request" => 400,
            _ => 502,
        }
    }
}

/// Response of a chat vendor that fails in the class.
fn chat_failure(class: &str) -> Script {
    match class {
        "rate_limited" => rejection(429, "rate_limit_exceeded", "slow down"),
        "overloaded" => rejection(503, "overloaded", "no room"),
        "timed_out" => rejection(504, "timeout", "too late"),
        "context_too_long" => rejection(400, "context_length_exceeded", "too long"),
        "content_filtered" => rejection(400, "content_filter", "no"),
        "bad_request" => rejection(400, "invalid_request_error", "no such field"),
        "bad_credential" => rejection(401, "invalid_api_key", "no"),
        "quota_exhausted" => rejection(429, "insufficient_quota", "no money"),
        "model_not_found" => rejection(404, "model_not_found", "no such model"),
        _ => rejection(500, "server_error", "broken"),
    }
}

/// Response of Anthropic's dialect.
fn messages_failure(class: &str) -> Script {
    let (status, kind, message) = match class {
        "rate_limited" => (429, "rate_limit_error", "slow down"),
        "overloaded" => (529, "overloaded_error", "no room"),
        "timed_out" => (504, "timeout_error", "too late"),
        "context_too_long" => (400, "invalid_request_error", "prompt is too long: 9 > 8"),
        "content_filtered" => (
            400,
            "invalid_request_error",
            "blocked by content filtering policy",
        ),
        "bad_request" => (400, "invalid_request_error", "no such field"),
        "bad_credential" => (401, "authentication_error", "no"),
        "quota_exhausted" => (402, "billing_error", "no money"),
        "model_not_found" => (404, "not_found_error", "no such model"),
        _ => (500, "api_error", "broken"),
    };
    Script::json(
        status,
        &json!({"type": "error", "error": {"type": kind, "message": message}}),
    )
}

struct Scripts {
    gateway: InProcessGateway,
    upstreams: [Upstream; 4],
    key: Key,
}

impl Scripts {
    /// A gateway with a route and models of its own for every case, so that no cooldown of one case meets another.
    fn new(cases: &[Case], settings: &str) -> Scripts {
        let models: Vec<String> = (0..cases.len().max(1)).map(|n| format!("m-{n}")).collect();
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let upstreams = [(); 4].map(|()| Upstream::start());
        let [a, b, c, d] = &upstreams;
        let closed = Upstream::refusing();
        let mut routes = settings.to_owned();
        for (number, case) in cases.iter().enumerate() {
            let targets = case
                .providers()
                .map(|name| format!("\"{name}/m-{number}\""));
            routes += &format!(
                "[routes.r-{number}]\nstrategy = \"ordered\"\nmax_retries = 0\ntargets = [{}]\n",
                targets.join(", ")
            );
        }
        let mut gateway = Gatekeeper::without_providers()
            .provider(&Provider::openai("a", a).models(&models))
            .provider(&Provider::openai("b", b).models(&models))
            .provider(&Provider::anthropic("c", c).models(&models))
            .provider(&Provider::openai("d", d).models(&models))
            .provider(&Provider::openai("dead", &closed).models(&models))
            .provider(&Provider::anthropic("dead-c", &closed).models(&models))
            .setting(&routes)
            .start_in_process();
        let team = gateway.team_with_budget("eng", "1000");
        let key = gateway.key_of(&team);
        Scripts {
            gateway,
            upstreams,
            key,
        }
    }

    fn call(&self, model: &str, streamed: bool) -> Response {
        let user = self.gateway.user(&self.key);
        user.post("/v1/chat/completions", &chat(model, streamed))
    }

    fn attempts(&self, response: &Response) -> Vec<Value> {
        let id = response.header("x-gatekeeper-request-id").expect("an id");
        let (admin, mut attempts) = (self.gateway.admin(), Vec::new());
        // on a busy machine the books may be further behind than the call waits for
        wait_until("the request is booked", || {
            let request = admin.get(&format!("/v1/requests/{id}"));
            attempts = request.json()["attempts"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            request.status == 200
        });
        attempts
    }

    fn billed(&self) -> i128 {
        let bills = self.upstreams.iter();
        bills
            .map(|upstream| upstream.bill_total(1_000_000, 5_000_000))
            .sum()
    }
}

#[test]
fn failure_of_every_class_at_every_place_leads_to_its_decisions_and_books() {
    let cases = cases();
    let scripts = Scripts::new(&cases, "");
    let [a, b, c, d] = &scripts.upstreams;
    for (number, case) in cases.iter().enumerate() {
        a.respond_with(chat_failure(case.class));
        c.respond_with(messages_failure(case.class));
        let spare = |answers: bool| match answers {
            true => model::with_usage(10, 20),
            false => rejection(503, "overloaded", "no room"),
        };
        // every target before the failing one fails too; those behind it answer
        b.respond_with(spare(case.place() == 0));
        d.respond_with(spare(case.place() < 2));
        let before = scripts.billed();
        let response = scripts.call(&format!("r-{number}"), case.streamed);
        let attempts = scripts.attempts(&response);
        let is_final = matches!(
            case.class,
            "context_too_long" | "content_filtered" | "bad_request"
        );
        let mut expected = vec!["next_target"; case.place()];
        match (case.class, case.place()) {
            ("bad_request", _) => expected.push("give_up"),
            _ if is_final => expected.push("exhausted"),
            (_, 2) => expected.push("exhausted"),
            _ => expected.extend(["next_target", "-"]),
        }
        assert_eq!(decisions(&attempts), expected, "{case:?}");
        let failed = &attempts[case.place()];
        assert_eq!(failed["failure"]["class"], case.class, "{case:?}");
        assert_eq!(failed["cost_usd"], "0", "{case:?}");
        let answers = !is_final && case.place() < 2;
        let status = if answers { 200 } else { case.status() };
        assert_eq!(response.status, status, "{case:?}: {}", response.text());
        let count = expected.len().to_string();
        assert_eq!(
            response.header("x-gatekeeper-attempts"),
            Some(count.as_str())
        );
        let should_retry = response.header("x-should-retry");
        if !answers && matches!(status, 502 | 504) && expected.len() > 1 {
            assert_eq!(should_retry, Some("false"), "{case:?}");
        }
        if matches!(status, 429 | 503) {
            assert_eq!(should_retry, None, "{case:?}");
        }
        let cost = if answers { 110_000_000 } else { 0 };
        let booked = attempts
            .iter()
            .map(|attempt| pico(attempt["cost_usd"].as_str().expect("a cost")));
        assert_eq!(booked.sum::<i128>(), cost, "{case:?}");
        assert_eq!(scripts.billed() - before, cost, "{case:?}");
    }
}

/// Response that a random number chooses: mostly failures, of the kinds that are billed too.
fn random_script(rng: &mut SeededRng, is_chat: bool) -> Script {
    let failure = |class: &str| match is_chat {
        true => chat_failure(class),
        false => messages_failure(class),
    };
    match rng.between(0, 9) {
        0 | 1 => failure(CLASSES[rng.between(0, 10) as usize]),
        2 => Script::closes(),
        3 => Script::closes().then_resets(),
        4 => model::with_usage(10, 20)
            .only(rng.between(1, 4) as usize)
            .then_closes(),
        5 => model::with_usage(10, 20).truncated_after(rng.between(0, 199) as usize),
        _ => model::with_usage(rng.between(1, 50), rng.between(1, 30)),
    }
}

#[test]
fn records_of_any_script_of_failures_are_the_upstreams_bills_and_no_hold_stays() {
    let rounds =
        std::env::var("GK_ROUTING_ROUNDS").map_or(60, |text| text.parse().expect("a number"));
    let routes = "[routes.any]\nmax_retries = 1\ntargets = [\"a/m-0\", \"b/m-0\", \"c/m-0\"]\nfallbacks = [\"d/m-0\"]\n\
        context_fallbacks = [\"d/m-0\"]\n";
    let scripts = Scripts::new(&[], routes);
    let mut rng = SeededRng::new(7);
    let mut compared = 0;
    for round in 0..rounds {
        for (number, upstream) in scripts.upstreams.iter().enumerate() {
            upstream.respond_with(random_script(&mut rng, number != 2));
        }
        let before = scripts.billed();
        let response = scripts.call("any", rng.between(0, 1) == 0);
        for upstream in &scripts.upstreams {
            upstream.wait_until_idle();
        }
        let attempts = scripts.attempts(&response);
        let is_estimated = |attempt: &Value| {
            let flags = attempt["flags"].as_array().expect("flags");
            flags.contains(&json!("estimated"))
        };
        let booked: i128 = attempts
            .iter()
            .map(|attempt| pico(attempt["cost_usd"].as_str().expect("a cost")))
            .sum();
        // usage that the vendor did not report is flagged, and never less than nothing
        if attempts.iter().any(is_estimated) {
            assert!(booked > 0, "round {round}: {attempts:?}");
        } else {
            compared += 1;
            assert_eq!(
                booked,
                scripts.billed() - before,
                "round {round}: {attempts:?}"
            );
        }
        // a minute later nothing cools down any more
        scripts.gateway.clock.advance_ms(61_000);
    }
    assert!(compared * 4 > rounds, "{compared} of {rounds} compared");
    let metrics = scripts.gateway.admin().get("/metrics").text();
    assert!(metrics.contains("gatekeeper_holds_open 0\n"), "{metrics}");
}
