//! Error bodies in every shape, statuses, retry delays.

use super::*;
use crate::dialect::{Dialect, effective_status, upstream_error};

/// Kind field, body, then the status, kind and message that are read.
const ERRORS: [(KindField, &str, Option<u16>, &str, &str); 13] = [
    (
        KindField::Code,
        r#"{"error":{"message":"no money","type":"billing","param":null,"code":"insufficient_quota"}}"#,
        Some(429),
        "insufficient_quota",
        "no money",
    ),
    (
        KindField::Code,
        r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
        Some(500),
        "server_error",
        "m",
    ),
    (
        KindField::Type,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"busy","code":"x"},"request_id":"r"}"#,
        Some(529),
        "overloaded_error",
        "busy",
    ),
    (
        KindField::Code,
        r#"{"error":"model not loaded"}"#,
        None,
        "upstream_error",
        "model not loaded",
    ),
    (
        KindField::Code,
        r#"{"message":"m","object":"error","type":"t","code":503}"#,
        Some(503),
        "t",
        "m",
    ),
    (
        KindField::Code,
        r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
        Some(429),
        "RESOURCE_EXHAUSTED",
        "m",
    ),
    (
        KindField::Code,
        r#"{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}"#,
        None,
        "missing",
        "field required",
    ),
    (
        KindField::Code,
        r#"{"detail":"Not Found"}"#,
        None,
        "upstream_error",
        "Not Found",
    ),
    (
        KindField::Type,
        " plain text\n",
        None,
        "upstream_error",
        "plain text",
    ),
    (
        KindField::Code,
        r#"{"ok":true}"#,
        None,
        "upstream_error",
        r#"{"ok":true}"#,
    ),
    (
        KindField::Code,
        "",
        None,
        "upstream_error",
        "the upstream answered with an empty body",
    ),
    (
        KindField::Code,
        " <!DOCTYPE html><title>502",
        None,
        "upstream_error",
        "the upstream answered with an HTML page",
    ),
    (
        KindField::Code,
        "Bad\n<HTML>secret",
        None,
        "upstream_error",
        "the upstream answered with an HTML page",
    ),
];

#[test]
fn error_of_every_shape_is_read() {
    for (kind_field, body, status, kind, message) in ERRORS {
        let expected = UpstreamError {
            status,
            kind: kind.into(),
            ..UpstreamError::new(message)
        };
        assert_eq!(
            read_error_body(body.as_bytes(), kind_field),
            expected,
            "{body}"
        );
    }
}

#[test]
fn x02_retry_delay_of_google_is_read_from_the_body() {
    let body = |delay: &str| {
        format!(
            r#"{{"error":{{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
                {{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaMetric":"m"}}]}},
                {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
        )
    };
    for (delay, expected) in [
        (r#""7s""#, Some(7)),
        (r#""0.5s""#, Some(1)),
        (r#""18.000s""#, Some(18)),
        (r#""0s""#, Some(0)),
        (r#""-1s""#, None),
        (r#""+1s""#, None),
        (r#""s""#, None),
        (r#""1.-5s""#, None),
        (r#""7""#, None),
        ("7", None),
    ] {
        assert_eq!(retry_after_s(body(delay).as_bytes()), expected, "{delay}");
    }
    assert_eq!(retry_after_s(b"<html>"), None);
    assert_eq!(
        upstream_error(Dialect::Gemini, body("1").as_bytes()).kind,
        "RESOURCE_EXHAUSTED"
    );
}

#[test]
fn rejected_credential_is_not_the_clients_mistake() {
    let body = br#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
    let error = upstream_error(Dialect::Gemini, body);
    assert_eq!(effective_status(Dialect::Gemini, 400, &error), 401);
    let other = upstream_error(
        Dialect::Gemini,
        br#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#,
    );
    for (dialect, status, expected) in [
        (Dialect::Gemini, 400, 400),
        (Dialect::Cohere, 498, 401),
        (Dialect::Chat, 498, 503),
        (Dialect::Cohere, 499, 502),
    ] {
        assert_eq!(effective_status(dialect, status, &other), expected);
    }
}

#[test]
fn long_message_is_cut_between_characters() {
    let error = upstream_error(Dialect::Chat, "ü".repeat(5_000).as_bytes());
    assert_eq!(error.message, "ü".repeat(MESSAGE_CHARS_MAX));
    let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(5_000));
    assert_eq!(
        upstream_error(Dialect::Chat, body.as_bytes()).message.len(),
        MESSAGE_CHARS_MAX
    );
}
