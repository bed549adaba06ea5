//! Bodies that are no request: refused in the dialect of the endpoint, with what to mend, before anything is held or sent.

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages, refused, refused_at};
use crate::harness::client::Connection;

fn sends(house: &House, dialect: Dialect, body: &str) -> crate::harness::client::Response {
    house.user().post_bytes(dialect.path(), body.as_bytes())
}

/// The head of a request whose body the test writes itself.
fn begins(house: &House, dialect: Dialect, framing: &str) -> Connection {
    let mut connection = house.user().connect();
    let (path, key) = (dialect.path(), &house.key.secret);
    connection.send(format!(
        "POST {path} HTTP/1.1\r\nhost: gk\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    ));
    connection
}

#[test]
fn what_is_not_one_json_object_is_400() {
    let house = House::opens();
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
            let message = refused(
                dialect,
                &sends(&house, dialect, body),
                400,
                "invalid_request_error",
            );
            assert!(
                !message.contains("say it"),
                "the body is quoted back: {message}"
            );
        }
        let latin1 = [good.replace("say it", "").as_bytes(), b"\xe9"].concat();
        refused(
            dialect,
            &house.user().post_bytes(dialect.path(), &latin1),
            400,
            "invalid_request_error",
        );
    }
    house.nothing_happened();
}

#[test]
fn a_member_that_comes_twice_is_400_however_it_is_written() {
    let house = House::opens();
    for dialect in BOTH {
        let good = dialect.body().to_string();
        let more = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]);
        for body in [
            more("\"model\":\"m-large\""),
            more("\"mod\\u0065l\":\"m-large\""),
            more("\"stream\":false,\"stream\":true"),
            more("\"\\u0073tream\":false,\"strea\\u006d\":true"),
        ] {
            let message = refused(
                dialect,
                &sends(&house, dialect, &body),
                400,
                "invalid_request_error",
            );
            assert!(message.contains("more than once"), "{message}");
        }
    }
    house.nothing_happened();
    // deeper inside it is the upstream's business
    let inside = r#"{"model":"m-small","messages":[],"metadata":{"a":1,"a":2}}"#;
    sends(&house, Chat, inside).assert_status(200);
    assert_eq!(house.upstream.last_request().body, inside.as_bytes());
    house.booked().ends("ok", &[]);
}

#[test]
fn a_body_over_the_limit_is_413_however_its_length_is_told() {
    let house = House::limited("body_mb = 1");
    for dialect in BOTH {
        let padded = |bytes: usize| {
            let mut body = dialect.body().to_string();
            body.push_str(&" ".repeat(bytes - body.len()));
            body
        };
        let over = padded((1 << 20) + 1);
        let message = refused(
            dialect,
            &sends(&house, dialect, &over),
            413,
            "request_too_large",
        );
        assert!(
            message.contains("1048576 bytes") && message.contains("body_mb"),
            "{message}"
        );
        let mut connection = begins(&house, dialect, "transfer-encoding: chunked");
        for part in over.as_bytes().chunks(60_000) {
            connection.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
        }
        connection.send("0\r\n\r\n");
        refused(
            dialect,
            &connection.read_response("POST"),
            413,
            "request_too_large",
        );
        house.nothing_happened();
        sends(&house, dialect, &padded(1 << 20)).assert_status(200);
        house.booked().ends("ok", &[]);
    }
}

#[test]
fn a_body_that_is_announced_too_long_is_not_waited_for() {
    let house = House::limited("body_mb = 1");
    for dialect in BOTH {
        let mut connection = begins(&house, dialect, "content-length: 900000000");
        connection.send("{");
        refused(
            dialect,
            &connection.read_response("POST"),
            413,
            "request_too_large",
        );
    }
    house.nothing_happened();
}

#[test]
fn a_body_that_never_becomes_whole_is_given_up() {
    let house = House::limited("body_timeout_s = 1");
    for dialect in BOTH {
        let mut connection = begins(&house, dialect, "content-length: 1000");
        connection.send("{\"model\":");
        let message = refused(
            dialect,
            &connection.read_response("POST"),
            400,
            "invalid_request_error",
        );
        assert!(message.contains("incomplete body after 1 s"), "{message}");
    }
    house.nothing_happened();
}

#[test]
fn a_client_that_leaves_before_its_body_is_whole_leaves_nothing_behind() {
    let house = House::opens();
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut connection = begins(&house, Chat, framing);
        connection.send("5\r\n{\"mod\r\n");
        connection.disconnect();
    }
    sends(&house, Chat, &Chat.body().to_string()).assert_status(200);
    house.booked().ends("ok", &[]);
}

#[test]
fn x11_messages_without_max_tokens_are_refused_in_anthropics_words() {
    let house = House::opens();
    let body = json!({"model": "c-small", "messages": [{"role": "user", "content": "hi"}]});
    let message = refused(
        Messages,
        &house.user().messages(&body),
        400,
        "invalid_request_error",
    );
    assert_eq!(message, "max_tokens: Field required");
    house.nothing_happened();
}

#[test]
fn a_cap_that_is_no_count_is_400() {
    let house = House::opens();
    for dialect in BOTH {
        for cap in [json!(-1), json!(1.5), json!("7"), json!([]), json!(true)] {
            let mut body = dialect.body();
            body["max_tokens"] = cap;
            let answer = house.user().post(dialect.path(), &body);
            refused_at(dialect, &answer, 400, "invalid_request_error", "max_tokens");
        }
    }
    house.nothing_happened();
}

#[test]
fn a_request_without_messages_is_400() {
    let house = House::opens();
    let answer = house.user().chat(&json!({"model": "m-small"}));
    refused_at(Chat, &answer, 400, "invalid_request_error", "messages");
    let answer = house
        .user()
        .messages(&json!({"model": "c-small", "max_tokens": 9}));
    assert_eq!(
        refused(Messages, &answer, 400, "invalid_request_error"),
        "messages: Field required"
    );
    for dialect in BOTH {
        let mut body = dialect.body();
        body["messages"] = json!("hi");
        let answer = house.user().post(dialect.path(), &body);
        refused_at(dialect, &answer, 400, "invalid_request_error", "messages");
    }
    house.nothing_happened();
}

#[test]
fn a_switch_that_is_neither_on_nor_off_is_400() {
    let house = House::opens();
    for dialect in BOTH {
        for stream in [json!("true"), json!(1), json!({})] {
            let mut body = dialect.body();
            body["stream"] = stream;
            let answer = house.user().post(dialect.path(), &body);
            refused_at(dialect, &answer, 400, "invalid_request_error", "stream");
        }
    }
    let mut body = Chat.streamed();
    body["stream_options"] = json!(true);
    refused_at(
        Chat,
        &house.user().chat(&body),
        400,
        "invalid_request_error",
        "stream_options",
    );
    house.nothing_happened();
}
