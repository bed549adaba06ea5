//! Upstream rejections: client errors pass through, errors of the gateway's account never look like the client's. A
//! rejection is free and leaves a record.

use super::fixture::{BOTH, CallRecord, Chat, Dialect, Fixture, Messages, assert_refusal};
use crate::harness::client::Response;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Calls in both dialects, unary and streamed; asserts a free rejection, then runs `check` on the response and record.
fn assert_each(
    script: impl Fn(Dialect) -> Script,
    check: impl Fn(Dialect, &Response, &CallRecord),
) {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for streamed in [false, true] {
            let response = fixture.call_with(dialect, streamed, script(dialect));
            let record = fixture.assert_recorded();
            record
                .assert_ended("upstream_error", &[])
                .assert_usage(0, 0);
            check(dialect, &response, &record);
        }
    }
}

fn rejection_script(
    status: u16,
    kind: &'static str,
    message: &'static str,
) -> impl Fn(Dialect) -> Script {
    move |dialect| {
        Script::json(status, &dialect.rejection(kind, message)).header("request-id", "req_up_1")
    }
}

#[test]
fn x04_client_error_rejection_passes_through() {
    for (status, kind) in [
        (400, "context_length_exceeded"),
        (413, "request_too_large"),
        (422, "unprocessable"),
    ] {
        assert_each(
            rejection_script(status, kind, "the prompt is too long"),
            |dialect, response, record| {
                let said = dialect
                    .rejection(kind, "the prompt is too long")
                    .to_string();
                assert_eq!(response.assert_status(status).text(), said);
                assert_eq!(response.header("content-type"), Some("application/json"));
                assert_eq!(response.header("request-id"), Some("req_up_1"));
                assert_eq!(
                    response.header("x-gatekeeper-request-id"),
                    record.0["id"].as_str()
                );
                assert_eq!(record.0["upstream_status"], status);
            },
        );
    }
}

#[test]
fn rejection_429_passes_through_with_retry_after() {
    let limited = |dialect: Dialect| {
        let script = Script::json(429, &dialect.rejection("rate_limit_error", "slow down"))
            .header("retry-after", "7");
        script
            .header("x-ratelimit-remaining-requests", "0")
            .header("anthropic-ratelimit-requests-remaining", "0")
    };
    assert_each(limited, |dialect, response, _| {
        assert_eq!(
            response.assert_status(429).text(),
            dialect
                .rejection("rate_limit_error", "slow down")
                .to_string()
        );
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(
            response.header("anthropic-ratelimit-requests-remaining"),
            Some("0")
        );
    });
}

#[test]
fn rejection_429_not_json_is_reported_in_dialect() {
    for page in [
        "slow down",
        "<html><body>slow down</body></html>",
        "",
        "[1]",
    ] {
        assert_each(
            |_| Script::unary(429, page),
            |dialect, response, _| {
                drop(assert_refusal(
                    dialect,
                    response,
                    429,
                    "rate_limit_exceeded",
                ))
            },
        );
    }
}

#[test]
fn x13_rejected_gateway_credential_returns_502() {
    for status in [401, 402, 403] {
        assert_each(
            rejection_script(status, "authentication_error", "invalid x-api-key sk-up"),
            |dialect, response, record| {
                let message = assert_refusal(dialect, response, 502, "upstream_error");
                assert!(
                    message.contains("credential") && !message.contains("sk-up"),
                    "{message}"
                );
                assert_eq!(record.0["upstream_status"], status);
            },
        );
    }
}

#[test]
fn rejection_404_returns_502() {
    assert_each(
        rejection_script(404, "not_found_error", "model: c-small"),
        |dialect, response, _| {
            let message = assert_refusal(dialect, response, 502, "upstream_error");
            assert!(message.contains(dialect.model()), "{message}");
        },
    );
}

#[test]
fn rejection_500_returns_502() {
    for status in [500, 502] {
        assert_each(
            rejection_script(status, "server_error", "something broke"),
            |dialect, response, _| {
                let message = assert_refusal(dialect, response, 502, "upstream_error");
                assert!(
                    message.contains("something broke") && message.contains(&status.to_string()),
                    "{message}"
                );
            },
        );
    }
}

