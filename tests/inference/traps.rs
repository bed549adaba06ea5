//! The traps of the libraries underneath: limits and defaults of theirs that no user must ever meet.

use std::net::SocketAddr;

use serde_json::json;

use super::house::{BOTH, Chat, Dialect, House, Messages};
use super::sockets::sockets;
use crate::harness::client::ResponseStream;
use crate::harness::model;
use crate::harness::print_skipped;
use crate::harness::script::Script;
use crate::harness::wait_until;

/// A good request with a prompt of so many bytes.
fn long(dialect: Dialect, bytes: usize) -> serde_json::Value {
    let mut body = dialect.body();
    body["messages"] = json!([{"role": "user", "content": "x".repeat(bytes)}]);
    body
}

#[test]
fn b12_a_body_of_three_mebibytes_goes_through() {
    let house = House::opens();
    for dialect in BOTH {
        let body = long(dialect, 3 << 20);
        house.user().post(dialect.path(), &body).assert_status(200);
        assert_eq!(
            house.upstream.last_request().body,
            body.to_string().as_bytes()
        );
        house.booked().ends("ok", &[]).costs(10, 20);
    }
}

#[test]
fn b12_a_body_of_twenty_mebibytes_in_chunks_goes_through() {
    let house = House::opens();
    let body = long(Messages, 20 << 20).to_string();
    let mut connection = house.user().with("transfer-encoding", "chunked").connect();
    connection.send_request("POST", Messages.path(), None);
    for part in body.as_bytes().chunks(1 << 16) {
        connection.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    connection.send("0\r\n\r\n");
    connection.read_response("POST").assert_status(200);
    assert!(house.upstream.last_request().body == body.as_bytes());
    house.booked().ends("ok", &[]).costs(10, 20);
}

#[test]
fn a_client_that_waits_to_be_told_to_continue_is_told_so() {
    let house = House::opens();
    let body = long(Chat, 1 << 20).to_string();
    let mut connection = house.user().with("expect", "100-continue").connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gk\r\nauthorization: Bearer {}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        house.key.secret,
        body.len()
    );
    connection.send(head);
    let told = connection.read_until(b"\r\n\r\n");
    assert!(
        told.starts_with(b"HTTP/1.1 100 "),
        "{}",
        String::from_utf8_lossy(&told)
    );
    connection.send(&body);
    connection.read_response("POST").assert_status(200);
    house.booked().ends("ok", &[]).costs(10, 20);
}

#[test]
fn an_answer_of_five_mebibytes_goes_through() {
    let house = House::opens();
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
            let answer = house.answered(dialect, false, script);
            assert!(answer.assert_status(200).body == body.to_string().as_bytes());
            house.booked().ends("ok", &[]).costs(10, 20);
        }
    }
}

#[test]
fn a_hundred_and_twenty_streams_run_at_once_over_one_worker() {
    const STREAMS: usize = 120;
    let house = House::with(|setup| setup.setting("workers = 1"));
    let [before, content, _] = Chat.events(1);
    house
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let streams: Vec<ResponseStream> = (0..STREAMS)
        .map(|_| {
            let mut stream = house.user().open_stream(Chat.path(), &Chat.streamed());
            stream.read_deltas(1);
            stream
        })
        .collect();
    assert_eq!(
        (
            house.upstream.in_flight(),
            house.upstream.connection_count()
        ),
        (STREAMS, STREAMS)
    );
    assert_eq!(house.gatekeeper.holds_open(), STREAMS as u64);
    // and there is room for one more
    house.upstream.respond_with(model::with_usage(10, 20));
    house.asks(Messages, false).assert_status(200);
    drop(streams);
    house
        .upstream
        .wait_for_disconnects(STREAMS)
        .wait_until_idle();
}

