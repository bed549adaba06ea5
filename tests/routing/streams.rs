//! Streams that wait long for their first content: the client gets the head, and another attempt may still bring the content.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{Fixture, chat, decisions, rejection};
use crate::harness::client::{Response, SseEvent};
use crate::harness::model;
use crate::harness::script::Script;

const TWO: &str = "[routes.smart]\nstrategy = \"ordered\"\nmax_retries = 0\ntargets = [\"a/m-small\", \"b/m-small\"]\n";
const START: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
    \"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const FAILURE: &str = "data: {\"error\":{\"message\":\"lost it\",\"type\":\"server_error\",\"code\":\"server_error\"}}\n\n";

/// A stream that has no content for so long, and then fails.
fn silent_then_broken(ms: u64) -> Script {
    Script::stream([START, FAILURE]).pause_ms_between(ms)
}

#[test]
fn stream_whose_head_was_sent_early_is_replaced_as_long_as_no_content_came() {
    let fixture = Fixture::new(TWO);
    fixture.a.respond_with(silent_then_broken(2_600));
    let response = fixture.stream("smart");
    response.assert_status(200);
    // the head names the attempt of that moment
    assert_eq!(response.header("x-gatekeeper-provider"), Some("a"));
    let text = response.text();
    assert!(
        text.contains("t0 ") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert!(!text.contains("lost it"), "{text}");
    assert_eq!(text.matches("\"role\":\"assistant\"").count(), 1, "{text}");
    let attempts = fixture.attempts(&response);
    assert_eq!(decisions(&attempts), ["next_target", "-"]);
    assert_eq!(attempts[1]["cost_usd"], "0.00011");
    assert_eq!(fixture.counts(), [1, 1, 0]);
}

#[test]
fn cached_stream_whose_head_was_sent_early_names_its_lookup_and_is_kept_whole() {
    let fixture = Fixture::new(&format!("{TWO}cache = \"exact\"\n"));
    fixture.a.respond_with(silent_then_broken(2_600));
    let first = fixture.stream("smart");
    first.assert_status(200);
    assert_eq!(first.header("x-gatekeeper-provider"), Some("a"));
    assert_eq!(first.header("x-gatekeeper-cache"), Some("miss"));
    let texts = |response: &Response| -> String {
        let events = SseEvent::all(&response.body);
        let events = events.iter().filter(|event| event.data != "[DONE]");
        let delta = |event: &SseEvent| {
            let text = event.json()["choices"][0]["delta"]["content"].clone();
            text.as_str().map(str::to_owned)
        };
        events.filter_map(delta).collect()
    };
    let again = fixture.stream("smart");
    assert_eq!(again.header("x-gatekeeper-cache"), Some("exact"));
    assert_eq!(again.header("x-gatekeeper-provider"), Some("b"));
    assert!(texts(&first).contains("t0 "), "{}", first.text());
    assert_eq!(texts(&again), texts(&first));
}

#[test]
fn stream_in_another_dialect_takes_over_after_the_head() {
    let fixture = Fixture::new(
        "[routes.smart]\nmax_retries = 0\ntargets = [\"a/m-small\"]\nfallbacks = [\"c/c-small\"]\n",
    );
    fixture.a.respond_with(silent_then_broken(2_600));
    let response = fixture.stream("smart");
    let text = response.assert_status(200).text();
    assert!(
        text.contains("t0 ") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert_eq!(decisions(&fixture.attempts(&response)), ["fallback", "-"]);
}

#[test]
fn last_failure_after_an_early_head_is_an_error_within_the_stream() {
    let fixture = Fixture::new(TWO);
    fixture.a.respond_with(silent_then_broken(2_600));
    for (last, words) in [
        (rejection(500, "server_error", "b broke"), "b broke"),
        (
            rejection(400, "invalid_request_error", "no such field"),
            "no such field",
        ),
    ] {
        fixture.b.respond_with(last);
        let response = fixture.stream("smart");
        let text = response.assert_status(200).text();
        assert!(
            text.contains(words) && text.contains("\"error\"") && !text.contains("[DONE]"),
            "{text}"
        );
        assert_eq!(fixture.attempts(&response).len(), 2);
    }
}

#[test]
fn client_that_leaves_after_an_early_head_gets_no_further_attempt() {
    let fixture = Fixture::new(TWO);
    fixture.a.respond_with(silent_then_broken(6_000));
    let mut connection = fixture.user().connect();
    connection.send_request(
        "POST",
        "/v1/chat/completions",
        Some(chat("smart", true).to_string().as_bytes()),
    );
    // the head comes after two seconds
    connection.read_head();
    connection.disconnect();
    fixture.a.wait_for_disconnects(1);
    fixture.a.wait_until_idle();
    let began = Instant::now();
    let record = loop {
        let records = fixture.gateway.requests();
        if let Some(record) = records.first() {
            break record.clone();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no record");
        std::thread::yield_now();
    };
    assert_eq!(record["status"], "client_gone");
    assert_eq!(fixture.counts(), [1, 0, 0]);
}

#[test]
fn content_that_comes_after_the_early_head_is_relayed_with_its_cost() {
    let fixture = Fixture::new(TWO);
    let word = START.replace(
        "\"role\":\"assistant\",\"content\":\"\"",
        "\"content\":\"one \"",
    );
    let end = START
        .replace("\"role\":\"assistant\",\"content\":\"\"", "")
        .replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"");
    let usage = format!(
        "data: {}\n\n",
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
            "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}})
    );
    let rest = format!("{word}{end}{usage}data: [DONE]\n\n");
    fixture
        .a
        .respond_with(Script::stream([START.to_owned(), rest]).pause_ms_between(2_600));
    let response = fixture.stream("smart");
    let text = response.assert_status(200).text();
    assert!(
        text.contains("one ") && text.contains("x-gatekeeper-cost-usd 0.00011"),
        "{text}"
    );
    let attempts = fixture.attempts(&response);
    assert_eq!(decisions(&attempts), ["-"]);
    assert!(
        attempts[0]["first_content_ms"]
            .as_u64()
            .is_some_and(|ms| ms >= 2_500)
    );
    fixture.a.respond_with(model::with_usage(10, 20));
}
