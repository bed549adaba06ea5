//! Claude on Bedrock: bodies and events pass through to messages clients, token counting is refused, requests are signed.

use serde_json::json;

use super::{CLAUDE, NOVA, deliveries, events, fixture, fixture_with, send, text};
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;
use crate::harness::{golden, golden_bytes};
use crate::inference::fixture::{Chat, Messages, assert_refusal};

/// Model as one path segment.
const CLAUDE_PATH: &str = "eu.anthropic.claude-opus-4-5-20251101-v1%3A0";

#[test]
fn p09_claude_on_bedrock_passes_body_and_events_through() {
    let fixture = fixture();
    let recording = golden_bytes("bedrock/invoke.bin");
    let request_body = format!(
        r#"{{"model":"{CLAUDE}","max_tokens":2000,"stream":true,"thinking":{{"type":"enabled","budget_tokens":1024}},"temperature":1.0,
        "system":[{{"type":"text","text":"s","cache_control":{{"type":"ephemeral","ttl":"1h"}}}}],"messages":[{{"role":"user","content":"go"}}]}}"#
    );
    let sent = request_body
        .replace(&format!(r#""model":"{CLAUDE}","#), "")
        .replace(r#""stream":true,"#, "");
    let added = r#","anthropic_version":"bedrock-2023-05-31","anthropic_beta":["interleaved-thinking-2025-05-14","context-1m-2025-08-07"]}"#;
    let sent = sent.strip_suffix('}').expect("an object").to_owned() + added;
    let mut shown: Vec<String> = golden("bedrock/invoke.sse")
        .split_inclusive("\n\n")
        .map(str::to_owned)
        .collect();
    shown.insert(
        shown.len() - 1,
        ": x-gatekeeper-cost-usd 0.000149\n".to_owned(),
    );
    for script in deliveries(&recording) {
        fixture.upstream.respond_with(script);
        let user = fixture
            .user()
            .with(
                "anthropic-beta",
                "interleaved-thinking-2025-05-14, context-1m-2025-08-07",
            )
            .with("anthropic-version", "2023-06-01");
        let response = user.post_bytes(Messages.path(), request_body.as_bytes());
        assert_eq!(text(&events(&response)), "Say it: 🦀 now.");
        assert_eq!(response.text(), shown.concat());
        let row = fixture.assert_recorded();
        row.assert_ended("ok", &[]);
        assert_eq!((row.input(), row.output()), (24, 25), "{}", row.0);
        let request = fixture.upstream.last_request();
        assert_eq!(
            request.target(),
            format!("/model/{CLAUDE_PATH}/invoke-with-response-stream")
        );
        assert_eq!(String::from_utf8_lossy(&request.body), sent);
        assert_eq!(
            (
                request.header("anthropic-beta"),
                request.header("anthropic-version"),
                request.header("x-api-key")
            ),
            (None, None, None)
        );
    }
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/invoke.json")));
    let response = send(&fixture, Messages, CLAUDE, false);
    assert_eq!(
        response.assert_status(200).text(),
        golden("bedrock/invoke.json")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
    let request = fixture.upstream.last_request();
    assert_eq!(request.target(), format!("/model/{CLAUDE_PATH}/invoke"));
    let expected = json!({"messages": [{"role": "user", "content": "say it"}], "max_tokens": 500, "anthropic_version": "bedrock-2023-05-31"});
    assert_eq!(request.json(), expected);
}

#[test]
fn bedrock_aws_keys_sign_requests() {
    let fixture = fixture_with(|provider| provider.line("region = \"eu-west-1\"").signed());
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("bedrock/answer.json")));
    send(&fixture, Chat, NOVA, false).assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let request = fixture.upstream.last_request();
    let time = request.header("x-amz-date").expect("a date").to_owned();
    assert!(time.len() == 16 && time.ends_with('Z'), "{time}");
    let day = &time[..8];
    let authorization = request.header("authorization").expect("a signature");
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential={UPSTREAM_KEY}/{day}/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert_eq!(authorization.len(), expected.len() + 64);
    assert_eq!(
        (
            request.header("x-amz-security-token"),
            request.header("content-type")
        ),
        (Some(UPSTREAM_KEY), Some("application/json"))
    );
    assert_eq!(
        request.header("host"),
        Some(fixture.upstream.url().trim_start_matches("http://"))
    );
}

#[test]
fn count_tokens_on_bedrock_returns_not_supported() {
    let fixture = fixture();
    let response = fixture.user().post(
        "/v1/messages/count_tokens",
        &json!({"model": CLAUDE, "messages": []}),
    );
    assert_refusal(Messages, &response, 501, "not_supported");
    fixture.assert_no_call();
}
