//! Vendors that deviate from the chat dialect: what each of them is sent, and that recordings of their responses reach the
//! client byte for byte at the same cost for any chunking by the network.

mod azure;
mod fields;

use serde_json::json;

use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Fixture, Messages};
use crate::inference::parsed_response::parse_unary;

/// Fixture with one vendor as provider `v`, with the model `m`.
fn fixture(vendor: &str, change: impl FnOnce(Provider) -> Provider) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["m"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    let provider = change(provider);
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

fn plain(vendor: &str) -> Fixture {
    fixture(vendor, |provider| provider)
}

/// Small valid request to `m` with more fields.
fn request_body(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"say it"}}]{more}}}"#)
}

/// Recording as the client receives it: without the usage chunk that only the gateway requested, with the cost comment before
/// the end.
fn shown(recording: &str, hidden: Option<&str>, cost_usd: &str, line_end: &str) -> String {
    let events = recording
        .split_inclusive("\n\n")
        .filter(|event| hidden.is_none_or(|part| !event.contains(part)));
    let mut events: Vec<String> = events.map(|event| event.replace('\n', line_end)).collect();
    events.insert(
        events.len() - 1,
        format!(": x-gatekeeper-cost-usd {cost_usd}\n"),
    );
    events.concat()
}

/// Scripts that deliver a recording in every chunking and with both line ends.
fn deliveries(recording: &str) -> Vec<Script> {
    let whole = Script::stream([recording]);
    let crab = recording.find('🦀').expect("a letter of four bytes") + 2;
    let (head, tail) = recording.as_bytes().split_at(crab);
    vec![
        whole.clone(),
        whole.one_byte_per_write(),
        Script::stream(recording.bytes().map(|byte| [byte])),
        Script::stream([head, tail]).pause_ms_between(20),
    ]
}

