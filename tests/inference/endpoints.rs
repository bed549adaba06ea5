//! Endpoints: path variants that clients build from a base URL, unsupported endpoints, and endpoints without a key.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal};
use crate::harness::client::Response;

#[test]
fn endpoint_base_url_variants_are_accepted() {
    let fixture = Fixture::new();
    for (dialect, paths) in [
        (
            Chat,
            [
                "/v1/chat/completions",
                "/chat/completions",
                "/v1/v1/chat/completions",
            ],
        ),
        (
            Messages,
            [
                "/v1/messages?beta=true",
                "/messages",
                "/v1/v1/messages?beta=true",
            ],
        ),
    ] {
        for path in paths {
            fixture
                .user()
                .post(path, &dialect.body())
                .assert_status(200);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(10, 20);
            let target = fixture.upstream.last_request().target().to_owned();
            assert!(target.starts_with(dialect.path()), "{path} became {target}");
        }
    }
    for path in ["/v1/models", "/models", "/v1/v1/models"] {
        fixture.user().get(path).assert_status(200);
    }
}

#[test]
fn endpoint_unsupported_returns_501_in_dialect_before_upstream() {
    let fixture = Fixture::new();
    for path in [
        "/v1/responses/input_tokens",
        "/v1/completions",
        "/v1/images/generations",
        "/v1/files",
        "/v1/audio/speech",
    ] {
        let message = assert_refusal(
            Chat,
            &fixture.user().post(path, &Chat.body()),
            501,
            "not_supported",
        );
        assert!(
            message.contains(path) && message.contains("it serves POST /v1/chat/completions"),
            "{message}"
        );
    }
    for path in ["/v1/messages/batches", "/v1/messages/batches?beta=true"] {
        assert_refusal(
            Messages,
            &fixture.user().post(path, &Messages.body()),
            501,
            "not_supported",
        );
    }
    assert_refusal(Chat, &fixture.user().get("/nowhere"), 404, "not_found");
    fixture.assert_no_call();
}

#[test]
fn b06_websocket_upgrade_returns_426_in_dialect() {
    let fixture = Fixture::new();
    for path in ["/v1/responses", "/responses", "/v1/v1/responses?x=1"] {
        let request_body = fixture
            .gatekeeper
            .anon()
            .with("upgrade", "websocket")
            .with("connection", "upgrade");
        let response = request_body
            .with("openai-beta", "responses_websockets=2026-02-06")
            .get(path);
        let message = assert_refusal(Chat, &response, 426, "upgrade_refused");
        assert!(
            message.contains("send a POST") && response.header("upgrade") == Some("HTTP/1.1"),
            "{message}"
        );
        assert_refusal(Chat, &fixture.user().get(path), 426, "upgrade_refused");
    }
    fixture.assert_no_call();
}

#[track_caller]
fn assert_wrong_method(dialect: Dialect, response: &Response, allowed: &str) {
    let message = assert_refusal(dialect, response, 405, "method_not_allowed");
    let remedy = format!("it takes {allowed}");
    assert!(message.contains(&remedy), "{message}");
    assert_eq!(response.header("allow"), Some(allowed));
    assert_eq!(response.header("x-should-retry"), Some("false"));
}

#[test]
fn endpoint_wrong_method_returns_405_with_allow_in_dialect() {
    let fixture = Fixture::new();
    let user = fixture.user();
    for dialect in BOTH {
        let path = dialect.path();
        assert_wrong_method(dialect, &user.get(path), "POST");
        assert_wrong_method(dialect, &user.delete(path), "POST");
        assert_wrong_method(dialect, &user.put(path, &dialect.body()), "POST");
    }
    assert_wrong_method(Chat, &user.post("/v1/models", &json!({})), "GET");
    assert_wrong_method(Chat, &user.delete("/v1/models/m-small"), "GET");
    fixture.assert_no_call();
}

#[test]
fn dashboard_needs_no_key_and_loads_its_own_files_only() {
    let fixture = Fixture::new();
    let browser = fixture.gatekeeper.anon().with("accept", "text/html");
    let home = browser.get("/");
    assert_eq!(home.assert_status(303).header("location"), Some("/ui/"));
    let page = browser.get("/ui/requests");
    let page = page.assert_status(200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let text = page.text();
    let scripts = text
        .split('"')
        .filter(|part| part.starts_with("/ui/assets/"));
    for path in scripts {
        let file = browser.get(path);
        let cache = file.assert_status(200).header("cache-control");
        assert_eq!(cache, Some("public, max-age=31536000, immutable"), "{path}");
    }
    let unknown = browser.get("/ui/assets/0000000000000000/main.js");
    unknown.assert_status(404);
    let plain = fixture.gatekeeper.anon().get("/");
    assert!(plain.assert_status(200).text().contains("OpenAI base URL"));
}

#[test]
fn health_probes_need_no_key() {
    let fixture = Fixture::new();
    let anon = fixture.gatekeeper.anon();
    let probe = anon.head("/");
    assert!(probe.assert_status(200).body.is_empty());
    for (path, said) in [
        ("/healthz", "ok"),
        ("/health/liveliness", "ok"),
        ("/readyz", "ready"),
        ("/health/readiness", "ready"),
    ] {
        let response = anon.get(path);
        assert_eq!(
            response.assert_status(200).json(),
            json!({"status": said}),
            "{path}"
        );
    }
}

#[test]
fn metrics_need_administrative_key() {
    let fixture = Fixture::new();
    fixture.call(Chat, true).assert_status(200);
    fixture.call(Messages, false).assert_status(200);
    assert_refusal(
        Chat,
        &fixture.gatekeeper.anon().get("/metrics"),
        401,
        "authentication_error",
    );
    assert_refusal(
        Chat,
        &fixture.user().get("/metrics"),
        403,
        "permission_denied",
    );
    let metrics = fixture.gatekeeper.admin().get("/metrics");
    assert!(
        metrics
            .assert_status(200)
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    for line in [
        "gatekeeper_holds_open 0",
        "gatekeeper_requests_total{status=\"ok\"} 2",
        "gatekeeper_requests_running 0",
    ] {
        assert!(
            metrics.text().lines().any(|known| known == line),
            "`{line}` is not in\n{}",
            metrics.text()
        );
    }
    assert!(
        metrics
            .text()
            .contains("gatekeeper_refused_total{code=\"authentication_error\"} 1"),
        "{}",
        metrics.text()
    );
}
