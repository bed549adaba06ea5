//! Strategy `cheapest`: the ceiling of this very request decides, by input, output cap, number of choices, and the rates that can apply.

use serde_json::{Value, json};

use super::fixture::{chat, decisions, rejection};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

struct Prices {
    gateway: InProcessGateway,
    /// of the provider `long`
    long: Upstream,
    key: Key,
    _others: Upstream,
}

/// Targets of different prices: cheap input (`short`), cheap output (`long`), both medium in another dialect (`c`); rates of caches
/// (`writes`, `reads`), and an answer of 64,000 tokens at most (`listed`).
fn prices() -> Prices {
    let (long, others) = (Upstream::start(), Upstream::start());
    let of_m_small = |rates: &str| format!("prices = {{ \"m-small\" = {{ {rates} }} }}");
    let routes = "[routes.three]\nstrategy = \"cheapest\"\ntargets = [\"c/c-small\", \"short/m-small\", \"long/m-small\"]\n\
        [routes.two]\nstrategy = \"cheapest\"\ntargets = [\"long/m-small\", \"short/m-small\"]\n\
        [routes.cached]\nstrategy = \"cheapest\"\ntargets = [\"writes/m-small\", \"reads/m-small\"]\n\
        [routes.longest]\nstrategy = \"cheapest\"\ntargets = [\"listed/claude-haiku-4-5\", \"short/m-small\"]\n\
        [routes.first]\nmax_retries = 0\ntargets = [\"gone/m-small\"]\nfallbacks = [\"two\"]\n\
        [routes.tight]\ntargets = [\"long/m-small\"]\ncontext_fallbacks = [\"two\"]\n";
    let mut gateway = Gatekeeper::without_providers()
        .provider(&Provider::openai("short", &others).price("1", "20"))
        .provider(&Provider::openai("long", &long).price("4", "5"))
        .provider(&Provider::anthropic("c", &others).price("2", "10"))
        .provider(&Provider::openai("gone", &Upstream::refusing()))
        .provider(&Provider::openai("writes", &others).line(&of_m_small(
            "input = \"2\", output = \"5\", cache_write = \"6\"",
        )))
        .provider(&Provider::openai("reads", &others).line(&of_m_small(
            "input = \"3\", output = \"5\", cache_read = \"0.3\"",
        )))
        .provider(
            &Provider::anthropic("listed", &others)
                .models(&["claude-haiku-4-5"])
                .priced_by("sheet"),
        )
        .setting(routes)
        .start_in_process();
    let team = gateway.team_with_budget("eng", "1000");
    let key = gateway.key_of(&team);
    Prices {
        gateway,
        long,
        key,
        _others: others,
    }
}

impl Prices {
    fn call(&self, body: &Value) -> Response {
        let user = self.gateway.user(&self.key);
        let response = user.post("/v1/chat/completions", body);
        response.assert_status(200);
        response
    }

    fn attempts(&self, response: &Response) -> Vec<Value> {
        let id = response.header("x-gatekeeper-request-id").expect("an id");
        let request = self.gateway.admin().get(&format!("/v1/requests/{id}"));
        request.json()["attempts"]
            .as_array()
            .cloned()
            .expect("attempts")
    }

    /// Provider that serves the request, by a choice that names its ceiling.
    fn chosen(&self, body: &Value) -> String {
        let response = self.call(body);
        let attempt = self.attempts(&response).remove(0);
        let chosen = attempt["chosen"].as_str().unwrap_or_default();
        assert!(chosen.starts_with("cheapest: at most $"), "{attempt}");
        attempt["provider"].as_str().unwrap_or_default().to_owned()
    }
}

/// A question of about so many bytes, with an output cap.
fn question(route: &str, bytes: usize, cap: Option<u64>) -> Value {
    let mut body = chat(route, false);
    body["messages"][0]["content"] = json!("a".repeat(bytes));
    match cap {
        Some(cap) => body["max_tokens"] = json!(cap),
        None => drop(
            body.as_object_mut()
                .and_then(|body| body.remove("max_tokens")),
        ),
    }
    body
}

#[test]
fn cheapest_follows_input_output_cap_and_choices_of_this_very_request() {
    let prices = prices();
    for (bytes, cap, expected) in [(4_000, 10, "short"), (10, 1_000, "long"), (1_000, 150, "c")] {
        let body = question("three", bytes, Some(cap));
        assert_eq!(
            prices.chosen(&body),
            expected,
            "{bytes} bytes, {cap} tokens"
        );
        // whatever the clients before asked for
        assert_eq!(
            prices.chosen(&body),
            expected,
            "{bytes} bytes, {cap} tokens"
        );
    }
    // a reasoning model's cap counts its reasoning too, by the name of the cap that such requests use
    let mut reasoning = question("three", 10, None);
    reasoning["max_completion_tokens"] = json!(1_000);
    reasoning["reasoning_effort"] = json!("high");
    assert_eq!(prices.chosen(&reasoning), "long");
    // each choice is an answer of the cap
    let mut several = question("two", 1_000, Some(50));
    assert_eq!(prices.chosen(&several), "short");
    several["n"] = json!(8);
    assert_eq!(prices.chosen(&several), "long");
}

#[test]
fn cheapest_counts_writes_into_a_cache_and_never_hopes_for_cached_input() {
    let prices = prices();
    // a write into the cache may cost $6 per million, and cached input is not certain
    assert_eq!(prices.chosen(&question("cached", 1_000, Some(50))), "reads");
}

#[test]
fn cheapest_bounds_an_answer_without_a_cap_by_the_longest_of_the_model() {
    let prices = prices();
    assert_eq!(prices.chosen(&question("longest", 10, Some(50))), "listed");
    // 64,000 tokens at $5 are more than 4,096 at $20
    assert_eq!(prices.chosen(&question("longest", 10, None)), "short");
}

#[test]
fn cheapest_target_that_fails_is_followed_by_the_next_cheapest_also_behind_a_fallback() {
    let prices = prices();
    prices
        .long
        .respond_with(rejection(503, "overloaded", "no room"));
    let body = question("three", 10, Some(1_000));
    let attempts = prices.attempts(&prices.call(&body));
    let providers: Vec<&Value> = attempts
        .iter()
        .map(|attempt| &attempt["provider"])
        .collect();
    assert_eq!(providers, ["long", "c"]);
    let too_long = rejection(400, "context_length_exceeded", "too long");
    for (route, script) in [
        ("first", rejection(503, "overloaded", "no room")),
        ("tight", too_long),
    ] {
        prices.long.respond_with(script);
        let attempts = prices.attempts(&prices.call(&question(route, 4_000, Some(10))));
        assert_eq!(decisions(&attempts), ["fallback", "-"], "{route}");
        assert_eq!(attempts[1]["provider"], "short", "{attempts:#?}");
        let chosen = attempts[1]["chosen"].as_str().unwrap_or_default();
        assert!(chosen.starts_with("cheapest: at most $"), "{chosen}");
    }
}