/// Asserts that a vendor's stream gives the same bytes and the same record in every delivery.
fn assert_stream_passes_through(
    vendor: &str,
    hidden: Option<&str>,
    input: u64,
    output: u64,
    cost_usd: &str,
) {
    let fixture = plain(vendor);
    let recording = golden(&format!("{vendor}/stream.sse"));
    let body = request_body(r#","stream":true"#);
    for line_end in ["\n", "\r\n"] {
        for script in deliveries(&recording.replace('\n', line_end)) {
            fixture.upstream.respond_with(script);
            let response = fixture.user().post_bytes(Chat.path(), body.as_bytes());
            assert_eq!(
                response.assert_status(200).text(),
                shown(&recording, hidden, cost_usd, line_end)
            );
            let row = fixture.assert_recorded();
            row.assert_ended("ok", &[]);
            assert_eq!((row.input(), row.output()), (input, output), "{}", row.0);
            assert_eq!(row.0["cost_usd"], json!(cost_usd), "{}", row.0);
        }
    }
}

/// Asserts that a vendor's unary response passes through byte for byte.
fn assert_unary_passes_through(vendor: &str, input: u64, output: u64) {
    let fixture = plain(vendor);
    let recording = golden(&format!("{vendor}/answer.json"));
    for script in [
        Script::unary(200, &recording),
        Script::unary(200, &recording)
            .chunked()
            .one_byte_per_write(),
    ] {
        fixture.upstream.respond_with(script);
        let response = fixture
            .user()
            .post_bytes(Chat.path(), request_body("").as_bytes());
        assert_eq!(response.assert_status(200).text(), recording);
        let row = fixture.assert_recorded();
        assert_eq!(
            (row.assert_ended("ok", &[]).input(), row.output()),
            (input, output),
            "{}",
            row.0
        );
    }
}

#[test]
fn p10_groq_stream_passes_through_and_usage_counts_once() {
    assert_stream_passes_through("groq", Some("\"choices\":[],"), 10, 5, "0.000035");
    assert_unary_passes_through("groq", 10, 5);
}

#[test]
fn p10_together_stream_with_eos_passes_through() {
    assert_stream_passes_through("together", None, 10, 5, "0.000035");
    assert_unary_passes_through("together", 10, 5);
}

#[test]
fn p10_mistral_stream_usage_in_choices_chunk_is_read() {
    // with one rate for all input the 4 cached tokens cost as much as the others
    assert_stream_passes_through("mistral", None, 14, 5, "0.000039");
    assert_unary_passes_through("mistral", 14, 5);
}

#[test]
fn e11_mistral_cached_tokens_are_separate() {
    let fixture = plain("mistral");
    for (recording, streamed) in [
        ("mistral/stream.sse", true),
        ("mistral/tool.sse", true),
        ("mistral/answer.json", false),
    ] {
        let recording = golden(recording);
        fixture.upstream.respond_with(if streamed {
            Script::stream([&recording])
        } else {
            Script::unary(200, &recording)
        });
        fixture
            .user()
            .post_bytes(
                Chat.path(),
                request_body(&format!(r#","stream":{streamed}"#)).as_bytes(),
            )
            .assert_status(200);
        let usage = fixture.assert_recorded().assert_ended("ok", &[]).0["usage"].clone();
        assert_eq!(
            (&usage["input_tokens"], &usage["cached_tokens"]),
            (&json!(14), &json!(4)),
            "{usage}"
        );
    }
}

#[test]
fn deepseek_stream_passes_through_and_cache_hits_are_separate() {
    // with one rate for all input the cached tokens cost as much as the others
    assert_stream_passes_through("deepseek", Some("\"choices\":[],"), 14, 5, "0.000039");
    assert_unary_passes_through("deepseek", 14, 5);
    let fixture = plain("deepseek");
    let recording = golden("deepseek/answer.json");
    fixture
        .upstream
        .respond_with(Script::unary(200, &recording));
    fixture
        .user()
        .post_bytes(Chat.path(), request_body("").as_bytes())
        .assert_status(200);
    let usage = fixture.assert_recorded().assert_ended("ok", &[]).0["usage"].clone();
    assert_eq!(usage["cached_tokens"], json!(4), "{usage}");
}

#[test]
fn deepseek_messages_client_is_served_in_its_own_dialect() {
    let fixture = plain("deepseek");
    let recording = golden("deepseek/message.json");
    fixture
        .upstream
        .respond_with(Script::unary(200, &recording));
    let body = json!({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "say it"}]});
    let response = fixture.user().post(Messages.path(), &body);
    assert_eq!(response.assert_status(200).text(), recording);
    assert!(
        fixture
            .upstream
            .last_request()
            .path()
            .ends_with("/anthropic/v1/messages")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(14, 5);
}

#[test]
fn p08_azure_filter_chunks_pass_through() {
    assert_stream_passes_through("azure", Some("\"usage\":{"), 10, 5, "0.000035");
    assert_unary_passes_through("azure", 10, 5);
}

#[test]
fn openrouter_stream_with_comments_passes_through() {
    assert_stream_passes_through("openrouter", None, 10, 5, "0.000035");
}

#[test]
fn e15_groq_stream_failure_is_in_band_error() {
    let fixture = plain("groq");
    let recording = golden("groq/failed.sse");
    fixture
        .upstream
        .respond_with(Script::stream(recording.split_inclusive("\n\n")).pause_ms_between(100));
    let response = fixture
        .user()
        .post_bytes(Chat.path(), request_body(r#","stream":true"#).as_bytes());
    assert!(
        response.assert_status(200).text().contains("over capacity")
            && !response.text().contains("[DONE]"),
        "{}",
        response.text()
    );
    fixture
        .assert_recorded()
        .assert_ended("broken", &[])
        .assert_usage(10, 5);
}

#[test]
fn r04_mistral_thinking_is_separate_from_text() {
    let fixture = plain("mistral");
    let thinking =
        json!({"type": "thinking", "thinking": [{"type": "text", "text": "A greeting is due."}]});
    let message =
        json!({"role": "assistant", "content": [thinking, {"type": "text", "text": "Grüße 🦀"}]});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    let response = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    fixture.upstream.respond_with(Script::json(200, &response));
    let body = json!({"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "say it"}]});
    let parsed = parse_unary(
        Messages,
        fixture
            .user()
            .post(Messages.path(), &body)
            .assert_status(200),
    );
    assert_eq!(
        (parsed.reasoning.as_str(), parsed.text.as_str()),
        ("A greeting is due.", "Grüße 🦀")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    // a chat client gets the vendor's bytes
    let chat = fixture
        .user()
        .post_bytes(Chat.path(), request_body("").as_bytes());
    assert_eq!(chat.assert_status(200).text(), response.to_string());
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn c07_flex_request_served_by_default_tier_costs_default() {
    let fixture = fixture("openai", |provider| {
        provider.priced_by("sheet").models(&["gpt-5.2"])
    });
    let cost = |served: &str| {
        let usage =
            json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100});
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"});
        let response = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5.2", "service_tier": served,
            "choices": [choice], "usage": usage});
        fixture.upstream.respond_with(Script::json(200, &response));
        let body = request_body(r#","service_tier":"flex""#).replace("\"m\"", "\"gpt-5.2\"");
        fixture
            .user()
            .post_bytes(Chat.path(), body.as_bytes())
            .assert_status(200);
        let row = fixture.assert_recorded();
        row.assert_ended("ok", &[]);
        row.cost()
    };
    let (default, flex) = (cost("default"), cost("flex"));
    // $1.75 and $14 per million tokens; half of that at the flex tier
    assert_eq!((default, flex), (3_150_000_000, 1_575_000_000));
}
