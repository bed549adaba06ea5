//! Vendors that speak a dialect which is not quite the dialect: what each of them is sent, and that recordings of what they
//! answer reach the client byte for byte and cost the same however the network cuts them.

use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, Messages, assert_refusal_at};
use super::parsed_response::parse_unary;
use crate::harness::golden;
use crate::harness::process::{Provider, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// A gateway in front of one account at this vendor, as provider `v` with the model `m`.
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

/// A small good request to `m`, with more members.
fn request_body(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"say it"}}]{more}}}"#)
}

/// What the upstream was sent besides model and messages, and which members the client was told of.
#[track_caller]
fn sent(fixture: &Fixture, more: &str) -> (String, Option<String>) {
    let response = fixture
        .user()
        .post_bytes(Chat.path(), request_body(more).as_bytes());
    response.assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let body = String::from_utf8(fixture.upstream.last_request().body.clone()).expect("UTF-8");
    let rest = body
        .strip_prefix(request_body("").trim_end_matches('}'))
        .unwrap_or_else(|| panic!("{body}"));
    let rest = rest
        .strip_prefix(']')
        .map_or_else(|| rest.to_owned(), str::to_owned);
    let named = response
        .header("x-gatekeeper-dropped-params")
        .map(str::to_owned);
    (rest, named)
}

/// The recording as the client must see it: without the chunk that only the gateway asked for, and with the cost before the end.
fn shown(recording: &str, hidden: Option<&str>, cost_usd: &str, line_end: &str) -> String {
    let events = recording
        .split_inclusive("\n\n")
        .filter(|event| hidden.is_none_or(|part| !event.contains(part)));
    let mut events: Vec<String> = events.map(|event| event.replace('\n', line_end)).collect();
    events.insert(
        events.len() - 1,
        format!(": x-gatekeeper-cost-usd {cost_usd}\n\n"),
    );
    events.concat()
}

/// Every way to deliver a recording.
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

