//! Request fields: dropped, renamed and refused per vendor, and reported to the client.

use super::{fixture, plain, request_body};
use crate::harness::golden;
use crate::harness::script::Script;
use crate::inference::fixture::{Chat, Fixture, assert_refusal_at};

/// Request body as sent upstream without model and messages, and the fields reported as dropped.
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
            r#","seed":7,"n":1}"#,
            Some("logit_bias, logprobs, odd, top_logprobs")
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
        let fixture = plain(vendor);
        // the vendor is the judge of a member that only it may know
        fixture.upstream.accepting();
        let (rest, named) = sent(&fixture, all);
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
