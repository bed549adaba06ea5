//! Invalid request bodies: refused in the dialect of the endpoint, with a remedy, before a hold or an upstream request.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal, assert_refusal_at};
use crate::harness::client::Connection;

fn post_body(fixture: &Fixture, dialect: Dialect, body: &str) -> crate::harness::client::Response {
    fixture.user().post_bytes(dialect.path(), body.as_bytes())
}

/// Sends the head of a request; the test writes the body.
fn open_request(fixture: &Fixture, dialect: Dialect, framing: &str) -> Connection {
    let mut connection = fixture.user().connect();
    let (path, key) = (dialect.path(), &fixture.key.secret);
    connection.send(format!(
        "POST {path} HTTP/1.1\r\nhost: gk\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    ));
    connection
}

#[test]
fn body_not_single_json_object_returns_400() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let good = dialect.body().to_string();
        let cut_off = &good[..good.len() - 1];
        let array = format!("[{good}]");
        let listed = format!("[\"{}\",[],9]", dialect.model());
        let (trailing, twice) = (format!("{good} x"), format!("{good}{good}"));
        let marked = format!("\u{feff}{good}");
        for body in [
            "",
            " ",
            "null",
            "7",
            "\"m\"",
            "{",
            cut_off,
            "{'model': 1}",
            &array,
            &listed,
            &trailing,
            &twice,
            &marked,
        ] {
            let message = assert_refusal(
                dialect,
                &post_body(&fixture, dialect, body),
                400,
                "invalid_request_error",
            );
            assert!(
                !message.contains("say it"),
                "the error quotes the body: {message}"
            );
        }
        let latin1 = [good.replace("say it", "").as_bytes(), b"\xe9"].concat();
        assert_refusal(
            dialect,
            &fixture.user().post_bytes(dialect.path(), &latin1),
            400,
            "invalid_request_error",
        );
    }
    fixture.assert_no_call();
}

#[test]
fn body_duplicate_field_returns_400_in_any_escaping() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let good = dialect.body().to_string();
        let more = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]);
        for body in [
            more("\"model\":\"m-large\""),
            more("\"mod\\u0065l\":\"m-large\""),
            more("\"stream\":false,\"stream\":true"),
            more("\"\\u0073tream\":false,\"strea\\u006d\":true"),
        ] {
            let message = assert_refusal(
                dialect,
                &post_body(&fixture, dialect, &body),
                400,
                "invalid_request_error",
            );
            assert!(message.contains("more than once"), "{message}");
        }
    }
    fixture.assert_no_call();
    // nested duplicates are left to the upstream
    let nested = r#"{"model":"m-small","messages":[],"metadata":{"a":1,"a":2}}"#;
    post_body(&fixture, Chat, nested).assert_status(200);
    assert_eq!(fixture.upstream.last_request().body, nested.as_bytes());
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn body_over_limit_returns_413_in_any_framing() {
    let fixture = Fixture::with_limits("body_mb = 1");
    for dialect in BOTH {
        let padded = |bytes: usize| {
            let mut body = dialect.body().to_string();
            body.push_str(&" ".repeat(bytes - body.len()));
            body
        };
        let over = padded((1 << 20) + 1);
        let message = assert_refusal(
            dialect,
            &post_body(&fixture, dialect, &over),
            413,
            "request_too_large",
        );
        assert!(
            message.contains("1048576 bytes") && message.contains("body_mb"),
            "{message}"
        );
        let mut connection = open_request(&fixture, dialect, "transfer-encoding: chunked");
        for part in over.as_bytes().chunks(60_000) {
            connection.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
        }
        connection.send("0\r\n\r\n");
        assert_refusal(
            dialect,
            &connection.read_response("POST"),
            413,
            "request_too_large",
        );
        fixture.assert_no_call();
        post_body(&fixture, dialect, &padded(1 << 20)).assert_status(200);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn body_content_length_over_limit_returns_413_at_once() {
    let fixture = Fixture::with_limits("body_mb = 1");
    for dialect in BOTH {
        let mut connection = open_request(&fixture, dialect, "content-length: 900000000");
        connection.send("{");
        assert_refusal(
            dialect,
            &connection.read_response("POST"),
            413,
            "request_too_large",
        );
    }
    fixture.assert_no_call();
}

#[test]
fn body_incomplete_past_timeout_returns_400() {
    let fixture = Fixture::with_limits("body_timeout_s = 1");
    for dialect in BOTH {
        let mut connection = open_request(&fixture, dialect, "content-length: 1000");
        connection.send("{\"model\":");
        let message = assert_refusal(
            dialect,
            &connection.read_response("POST"),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("incomplete body after 1 s"), "{message}");
    }
    fixture.assert_no_call();
}

#[test]
fn client_disconnect_during_body_leaves_no_record() {
    let fixture = Fixture::new();
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut connection = open_request(&fixture, Chat, framing);
        connection.send("5\r\n{\"mod\r\n");
        connection.disconnect();
    }
    post_body(&fixture, Chat, &Chat.body().to_string()).assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn x11_messages_without_max_tokens_returns_anthropic_error() {
    let fixture = Fixture::new();
    let body = json!({"model": "c-small", "messages": [{"role": "user", "content": "hi"}]});
    let message = assert_refusal(
        Messages,
        &fixture.user().messages(&body),
        400,
        "invalid_request_error",
    );
    assert_eq!(message, "max_tokens: Field required");
    fixture.assert_no_call();
}

#[test]
fn output_cap_invalid_value_returns_400() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for cap in [json!(-1), json!(1.5), json!("7"), json!([]), json!(true)] {
            let mut body = dialect.body();
            body["max_tokens"] = cap;
            let response = fixture.user().post(dialect.path(), &body);
            assert_refusal_at(
                dialect,
                &response,
                400,
                "invalid_request_error",
                "max_tokens",
            );
        }
    }
    fixture.assert_no_call();
}

#[test]
fn request_without_messages_returns_400() {
    let fixture = Fixture::new();
    let response = fixture.user().chat(&json!({"model": "m-small"}));
    assert_refusal_at(Chat, &response, 400, "invalid_request_error", "messages");
    let response = fixture
        .user()
        .messages(&json!({"model": "c-small", "max_tokens": 9}));
    assert_eq!(
        assert_refusal(Messages, &response, 400, "invalid_request_error"),
        "messages: Field required"
    );
    for dialect in BOTH {
        let mut body = dialect.body();
        body["messages"] = json!("hi");
        let response = fixture.user().post(dialect.path(), &body);
        assert_refusal_at(dialect, &response, 400, "invalid_request_error", "messages");
    }
    fixture.assert_no_call();
}

#[test]
fn stream_flag_not_boolean_returns_400() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for stream in [json!("true"), json!(1), json!({})] {
            let mut body = dialect.body();
            body["stream"] = stream;
            let response = fixture.user().post(dialect.path(), &body);
            assert_refusal_at(dialect, &response, 400, "invalid_request_error", "stream");
        }
    }
    let mut body = Chat.stream_body();
    body["stream_options"] = json!(true);
    assert_refusal_at(
        Chat,
        &fixture.user().chat(&body),
        400,
        "invalid_request_error",
        "stream_options",
    );
    fixture.assert_no_call();
}
