//! Equal requests: one answer, as JSON or as a stream whichever way it came, at no cost, in the books, and across a restart.

use serde_json::{Value, json};

use super::fixture::{CHAT, Fixture, ask, setup, with};
use crate::harness::client::SseEvent;
use crate::harness::gate::Gate;
use crate::harness::process::text;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{golden, pico, wait_until};
use crate::inference::fixture::Chat;

/// Text of the answer in any dialect, from JSON or a stream.
fn content(body: &[u8]) -> String {
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let chat = json["choices"][0]["message"]["content"].as_str();
        let messages = json["content"][0]["text"].as_str();
        let responses = json["output"][0]["content"][0]["text"].as_str();
        return chat
            .or(messages)
            .or(responses)
            .unwrap_or_default()
            .to_owned();
    }
    let events = SseEvent::all(body);
    let deltas = events
        .iter()
        .filter(|event| event.data != "[DONE]")
        .filter_map(|event| {
            let json = event.json();
            let chat = json["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned);
            let messages = json["delta"]["text"].as_str().map(str::to_owned);
            let responses = json["delta"].as_str().map(str::to_owned);
            chat.or(messages).or(responses)
        });
    deltas.collect()
}

#[test]
fn equal_request_is_answered_again_in_either_form_at_no_cost() {
    let fixture = Fixture::start();
    for (path, route) in [
        (CHAT, "exact"),
        ("/v1/messages", "c-exact"),
        (CHAT, "c-exact"),
        ("/v1/messages", "exact"),
    ] {
        for first_streamed in [false, true] {
            let body = with(
                ask(route, &format!("{path} {first_streamed}")),
                json!({"stream": first_streamed}),
            );
            let (first, outcome) = fixture.send(&fixture.one, path, &body);
            assert_eq!(outcome, "miss", "{path} {route}");
            let asked = fixture.upstream.request_count();
            for streamed in [first_streamed, !first_streamed] {
                let again = with(body.clone(), json!({"stream": streamed}));
                let (hit, outcome) = fixture.send(&fixture.two, path, &again);
                assert_eq!(outcome, "exact", "{path} {route} {streamed}");
                assert_eq!(content(&hit.body), content(&first.body));
                assert!(!content(&hit.body).is_empty(), "{}", hit.text());
                assert_eq!(hit.cost(), 0);
                assert_eq!(hit.header("x-gatekeeper-attempts"), Some("0"));
                assert!(
                    pico(
                        hit.header("x-gatekeeper-cache-saved-usd")
                            .expect("a header")
                    ) > 0
                );
                assert_eq!(hit.header("x-gatekeeper-cache-age"), Some("0"));
                let kind = if streamed {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                assert_eq!(hit.header("content-type"), Some(kind));
                let id = hit.header("x-gatekeeper-request-id").expect("an id");
                let is_new = path != CHAT || hit.text().contains(id);
                assert!(is_new, "{}", hit.text());
            }
            assert_eq!(
                fixture.upstream.request_count(),
                asked,
                "no request upstream"
            );
        }
    }
}

#[test]
fn responses_request_is_answered_again_in_either_form() {
    let fixture = Fixture::start();
    let path = "/v1/responses";
    for route in ["exact", "c-exact"] {
        let body =
            json!({"model": route, "input": "hello", "store": false, "max_output_tokens": 50});
        let (first, outcome) = fixture.send(&fixture.one, path, &body);
        assert_eq!(outcome, "miss", "{route}");
        for streamed in [false, true] {
            let again = with(body.clone(), json!({"stream": streamed}));
            let (hit, outcome) = fixture.send(&fixture.two, path, &again);
            assert_eq!(outcome, "exact", "{route} {streamed}");
            assert_eq!(content(&hit.body), content(&first.body), "{}", hit.text());
            assert!(!content(&hit.body).is_empty(), "{}", hit.text());
        }
        assert_eq!(fixture.upstream.request_count(), 1, "{route}");
        fixture.upstream.forget_requests();
    }
}

#[test]
fn replayed_stream_has_the_events_of_its_dialect_and_usage_as_stored() {
    let fixture = Fixture::start();
    let body = ask("exact", "events");
    let (first, _) = fixture.send(&fixture.one, CHAT, &body);
    let usage = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (hit, outcome) = fixture.send(&fixture.one, CHAT, &with(body.clone(), usage));
    assert_eq!(outcome, "exact");
    let events = SseEvent::all(&hit.body);
    assert_eq!(events.last().expect("an event").data, "[DONE]");
    assert_eq!(events[0].json()["choices"][0]["delta"]["role"], "assistant");
    let stop = events
        .iter()
        .find(|event| event.data.contains("finish_reason\":\"stop"));
    assert!(stop.is_some(), "{}", hit.text());
    let last = events[events.len() - 2].json();
    assert_eq!(
        last["usage"]["prompt_tokens"],
        first.json()["usage"]["prompt_tokens"]
    );
    assert_eq!(
        last["usage"]["completion_tokens"],
        first.json()["usage"]["completion_tokens"]
    );
    let (whole, _) = fixture.send(&fixture.one, CHAT, &body);
    assert_eq!(
        whole.json()["usage"]["total_tokens"],
        first.json()["usage"]["total_tokens"]
    );
    assert_ne!(whole.json()["id"], first.json()["id"]);
}

#[test]
fn hit_is_a_record_of_its_own_counted_by_request_limits_and_served_without_budget() {
    let fixture = Fixture::start();
    let admin = fixture.gateway.admin();
    let body = ask("exact", "money");
    let (first, _) = fixture.send(&fixture.one, CHAT, &body);
    let spent = first.cost();
    assert!(spent > 0);
    // the budget of the team is spent
    let budget =
        json!({"budgets": [{"limit": "0.000000000001", "period": "total", "action": "block"}]});
    admin
        .patch(&format!("/v1/teams/{}", fixture.rockets.id), &budget)
        .assert_status(200);
    let other = ask("exact", "no money for this");
    fixture.client(&fixture.one).chat(&other).assert_status(402);
    let limits = json!({"limits": [{"rpm": 2}]});
    admin
        .patch(&format!("/v1/keys/{}", fixture.two.id), &limits)
        .assert_status(200);
    let (hit, outcome) = fixture.send(&fixture.two, CHAT, &body);
    assert_eq!(outcome, "exact");
    assert_eq!(hit.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(fixture.chat(&fixture.two, &body), "exact");
    fixture.client(&fixture.two).chat(&body).assert_status(429);
    let rows = fixture.gateway.requests();
    let hits: Vec<&Value> = rows
        .iter()
        .filter(|row| row["cache"]["outcome"] == "exact")
        .collect();
    assert_eq!(hits.len(), 2, "{rows:#?}");
    for row in hits {
        assert_eq!(row["key"], json!(fixture.two.id));
        assert_eq!(
            (
                pico(&text(row, "cost_usd")),
                pico(&text(row, "saved_cost_usd"))
            ),
            (0, spent)
        );
        assert_eq!(
            (&row["provider"], &row["model"]),
            (&json!("openai"), &json!("m-small"))
        );
        assert_eq!(row["usage"]["output_tokens"], 0);
        assert!(
            row["cache"]["entry"]
                .as_str()
                .is_some_and(|id| id.starts_with("ce_"))
        );
    }
    let miss = rows
        .iter()
        .find(|row| row["cache"]["outcome"] == "miss")
        .expect("the first");
    assert_eq!(miss["saved_cost_usd"], Value::Null);
    let usage = fixture.gateway.usage();
    assert_eq!(
        (&usage["total"]["requests"], &usage["total"]["cache_hits"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(pico(&text(&usage["total"], "saved_cost_usd")), 2 * spent);
    let metrics = admin.get("/metrics").text();
    let lookups = |outcome: &str| {
        let name = format!("gatekeeper_cache_lookups_total{{outcome=\"{outcome}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&name));
        found.expect("a metric").to_owned()
    };
    assert_eq!([lookups("exact"), lookups("miss")], ["2", "2"]);
    fixture.gateway.assert_books_agree();
}

#[test]
fn answer_survives_a_restart_and_a_damaged_file_is_rebuilt() {
    let mut fixture = Fixture::start();
    let body = ask("exact", "restart");
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    fixture.gateway.stop();
    fixture.gateway.start();
    assert_eq!(fixture.chat(&fixture.one, &body), "exact");
    fixture.gateway.stop();
    let file = fixture.gateway.data().join("cache.redb");
    std::fs::write(&file, vec![0x5a; 100_000]).expect("written");
    fixture.gateway.start();
    assert_eq!(fixture.chat(&fixture.one, &body), "miss");
    assert_eq!(fixture.chat(&fixture.one, &body), "exact");
}

#[test]
fn unfinished_filtered_and_calling_answers_are_never_kept() {
    let fixture = Fixture::start();
    let answer = |message: Value, finish: &str| {
        json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m-small",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}})
    };
    let said = json!({"role": "assistant", "content": "hello"});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calling = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    for (name, body) in [
        ("cut", answer(said.clone(), "length")),
        ("filtered", answer(said.clone(), "content_filter")),
        ("calling", answer(calling, "tool_calls")),
    ] {
        fixture
            .upstream
            .respond_with(Script::json(200, &body).charging(10, 3));
        for _ in 0..2 {
            assert_eq!(
                fixture.chat(&fixture.one, &ask("exact", name)),
                "miss",
                "{name}"
            );
        }
    }
    let events = |events: &[Value]| -> Vec<String> {
        events
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect()
    };
    let delta = |delta: Value, finish: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-small",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let begun = events(&[delta(
        json!({"role": "assistant", "content": "hel"}),
        Value::Null,
    )]);
    let cut = Script::stream(begun).charging(10, 1);
    fixture.upstream.respond_with(cut);
    let body = with(ask("exact", "broken stream"), json!({"stream": true}));
    let client = fixture.client(&fixture.one);
    for _ in 0..2 {
        let (events, _) = client.open_stream(CHAT, &body).read_events();
        assert!(
            !events.iter().any(|event| event.data == "[DONE]"),
            "a truncated stream"
        );
    }
    assert_eq!(fixture.upstream.request_count(), 8);
}

#[test]
fn stream_is_kept_after_its_terminal_event_only() {
    let fixture = Fixture::start();
    let body = with(ask("exact", "slow"), json!({"stream": true}));
    let gate = Gate::default();
    let script = Script::stream(Chat.stream(4)).charging(10, 4);
    fixture.upstream.respond_with(script.held_after(3, &gate));
    let mut stream = fixture.client(&fixture.one).open_stream(CHAT, &body);
    assert_eq!(stream.header("x-gatekeeper-cache"), Some("miss"));
    stream.read_deltas(2);
    // the same request while the first is under way
    let second = fixture.client(&fixture.two).open_stream(CHAT, &body);
    assert_eq!(second.header("x-gatekeeper-cache"), Some("miss"));
    gate.open();
    stream.read_events();
    second.read_events();
    let third = fixture.client(&fixture.two).open_stream(CHAT, &body);
    assert_eq!(third.header("x-gatekeeper-cache"), Some("exact"));
    third.read_events();
}

#[test]
fn answer_of_a_client_that_left_is_not_kept() {
    let fixture = Fixture::start();
    let body = with(ask("exact", "gone"), json!({"stream": true}));
    let gate = Gate::default();
    let script = Script::stream(Chat.stream(4)).charging(10, 4);
    fixture.upstream.respond_with(script.held_after(3, &gate));
    let mut stream = fixture.client(&fixture.one).open_stream(CHAT, &body);
    stream.read_deltas(1);
    stream.disconnect();
    wait_until("the call has ended", || fixture.gateway.holds_open() == 0);
    gate.open();
    let again = fixture.client(&fixture.one).open_stream(CHAT, &body);
    assert_eq!(again.header("x-gatekeeper-cache"), Some("miss"));
    again.read_events();
}

#[test]
fn recorded_answer_of_a_vendor_is_replayed_with_its_text_and_usage() {
    let fixture = Fixture::start();
    let script = Script::unary(200, golden("anthropic/answer.json"));
    fixture.upstream.respond_with(script);
    let body = ask("c-exact", "golden");
    let (first, _) = fixture.send(&fixture.one, "/v1/messages", &body);
    let (hit, outcome) = fixture.send(&fixture.one, "/v1/messages", &body);
    assert_eq!(outcome, "exact", "{}", first.text());
    let (first, hit) = (first.json(), hit.json());
    for member in ["type", "role", "content", "stop_reason", "stop_sequence"] {
        assert_eq!(hit[member], first[member], "{member}");
    }
    for count in ["input_tokens", "output_tokens"] {
        assert_eq!(hit["usage"][count], first["usage"][count], "{count}");
    }
}

#[test]
fn request_towards_a_vendor_keeps_its_bytes_with_the_cache_on() {
    let fixture = Fixture::start();
    let body = r#"{ "model":"exact","messages":[{"role":"user","content":"caf\u00e9"}], "max_tokens":9,"prompt_cache_key":"k" }"#;
    let sent = |route: &str| {
        let body = body.replace("exact", route);
        fixture
            .client(&fixture.one)
            .with("x-gatekeeper-cache", "refresh")
            .post_bytes(CHAT, body.as_bytes())
            .assert_status(200);
        fixture.upstream.last_request().body.clone()
    };
    let (cached, plain) = (sent("exact"), sent("plain"));
    assert_eq!(cached, plain);
    assert_eq!(
        String::from_utf8_lossy(&cached),
        body.replace("exact", "m-small")
    );
    assert_eq!(sent("exact"), cached, "equal requests are equal bytes");
}

#[test]
fn cache_off_leaves_no_file_and_no_header() {
    let upstream = Upstream::start();
    let fixture = Fixture::of(setup(&upstream), upstream);
    let body = ask("openai/m-small", "hi");
    assert_eq!(fixture.chat(&fixture.one, &body), "none");
    assert_eq!(fixture.chat(&fixture.one, &body), "none");
    assert!(!fixture.gateway.data().join("cache.redb").exists());
    let row = &fixture.gateway.requests()[0];
    assert_eq!(row["cache"], Value::Null);
}