#[test]
fn x01_rejection_overloaded_returns_503_with_retry_after() {
    for status in [503, 529] {
        assert_each(
            move |dialect| {
                rejection_script(status, "overloaded_error", "Overloaded")(dialect)
                    .header("retry-after", "30")
            },
            |dialect, response, _| {
                assert_refusal(dialect, response, 503, "overloaded");
                assert_eq!(response.header("retry-after"), Some("30"));
            },
        );
    }
}

#[test]
fn rejection_504_returns_504() {
    assert_each(
        rejection_script(504, "timeout", "too slow"),
        |dialect, response, _| drop(assert_refusal(dialect, response, 504, "upstream_timeout")),
    );
}

#[test]
fn x12_rejection_html_page_is_not_forwarded() {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx-secret-host</center></body></html>";
    assert_each(
        |_| Script::unary(502, page).header("content-type", "text/html"),
        |dialect, response, _| {
            let message = assert_refusal(dialect, response, 502, "upstream_error");
            assert!(
                !message.contains("nginx") && !message.contains('<'),
                "{message}"
            );
        },
    );
}

#[test]
fn redirect_is_not_followed() {
    let elsewhere = Upstream::start();
    for status in [301, 302, 307, 308] {
        let location = format!("{}/v1/chat/completions", elsewhere.url());
        assert_each(
            move |_| Script::unary(status, "").header("location", &location),
            |dialect, response, _| {
                assert_refusal(dialect, response, 502, "upstream_error");
                assert_eq!(response.header("location"), None);
            },
        );
    }
    assert_eq!(elsewhere.request_count(), 0);
}

#[test]
fn connection_refused_returns_502_and_is_free() {
    let fixture = Fixture::with_upstream(Upstream::refusing(), |setup| setup);
    for dialect in BOTH {
        for streamed in [false, true] {
            let message = assert_refusal(
                dialect,
                &fixture.call(dialect, streamed),
                502,
                "upstream_error",
            );
            assert!(
                !message.contains("127.0.0.1"),
                "an address is shown: {message}"
            );
            let record = fixture.assert_recorded();
            record
                .assert_ended("upstream_error", &[])
                .assert_usage(0, 0);
            assert!(record.0["upstream_status"].is_null());
        }
    }
}

#[test]
fn error_body_with_status_200_returns_502() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for streamed in [false, true] {
            let script = Script::json(200, &dialect.rejection("server_error", "lost it"));
            let message = assert_refusal(
                dialect,
                &fixture.call_with(dialect, streamed, script),
                502,
                "upstream_error",
            );
            assert!(message.contains("lost it"), "{message}");
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(0, 0);
        }
    }
}

#[test]
fn client_connection_survives_rejection() {
    let fixture = Fixture::new();
    fixture.upstream.respond_with(Script::in_turn([
        Script::json(500, &Chat.rejection("server_error", "no")),
        Script::json(400, &Messages.rejection("invalid_request_error", "no")),
        crate::harness::model::with_usage(10, 20),
    ]));
    let mut connection = fixture.user().connect();
    assert_refusal(Chat, &connection.chat(&Chat.body()), 502, "upstream_error");
    fixture.assert_recorded();
    connection.messages(&Messages.body()).assert_status(400);
    fixture.assert_recorded();
    connection.chat(&Chat.body()).assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn failing_provider_is_warned_of_with_its_reason() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        for script in [
            Script::closes(),
            Script::json(503, &Chat.rejection("server_error", "a vendor's text")),
        ] {
            let response = fixture.call_with(Chat, false, script);
            assert!(response.status >= 500, "{}", response.status);
            let record = fixture.assert_recorded();
            let detail = record.0["upstream_error_detail"].as_str();
            assert!(
                detail.is_some_and(|detail| detail.contains(": ")),
                "{}",
                record.0
            );
        }
    }
    let output = fixture.gatekeeper.output();
    for reason in ["connection_lost", "error_status"] {
        let is_warning = |line: &&str| line.contains("provider failed") && line.contains(reason);
        let warnings: Vec<&str> = output.lines().filter(is_warning).collect();
        // a minute may end between two calls
        assert!((1..=2).contains(&warnings.len()), "{warnings:?}");
        for part in ["WARN", "provider=\"up\"", "counted=", "request=req_"] {
            assert!(
                warnings[0].contains(part),
                "{part} is not in {}",
                warnings[0]
            );
        }
        assert!(!warnings[0].contains("a vendor's text"), "{}", warnings[0]);
    }
}
