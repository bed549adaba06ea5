//! Headers of a client: they narrow the cache for one request and never widen it.

use serde_json::{Value, json};

use super::fixture::{CHAT, Fixture, ask, outcome, with};
use crate::harness::client::Response;

fn send(fixture: &Fixture, text: &str, headers: &[(&str, &str)]) -> (Response, String) {
    let client = fixture.client(&fixture.one);
    let client = headers
        .iter()
        .fold(client, |client, (name, value)| client.with(name, value));
    outcome(client.chat(&ask("exact", text)))
}

#[test]
fn directive_bypasses_keeps_nothing_or_replaces() {
    let fixture = Fixture::start();
    let header = |value: &'static str| [("x-gatekeeper-cache", value)];
    let (response, found) = send(&fixture, "a", &header("off"));
    assert_eq!(found, "bypass");
    assert_eq!(
        response.header("x-gatekeeper-cache-reason"),
        Some("request")
    );
    assert_eq!(
        send(&fixture, "a", &header("no-store")).1,
        "miss",
        "off kept nothing"
    );
    assert_eq!(send(&fixture, "a", &[]).1, "miss", "no-store kept nothing");
    let (first, found) = send(&fixture, "a", &header("exact"));
    assert_eq!(found, "exact");
    assert_eq!(send(&fixture, "a", &header("no-store")).1, "exact");
    assert_eq!(send(&fixture, "a", &header("refresh")).1, "miss");
    let (second, found) = send(&fixture, "a", &[]);
    assert_eq!(found, "exact");
    let entry = |response: &Response| {
        response
            .header("x-gatekeeper-cache-entry")
            .map(str::to_owned)
    };
    assert_eq!(entry(&first), entry(&second), "the same fingerprint");
    // the route has no comparison by meaning, whatever the client asks for
    assert_eq!(send(&fixture, "a", &header("semantic")).1, "exact");
    assert_eq!(send(&fixture, "A", &header("semantic")).1, "miss");
}

#[test]
fn ttl_is_the_shorter_of_route_and_request() {
    let fixture = Fixture::start();
    let ttl = [("x-gatekeeper-cache-ttl", "10")];
    let later = |by_s: u64| {
        let now = instant(by_s);
        fixture.gateway.advance_to(&now);
    };
    assert_eq!(send(&fixture, "a", &[]).1, "miss");
    assert_eq!(send(&fixture, "b", &ttl).1, "miss");
    later(9);
    assert_eq!(send(&fixture, "b", &[]).1, "exact");
    later(10);
    assert_eq!(
        send(&fixture, "a", &ttl).1,
        "miss",
        "too old for this request"
    );
    assert_eq!(send(&fixture, "b", &[]).1, "miss", "kept for 10 s only");
    let long = [("x-gatekeeper-cache-ttl", "86400")];
    assert_eq!(send(&fixture, "c", &long).1, "miss");
    later(3_700);
    assert_eq!(send(&fixture, "c", &long).1, "miss", "the route's hour");
}

/// Seconds after the start of the fixture's clock.
fn instant(after_s: u64) -> String {
    let (hours, minutes, seconds) = (after_s / 3_600, after_s / 60 % 60, after_s % 60);
    format!("2026-11-23T{:02}:{minutes:02}:{seconds:02}Z", 10 + hours)
}

#[test]
fn namespace_separates_requests() {
    let fixture = Fixture::start();
    let night = [("x-gatekeeper-cache-namespace", "night")];
    assert_eq!(send(&fixture, "a", &[]).1, "miss");
    assert_eq!(send(&fixture, "a", &night).1, "miss");
    assert_eq!(send(&fixture, "a", &night).1, "exact");
}

#[test]
fn invalid_header_is_refused_and_a_route_without_cache_says_off() {
    let fixture = Fixture::start();
    let client = fixture.client(&fixture.one);
    let refused = client
        .with("x-gatekeeper-cache", "maybe")
        .chat(&ask("exact", "a"));
    assert!(
        refused
            .assert_status(400)
            .error_message()
            .contains("x-gatekeeper-cache")
    );
    let client = fixture.client(&fixture.one);
    let (response, found) = outcome(
        client
            .with("x-gatekeeper-cache", "exact")
            .chat(&ask("plain", "a")),
    );
    assert_eq!(found, "bypass");
    assert_eq!(response.header("x-gatekeeper-cache-reason"), Some("off"));
    assert_eq!(fixture.chat(&fixture.one, &ask("plain", "a")), "none");
}

#[test]
fn request_whose_answer_cannot_be_kept_is_bypassed_with_its_reason() {
    let fixture = Fixture::start();
    for (members, reason) in [
        (json!({"logprobs": true}), "logprobs"),
        (json!({"n": 2}), "choices"),
    ] {
        let body = with(ask("exact", "a"), members);
        let (response, found) = fixture.send(&fixture.one, CHAT, &body);
        assert_eq!(found, "bypass");
        assert_eq!(response.header("x-gatekeeper-cache-reason"), Some(reason));
    }
    let row = &fixture.gateway.requests()[0];
    assert_eq!(row["cache"]["outcome"], "bypass");
    assert_eq!(row["cache"]["reason"], "choices");
    let tools =
        json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    let body = with(ask("exact", "a"), tools);
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    assert_eq!(
        fixture.chat(&fixture.one, &body),
        "exact",
        "tools are no obstacle"
    );
    let image = json!([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]);
    let body: Value = json!({"model": "exact", "max_tokens": 50, "messages": [{"role": "user", "content": image}]});
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    assert_eq!(
        fixture.chat(&fixture.one, &body),
        "exact",
        "images are no obstacle"
    );
}
