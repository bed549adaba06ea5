//! Billing: each vendor's own usage figures and service tiers set the cost of a call.

use serde_json::json;

use super::{COHERE, GEMINI, OLLAMA};
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{BOTH, Chat, Fixture};
use crate::inference::parsed_response::send_and_parse;

#[test]
fn c04_cohere_billed_units_are_charged() {
    // the recording reports 74 and 28 tokens besides the billed units
    let fixture = COHERE.fixture();
    for streamed in [false, true] {
        send_and_parse(
            &fixture,
            Chat,
            COHERE.request_body(Chat, json!({})),
            streamed,
            COHERE.script("text", streamed),
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 25);
    }
}

#[test]
fn c07_gemini_serving_tier_sets_price() {
    let fixture = {
        let upstream = Upstream::start();
        let provider = Provider::openai("v", &upstream)
            .preset("gemini")
            .models(&["gemini-3.8-flash"]);
        let provider = provider.base_url(&upstream.url()).priced_by("sheet");
        Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
    };
    let mut costs = Vec::new();
    for (asked, served) in [
        ("flex", Some("flex")),
        ("flex", Some("standard")),
        ("flex", None),
        ("priority", Some("priority")),
    ] {
        let script = GEMINI.script("text", false);
        fixture
            .upstream
            .respond_with(served.into_iter().fold(script, |script, tier| {
                script.header("x-gemini-service-tier", tier)
            }));
        fixture
            .user()
            .post(
                Chat.path(),
                &GEMINI.request_body(Chat, json!({"service_tier": asked})),
            )
            .assert_status(200);
        assert_eq!(
            fixture.upstream.last_request().json()["serviceTier"],
            json!(asked)
        );
        costs.push(fixture.assert_recorded().assert_ended("ok", &[]).cost());
    }
    assert!(
        costs[0] < costs[1] && costs[1] == costs[2] && costs[2] < costs[3],
        "{costs:?}"
    );
}

#[test]
fn c05_ollama_missing_counts_are_estimated() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let parsed = send_and_parse(
            &fixture,
            dialect,
            OLLAMA.request_body(dialect, json!({})),
            true,
            OLLAMA.script("unmetered", true),
        );
        assert_eq!(parsed.text, "Hello 日本 🦀");
        let row = fixture.assert_recorded();
        row.assert_ended("ok", &["estimated"]);
        assert!(
            row.input() > 0 && row.output() > 0 && row.cost() > 0,
            "{}",
            row.0
        );
    }
}
