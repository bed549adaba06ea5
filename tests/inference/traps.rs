//! Limits and defaults of the HTTP libraries that must not reach a client: sizes, concurrency, reuse, socket options.

use std::net::SocketAddr;

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages};
use super::sockets::sockets;
use crate::harness::client::ResponseStream;
use crate::harness::model;
use crate::harness::print_skipped;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// Valid request with a prompt of so many bytes.
fn long(dialect: Dialect, bytes: usize) -> serde_json::Value {
    let mut body = dialect.body();
    body["messages"] = json!([{"role": "user", "content": "x".repeat(bytes)}]);
    body
}

#[test]
fn b12_body_of_3_mib_is_forwarded() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let body = long(dialect, 3 << 20);
        fixture
            .user()
            .post(dialect.path(), &body)
            .assert_status(200);
        assert_eq!(
            fixture.upstream.last_request().body,
            body.to_string().as_bytes()
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 20);
    }
}

#[test]
fn b12_chunked_body_of_20_mib_is_forwarded() {
    let fixture = Fixture::new();
    let body = long(Messages, 20 << 20).to_string();
    let mut connection = fixture
        .user()
        .with("transfer-encoding", "chunked")
        .connect();
    connection.send_request("POST", Messages.path(), None);
    for part in body.as_bytes().chunks(1 << 16) {
        connection.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    connection.send("0\r\n\r\n");
    connection.read_response("POST").assert_status(200);
    assert!(fixture.upstream.last_request().body == body.as_bytes());
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn expect_100_continue_is_answered() {
    let fixture = Fixture::new();
    let body = long(Chat, 1 << 20).to_string();
    let mut connection = fixture.user().with("expect", "100-continue").connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gk\r\nauthorization: Bearer {}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        fixture.key.secret,
        body.len()
    );
    connection.send(head);
    let parsed = connection.read_until(b"\r\n\r\n");
    assert!(
        parsed.starts_with(b"HTTP/1.1 100 "),
        "{}",
        String::from_utf8_lossy(&parsed)
    );
    connection.send(&body);
    connection.read_response("POST").assert_status(200);
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
}

#[test]
fn response_of_5_mib_is_forwarded() {
    let fixture = Fixture::new();
    let text = "y".repeat(5 << 20);
    for (dialect, body) in [
        (
            Chat,
            json!({"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 10, "completion_tokens": 20}}),
        ),
        (
            Messages,
            json!({"content": [{"type": "text", "text": text}], "usage": {"input_tokens": 10, "output_tokens": 20}}),
        ),
    ] {
        for script in [Script::json(200, &body), Script::json(200, &body).chunked()] {
            let response = fixture.call_with(dialect, false, script);
            assert!(response.assert_status(200).body == body.to_string().as_bytes());
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(10, 20);
        }
    }
}

#[test]
fn streams_120_concurrent_on_one_worker_complete() {
    const STREAMS: usize = 120;
    let fixture = Fixture::with_setup(|setup| setup.setting("workers = 1"));
    let [before, content, _] = Chat.events(1);
    fixture
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let streams: Vec<ResponseStream> = (0..STREAMS)
        .map(|_| {
            let mut stream = fixture.user().open_stream(Chat.path(), &Chat.stream_body());
            stream.read_deltas(1);
            stream
        })
        .collect();
    assert_eq!(
        (
            fixture.upstream.in_flight(),
            fixture.upstream.connection_count()
        ),
        (STREAMS, STREAMS)
    );
    assert_eq!(fixture.gatekeeper.holds_open(), STREAMS as u64);
    // one more call is served
    fixture.upstream.respond_with(model::with_usage(10, 20));
    fixture.call(Messages, false).assert_status(200);
    drop(streams);
    fixture
        .upstream
        .wait_for_disconnects(STREAMS)
        .wait_until_idle();
}

#[test]
fn upstream_connection_is_reused_unless_closed() {
    let fixture = Fixture::with_setup(|setup| setup.setting("workers = 1"));
    let mut client = fixture.user().connect();
    for _ in 0..10 {
        client.chat(&Chat.body()).assert_status(200);
        client
            .call(
                "POST",
                Chat.path(),
                Some(Chat.stream_body().to_string().as_bytes()),
            )
            .assert_status(200);
    }
    // the client has the complete stream shortly before the connection is reusable
    let connections = fixture.upstream.connection_count();
    assert!(
        connections <= 4,
        "{connections} connections for 20 calls, one after the other"
    );
    let closing = Script::unary(
        200,
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#,
    )
    .then_closes();
    fixture.upstream.respond_with(closing);
    for closed in 1..=10 {
        client.chat(&Chat.body()).assert_status(200);
        // a request sent while the upstream closes is lost
        fixture.upstream.wait_for_closed(closed);
    }
}

#[test]
fn upstream_compressed_response_is_not_decoded() {
    let fixture = Fixture::new();
    let client = fixture.user().with("accept-encoding", "gzip, br, zstd");
    let response = client.chat(&Chat.body());
    assert_eq!(response.assert_status(200).header("content-encoding"), None);
    assert_eq!(
        fixture.upstream.last_request().header("accept-encoding"),
        Some("identity")
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let fixture = Fixture::new();
    let mut client = fixture.user().connect();
    client.send_request(
        "POST",
        Chat.path(),
        Some(Chat.body().to_string().as_bytes()),
    );
    client.send_request(
        "POST",
        Messages.path(),
        Some(Messages.body().to_string().as_bytes()),
    );
    assert!(client.read_response("POST").assert_status(200).json()["choices"].is_array());
    assert!(client.read_response("POST").assert_status(200).json()["content"].is_array());
    fixture.assert_recorded_calls(2);
}

#[test]
fn sockets_have_nodelay_and_user_timeout() {
    let fixture = Fixture::with_limits("client_stall_s = 7");
    let [before, content, _] = Chat.events(1);
    fixture
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let mut stream = fixture.user().open_stream(Chat.path(), &Chat.stream_body());
    stream.read_deltas(1);
    let Some(sockets) = sockets(&fixture) else {
        return print_skipped(
            "sockets_have_nodelay_and_user_timeout",
            "this machine does not permit inspecting sockets of another process",
        );
    };
    let towards = |peer: SocketAddr| {
        sockets
            .iter()
            .find(|socket| socket.peer == peer)
            .expect("the connection")
    };
    assert!(
        towards(fixture.upstream.address()).no_delay,
        "TCP_NODELAY towards the upstream"
    );
    let client = towards(stream.address());
    assert!(client.no_delay, "TCP_NODELAY towards the client");
    assert_eq!(
        client.user_timeout_ms, 7_000,
        "TCP_USER_TIMEOUT of sent bytes"
    );
}

/// The response that follows informational heads is the client's, and the connection serves the next call.
#[test]
fn upstream_informational_heads_are_skipped() {
    let fixture = Fixture::with_setup(|setup| setup.setting("workers = 1"));
    let answer = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#;
    let last = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    // the first write is the first head
    for head in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 E Hints__\r\n\r\n",
    ] {
        let said = Script::raw(format!("{head}{last}"))
            .in_writes_of(head.len())
            .pause_ms_between(20);
        fixture.upstream.respond_with(said);
        let response = fixture.user().chat(&Chat.body());
        assert_eq!(response.assert_status(200).text(), answer);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 20);
    }
}

/// Bytes after a head without a body must not reach another client.
#[test]
fn upstream_bytes_after_empty_head_are_discarded() {
    let fixture = Fixture::new();
    let late = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"late\":1}";
    // the first write is the head
    let head = "HTTP/1.1 204 No content\r\n\r\n";
    let said = Script::raw(format!("{head}{late}"))
        .in_writes_of(head.len())
        .pause_ms_between(200)
        .then_hangs();
    fixture.upstream.respond_with(said);
    let mut client = fixture.user().connect();
    let refused = client.chat(&Chat.body());
    assert_eq!(refused.assert_status(502).error_type(), "upstream_error");
    // the call may be billed
    fixture
        .assert_recorded()
        .assert_ended("truncated", &["estimated"]);
    fixture.upstream.respond_with(model::with_usage(10, 20));
    for _ in 0..3 {
        let response = client.chat(&Chat.body());
        assert!(
            response.assert_status(200).json()["choices"].is_array(),
            "{}",
            response.text()
        );
    }
    wait_until("the rest is recorded", || {
        fixture.gatekeeper.holds_open() == 0
    });
    fixture.assert_recorded_calls(3);
}
