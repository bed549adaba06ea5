//! Headers: the client's that are forwarded upstream, the upstream's that are returned, and the gateway's own.

use std::collections::BTreeSet;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages};
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;

/// Headers of SDKs, agents, browsers and proxies, besides the credential.
const SENT: [(&str, &str); 22] = [
    ("user-agent", "OpenAI/Python 2.54.0"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "de"),
    ("cookie", "session=canary"),
    ("x-stainless-lang", "python"),
    ("x-stainless-retry-count", "0"),
    ("x-app", "cli"),
    ("x-claude-code-session-id", "s1"),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("x-forwarded-for", "10.1.2.3"),
    ("forwarded", "for=10.1.2.3"),
    ("via", "1.1 proxy"),
    ("origin", "https://example.org"),
    ("referer", "https://example.org/secret"),
    ("te", "trailers"),
    ("proxy-authorization", "Basic Zm9v"),
    ("api-key", "other"),
    ("x-gatekeeper-anything", "1"),
    ("openai-organization", "org-canary"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("connection", "keep-alive"),
];

#[test]
fn b01_upstream_gets_provider_credential_and_no_client_headers() {
    let fixture = Fixture::new();
    let caller = SENT.iter().fold(fixture.user(), |caller, (name, value)| {
        caller.with(name, value)
    });
    for (dialect, credential) in [
        (Chat, ("authorization", format!("Bearer {UPSTREAM_KEY}"))),
        (Messages, ("x-api-key", UPSTREAM_KEY.to_owned())),
    ] {
        caller
            .post(dialect.path(), &dialect.body())
            .assert_status(200);
        let request = fixture.upstream.last_request();
        assert_eq!(request.header(credential.0), Some(credential.1.as_str()));
        let names: BTreeSet<&str> = request
            .head
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let mut expected = BTreeSet::from([
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            credential.0,
        ]);
        if dialect == Messages {
            expected.insert("anthropic-version");
        }
        assert_eq!(names, expected);
        assert_eq!(
            request.head.headers.len(),
            expected.len(),
            "duplicate header: {:?}",
            request.head.headers
        );
        assert_eq!(
            request.header("host"),
            Some(fixture.upstream.address().to_string().as_str())
        );
        assert_eq!(
            (request.header("content-type"), request.header("user-agent")),
            (Some("application/json"), Some("OpenAI/Python 2.54.0"))
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn b05_anthropic_version_and_betas_are_forwarded_unchanged() {
    let fixture = Fixture::new();
    let betas =
        "claude-code-20250219,interleaved-thinking-2025-05-14,mid-conversation-system-2026-04-07";
    let caller = fixture
        .user()
        .with("anthropic-version", "2026-10-21")
        .with("anthropic-beta", betas)
        .with("anthropic-beta", "more-1");
    caller.messages(&Messages.body()).assert_status(200);
    let request = fixture.upstream.last_request();
    let all = |name: &str| {
        request
            .head
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("anthropic-version"), ["2026-10-21"]);
    assert_eq!(all("anthropic-beta"), [betas, "more-1"]);
    fixture.assert_recorded();
    fixture.user().messages(&Messages.body()).assert_status(200);
    assert_eq!(
        fixture.upstream.last_request().header("anthropic-version"),
        Some("2023-06-01")
    );
    fixture.assert_recorded();
    fixture
        .user()
        .with("openai-beta", "assistants=v2")
        .chat(&Chat.body())
        .assert_status(200);
    assert_eq!(
        fixture.upstream.last_request().header("openai-beta"),
        Some("assistants=v2")
    );
    assert_eq!(
        fixture.upstream.last_request().header("anthropic-version"),
        None
    );
    fixture.assert_recorded();
}

/// Upstream response headers that the client receives.
const FORWARDED: [(&str, &str); 7] = [
    ("request-id", "req_up"),
    ("x-request-id", "req_up_2"),
    ("x-ratelimit-limit-tokens", "100"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("anthropic-ratelimit-tokens-remaining", "99"),
    ("openai-processing-ms", "321"),
    ("x-should-retry", "true"),
];
/// Upstream response headers that the gateway removes.
const REMOVED: [(&str, &str); 12] = [
    ("set-cookie", "__cf_bm=canary; path=/"),
    ("server", "cloudflare"),
    ("cf-ray", "8f00"),
    ("via", "1.1 google"),
    ("alt-svc", "h3=\":443\""),
    ("strict-transport-security", "max-age=1"),
    ("keep-alive", "timeout=5"),
    ("trailer", "x-t"),
    ("upgrade", "h2c"),
    ("openai-organization", "org-canary"),
    ("x-gatekeeper-cost-usd", "0"),
    ("www-authenticate", "Bearer"),
];

fn with_headers(script: Script) -> Script {
    FORWARDED
        .iter()
        .chain(&REMOVED)
        .fold(script, |script, (name, value)| script.header(name, value))
}

#[test]
fn p11_upstream_headers_forwarded_except_connection_headers() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for (streamed, script) in [
            (true, Script::stream(dialect.stream(2))),
            (false, crate::harness::model::with_usage(10, 2)),
            (
                false,
                Script::json(400, &dialect.rejection("invalid_request_error", "no")),
            ),
        ] {
            let response = fixture.call_with(dialect, streamed, with_headers(script));
            for (name, value) in FORWARDED {
                assert_eq!(
                    response.header(name),
                    Some(value),
                    "{name} of {dialect:?}, {}",
                    response.status
                );
            }
            for (name, value) in REMOVED {
                assert_ne!(
                    response.header(name),
                    Some(value),
                    "{name} of {dialect:?}, {}",
                    response.status
                );
            }
            fixture.assert_recorded();
        }
    }
}

#[test]
fn response_headers_report_model_provider_and_cost() {
    let mut fixture = Fixture::new();
    let team = fixture.gatekeeper.team_with_budget("bounded", "1");
    let key = fixture.gatekeeper.key_of(&team);
    let caller = fixture.gatekeeper.user(&key);
    let assert_headers = |dialect: Dialect, provider: &str, remaining: &str| {
        let response = caller.post(dialect.path(), &dialect.body());
        let record = fixture.assert_recorded();
        for (name, value) in [
            ("x-gatekeeper-model", dialect.model()),
            ("x-gatekeeper-provider", provider),
            ("x-gatekeeper-attempts", "1"),
            ("x-gatekeeper-cost-usd", "0.00011"),
            ("x-gatekeeper-budget-remaining-usd", remaining),
            (
                "x-gatekeeper-request-id",
                record.0["id"].as_str().expect("an id"),
            ),
        ] {
            assert_eq!(
                response.assert_status(200).header(name),
                Some(value),
                "{name}"
            );
        }
    };
    assert_headers(Chat, "up", "0.99989");
    assert_headers(Messages, "ant", "0.99978");
    let stream = fixture.call(Chat, true);
    let record = fixture.assert_recorded();
    assert_eq!(
        stream.header("x-gatekeeper-request-id"),
        record.0["id"].as_str()
    );
    assert_eq!(stream.header("x-gatekeeper-provider"), Some("up"));
    assert_eq!(
        stream.header("x-gatekeeper-budget-remaining-usd"),
        None,
        "no budget applies to this key"
    );
}

/// A failed attempt reports model and provider and counts against the rate limits.
#[test]
fn failed_attempt_headers_report_model_and_provider() {
    let mut fixture = Fixture::new();
    let team = fixture
        .gatekeeper
        .team(&serde_json::json!({"name": "limited", "rpm": 100}));
    let key = fixture.gatekeeper.key_of(&team);
    for dialect in BOTH {
        let provider = if dialect == Chat { "up" } else { "ant" };
        for (script, status) in [
            (
                Script::json(500, &dialect.rejection("server_error", "no")),
                502,
            ),
            (
                Script::json(401, &dialect.rejection("authentication_error", "no")),
                502,
            ),
            (Script::closes(), 502),
        ] {
            fixture.upstream.respond_with(script);
            let response = fixture
                .gatekeeper
                .user(&key)
                .post(dialect.path(), &dialect.body());
            for (name, value) in [
                ("x-gatekeeper-model", dialect.model()),
                ("x-gatekeeper-provider", provider),
                ("x-gatekeeper-attempts", "1"),
            ] {
                assert_eq!(
                    response.assert_status(status).header(name),
                    Some(value),
                    "{name} of {dialect:?}"
                );
            }
            assert!(response.header("x-ratelimit-remaining-requests").is_some());
            fixture.assert_recorded();
        }
    }
}