#[test]
fn a_connection_is_used_again_and_one_that_the_upstream_closed_is_not() {
    let house = House::with(|setup| setup.setting("workers = 1"));
    let mut client = house.user().connect();
    for _ in 0..10 {
        client.chat(&Chat.body()).assert_status(200);
        client
            .call(
                "POST",
                Chat.path(),
                Some(Chat.streamed().to_string().as_bytes()),
            )
            .assert_status(200);
    }
    // the client has its whole stream a moment before the connection is ready again
    let connections = house.upstream.connection_count();
    assert!(
        connections <= 4,
        "{connections} connections for 20 calls, one after the other"
    );
    let closing = Script::unary(
        200,
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20}}"#,
    )
    .then_closes();
    house.upstream.respond_with(closing);
    for closed in 1..=10 {
        client.chat(&Chat.body()).assert_status(200);
        // a request that is sent while the upstream closes is lost with it, whoever sends it
        house.upstream.wait_for_closed(closed);
    }
}

#[test]
fn an_answer_is_not_decompressed_because_it_was_asked_for_as_it_is() {
    let house = House::opens();
    let client = house.user().with("accept-encoding", "gzip, br, zstd");
    let answer = client.chat(&Chat.body());
    assert_eq!(answer.assert_status(200).header("content-encoding"), None);
    assert_eq!(
        house.upstream.last_request().header("accept-encoding"),
        Some("identity")
    );
    house.booked().ends("ok", &[]);
}

#[test]
fn two_requests_in_one_write_are_answered_in_their_order() {
    let house = House::opens();
    let mut client = house.user().connect();
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
    house.booked_all(2);
}

#[test]
fn no_socket_waits_for_acknowledgements_and_none_waits_for_ever() {
    let house = House::limited("client_stall_s = 7");
    let [before, content, _] = Chat.events(1);
    house
        .upstream
        .respond_with(Script::stream([before, content].concat()).then_hangs());
    let mut stream = house.user().open_stream(Chat.path(), &Chat.streamed());
    stream.read_deltas(1);
    let Some(sockets) = sockets(&house) else {
        return print_skipped(
            "no_socket_waits_for_acknowledgements",
            "this machine does not let a test look at another process's sockets",
        );
    };
    let towards = |peer: SocketAddr| {
        sockets
            .iter()
            .find(|socket| socket.peer == peer)
            .expect("the connection")
    };
    assert!(
        towards(house.upstream.address()).no_delay,
        "TCP_NODELAY towards the upstream"
    );
    let client = towards(stream.address());
    assert!(client.no_delay, "TCP_NODELAY towards the client");
    assert_eq!(
        client.user_timeout_ms, 7_000,
        "the longest that sent bytes may go unread"
    );
}

/// A head that is no answer yet, and one after which no body comes: what follows on that connection belongs to nobody else.
#[test]
fn what_an_upstream_says_after_a_head_that_is_no_answer_reaches_nobody() {
    let house = House::opens();
    let late = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"late\":1}";
    // the first write is the head alone
    for head in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 E Hints__\r\n\r\n",
        "HTTP/1.1 204 No conten\r\n\r\n",
    ] {
        let said = Script::raw(format!("{head}{late}"))
            .in_writes_of(head.len())
            .pause_ms_between(200)
            .then_hangs();
        house.upstream.respond_with(said);
        let mut client = house.user().connect();
        let refused = client.chat(&Chat.body());
        assert_eq!(
            refused.assert_status(502).error_type(),
            "upstream_error",
            "{head:?}"
        );
        // it may be billed all the same
        let status = if head.contains("204") {
            "truncated"
        } else {
            "broken"
        };
        house.booked().ends(status, &["estimated"]);
        house.upstream.respond_with(model::with_usage(10, 20));
        for _ in 0..3 {
            let answer = client.chat(&Chat.body());
            assert!(
                answer.assert_status(200).json()["choices"].is_array(),
                "{}",
                answer.text()
            );
        }
        wait_until("the rest is booked", || house.gatekeeper.holds_open() == 0);
        house.booked_all(3);
    }
}