/// A vendor's stream, delivered in every way: the same bytes and the same record each time.
fn streams(vendor: &str, hidden: Option<&str>, input: u64, output: u64, cost_usd: &str) {
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

/// A vendor's whole answer: passed on byte for byte.
fn answers(vendor: &str, input: u64, output: u64) {
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
    streams("groq", Some("\"choices\":[],"), 10, 5, "0.000035");
    answers("groq", 10, 5);
}

#[test]
fn p10_together_stream_with_eos_passes_through() {
    streams("together", None, 10, 5, "0.000035");
    answers("together", 10, 5);
}

#[test]
fn p10_mistral_stream_usage_in_choices_chunk_is_read() {
    // at one rate for all input the 4 cached tokens cost as much as the others
    streams("mistral", None, 14, 5, "0.000039");
    answers("mistral", 14, 5);
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
fn p08_azure_filter_chunks_pass_through() {
    streams("azure", Some("\"usage\":{"), 10, 5, "0.000035");
    answers("azure", 10, 5);
}

#[test]
fn openrouter_stream_with_comments_passes_through() {
    streams("openrouter", None, 10, 5, "0.000035");
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
fn p08_azure_uses_api_key_header_and_deployment_as_model() {
    let fixture = plain("azure");
    fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes())
        .assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
    let request = fixture.upstream.last_request();
    assert_eq!(
        (request.target(), request.header("api-key")),
        ("/openai/v1/chat/completions", Some(UPSTREAM_KEY))
    );
    assert_eq!(
        (
            request.header("authorization"),
            request.json()["model"].as_str()
        ),
        (None, Some("m"))
    );
    fixture
        .upstream
        .respond_with(Script::unary(400, golden("azure/filtered.json")));
    let response = fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes());
    assert_eq!(
        response.assert_status(400).text(),
        golden("azure/filtered.json")
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn p08_azure_api_version_puts_deployment_in_path() {
    let fixture = fixture("azure", |provider| {
        provider
            .line("api_version = \"2024-10-21\"")
            .models(&["our/chat"])
    });
    let body = request_body("").replace("\"m\"", "\"our/chat\"");
    fixture
        .user()
        .post_bytes("/v1/chat/completions", body.as_bytes())
        .assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
    let target = fixture.upstream.last_request().target().to_owned();
    assert_eq!(
        target,
        "/openai/deployments/our%2Fchat/chat/completions?api-version=2024-10-21"
    );
}

#[test]
fn azure_deployment_price_follows_configuration() {
    let fixture = fixture("azure", |provider| {
        provider
            .priced_by("sheet")
            .line("priced_as = { m = \"gpt-4.1-mini\" }")
    });
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("azure/answer.json")));
    fixture
        .user()
        .post_bytes("/v1/chat/completions", request_body("").as_bytes())
        .assert_status(200);
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    // 10 at $0.44 and 5 at $1.76 per million: the sheet's gpt-4.1-mini, though the answer says gpt-4.1
    assert_eq!(row.0["cost_usd"], json!(azure_mini_cost()), "{}", row.0);
}

/// From the sheet itself, so that a newer sheet breaks nothing.
fn azure_mini_cost() -> String {
    let sheet: Value =
        serde_json::from_str(include_str!("../../assets/prices.json")).expect("the sheet");
    let rows = sheet["models"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["provider"] == "azure" && row["model"] == "gpt-4.1-mini")
        .expect("the row");
    let rate = |class: &str| {
        crate::harness::pico(row["rates"][class].as_str().expect("a rate")) / 1_000_000
    };
    crate::harness::usd(10 * rate("input") + 5 * rate("output"))
}

#[test]
fn p10_mistral_request_has_only_supported_fields() {
    let fixture = plain("mistral");
    let everything = r#","stream":true,"stream_options":{"include_usage":true},"seed":7,"max_completion_tokens":50,"tool_choice":"required","tools":[],"user":"u","logit_bias":{},"store":false,"temperature":1.0,"safe_prompt":true,"metadata":null,"verbosity":null"#;
    fixture
        .upstream
        .respond_with(Script::stream([golden("mistral/stream.sse")]));
    let (rest, named) = sent(&fixture, everything);
    let expected = r#","stream":true,"tool_choice":"any","tools":[],"temperature":1.0,"safe_prompt":true,"metadata":null,"max_tokens":50,"random_seed":7}"#;
    assert_eq!(rest, expected);
    let expected =
        "logit_bias, max_completion_tokens, seed, store, stream_options, tool_choice, user";
    assert_eq!(named.as_deref(), Some(expected));
}

#[test]
fn groq_unsupported_fields_are_dropped() {
    let fixture = plain("groq");
    let (rest, named) = sent(
        &fixture,
        r#","logprobs":true,"top_logprobs":2,"seed":7,"logit_bias":{"1":2},"n":1,"odd":1e3"#,
    );
    assert_eq!(
        (rest.as_str(), named.as_deref()),
        (
            r#","seed":7,"n":1,"odd":1e3}"#,
            Some("logit_bias, logprobs, top_logprobs")
        )
    );
}

#[test]
fn together_logprobs_becomes_number() {
    let fixture = plain("together");
    let (rest, named) = sent(
        &fixture,
        r#","logprobs":true,"max_completion_tokens":9,"n":2"#,
    );
    assert_eq!(
        (rest.as_str(), named.as_deref()),
        (
            r#","logprobs":1,"n":2,"max_tokens":9}"#,
            Some("logprobs, max_completion_tokens")
        )
    );
    let (rest, _) = sent(&fixture, r#","logprobs":true,"top_logprobs":4"#);
    assert_eq!(rest, r#","logprobs":4}"#);
    let (rest, named) = sent(&fixture, r#","logprobs":3"#);
    assert_eq!((rest.as_str(), named), (r#","logprobs":3}"#, None));
}

#[test]
fn openai_request_keeps_every_field() {
    let all = r#","seed":7,"logit_bias":{},"logprobs":true,"n":2,"max_completion_tokens":9,"tool_choice":"required","x":null"#;
    for vendor in ["openai", "azure", "openai_compatible"] {
        let (rest, named) = sent(&plain(vendor), all);
        assert_eq!((rest, named), (format!("{all}}}"), None), "{vendor}");
    }
}

#[test]
fn dropped_fields_are_reported_on_streams_and_rejections() {
    let fixture = plain("groq");
    let response = fixture.user().post_bytes(
        Chat.path(),
        request_body(r#","stream":true,"logit_bias":{}"#).as_bytes(),
    );
    assert_eq!(
        response
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("logit_bias")
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
    fixture.upstream.respond_with(Script::json(
        400,
        &Chat.rejection("invalid_request_error", "no"),
    ));
    let response = fixture
        .user()
        .post_bytes(Chat.path(), request_body(r#","logit_bias":{}"#).as_bytes());
    assert_eq!(
        response
            .assert_status(400)
            .header("x-gatekeeper-dropped-params"),
        Some("logit_bias")
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn unsupported_error_refuses_dropped_fields_and_still_renames() {
    let fixture = fixture("mistral", |provider| {
        provider.line("unsupported = \"error\"")
    });
    let response = fixture.user().post_bytes(
        Chat.path(),
        request_body(r#","seed":7,"logit_bias":{"1":2}"#).as_bytes(),
    );
    let message = assert_refusal_at(Chat, &response, 400, "invalid_request_error", "logit_bias");
    assert!(
        message.contains("`logit_bias`") && message.contains("[providers.v]"),
        "{message}"
    );
    fixture.assert_no_call();
    let (rest, named) = sent(&fixture, r#","seed":7,"logit_bias":null"#);
    assert_eq!(
        (rest.as_str(), named.as_deref()),
        (r#","random_seed":7}"#, Some("seed"))
    );
}

#[test]
fn e31_multiple_choices_unsupported_by_vendor_are_refused() {
    for vendor in ["groq", "ollama", "openrouter"] {
        let fixture = plain(vendor);
        let response = fixture
            .user()
            .post_bytes(Chat.path(), request_body(r#","n":3"#).as_bytes());
        let message = assert_refusal_at(Chat, &response, 400, "invalid_request_error", "n");
        assert!(
            message.contains("v/m gives one answer to a request, not 3"),
            "{message}"
        );
        fixture.assert_no_call();
        sent(&fixture, r#","n":1"#);
    }
}

#[test]
fn gateway_output_cap_uses_vendor_field_name() {
    for (vendor, member) in [
        ("mistral", "max_tokens"),
        ("together", "max_tokens"),
        ("groq", "max_completion_tokens"),
    ] {
        let mut fixture = plain(vendor);
        let team = fixture.gatekeeper.team_with_budget("small", "0.10");
        let key = fixture.gatekeeper.key_of(&team);
        fixture
            .gatekeeper
            .user(&key)
            .post_bytes(Chat.path(), request_body("").as_bytes())
            .assert_status(200);
        fixture.assert_recorded().assert_ended("ok", &[]);
        let body = fixture.upstream.last_request().json();
        assert!(
            body[member].as_u64().is_some_and(|tokens| tokens > 0),
            "{vendor}: {body}"
        );
    }
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
    let parsed = whole(
        Messages,
        fixture
            .user()
            .post(Messages.path(), &body)
            .assert_status(200),
    );
    assert_eq!(
        (parsed.thoughts.as_str(), parsed.text.as_str()),
        ("A greeting is due.", "Grüße 🦀")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    // a client of the vendor's own dialect gets what the vendor said
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
    // $1.75 and $14 per million tokens; half of it where flex served
    assert_eq!((default, flex), (3_150_000_000, 1_575_000_000));
}
