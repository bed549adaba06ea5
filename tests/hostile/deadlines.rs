//! Clients that keep a connection and send or read nothing: every state of a connection ends by its deadline, and the end is
//! counted by its reason.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ended;
use crate::harness::client::Connection;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// The gateway's own deadlines are 1 or 2 s; a machine that is ten times too slow still ends the wait.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(upstream: &Upstream) -> (Gatekeeper, Key) {
    let mut gatekeeper = Gatekeeper::with_upstream(upstream)
        .setting("[limits]\nclient_head_s = 1\nclient_idle_s = 2\nclient_stall_s = 1\nbody_timeout_s = 1")
        .start();
    let team = gatekeeper.team_with_budget("slow", "10");
    let key = gatekeeper.key_of(&team);
    (gatekeeper, key)
}

/// Reads until the gateway closes the connection.
fn assert_closes(mut connection: Connection, what: &str) {
    connection.set_read_timeout(PATIENCE);
    let start = Instant::now();
    while !connection.is_closed_by_peer() {
        assert!(start.elapsed() < PATIENCE, "{what} stays open");
    }
}

/// Sends a byte every 200 ms until the gateway closes the connection.
fn assert_closes_while_sending(mut connection: Connection, what: &str) {
    let start = Instant::now();
    connection.set_read_timeout(Duration::from_millis(200));
    while !connection.is_closed_by_peer() {
        assert!(start.elapsed() < PATIENCE, "{what} stays open");
        connection.send("x");
    }
}

#[test]
fn incomplete_head_ends_by_its_deadline_whether_first_or_second() {
    let upstream = Upstream::start();
    let (gatekeeper, _) = start(&upstream);
    let anon = gatekeeper.anon();
    let half = "GET /healthz HTTP/1.1\r\nhost: a\r\nx: ";
    let mut first = anon.connect();
    first.send(half);
    let mut second = anon.connect();
    second.call("GET", "/healthz", None).assert_status(200);
    second.send(half);
    let mut dripped = anon.connect();
    dripped.call("GET", "/healthz", None).assert_status(200);
    dripped.send(half);
    let before = ended(&gatekeeper, "head_timeout");
    assert_closes(first, "half a first head");
    assert_closes(second, "half a second head");
    assert_closes_while_sending(dripped, "a second head that comes byte by byte");
    wait_until("the ends are counted", || {
        ended(&gatekeeper, "head_timeout") >= before + 2
    });
}

#[test]
fn idle_connection_ends_by_its_deadline() {
    let upstream = Upstream::start();
    let (gatekeeper, _) = start(&upstream);
    let before = ended(&gatekeeper, "idle");
    let mut used = gatekeeper.anon().connect();
    used.call("GET", "/healthz", None).assert_status(200);
    assert_closes(used, "an idle connection");
    wait_until("the end is counted", || ended(&gatekeeper, "idle") > before);
    assert_closes(
        gatekeeper.anon().connect(),
        "a connection without a request",
    );
}

#[test]
fn answer_before_the_end_of_the_body_closes_the_connection() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = start(&upstream);
    for (secret, status) in [("sk-gk-nobody-x", 401), (key.secret.as_str(), 400)] {
        let mut connection = gatekeeper.anon().connect();
        connection.send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {secret}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n"
        ));
        connection.read_response("POST").assert_status(status);
        assert_closes_while_sending(connection, "a connection after its early answer");
    }
    let mut connection = gatekeeper.anon().connect();
    connection.send("POST /healthz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let answer = connection.read_response("POST");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_closes(connection, "a connection after its early answer");
    wait_until("the ends are counted", || {
        ended(&gatekeeper, "unread_body") >= 1
    });
}

#[test]
fn slow_body_is_refused_by_its_deadline() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = start(&upstream);
    let mut connection = gatekeeper.user(&key).connect();
    connection.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        key.secret
    ));
    let refusal = connection.read_response("POST");
    assert!(
        refusal
            .assert_status(400)
            .error_message()
            .contains("incomplete body after 1 s")
    );
    assert_closes(connection, "a connection with a slow body");
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn slow_body_behind_another_request_is_refused_by_its_deadline() {
    let upstream = Upstream::start();
    // no other deadline comes first
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nclient_head_s = 300\nclient_idle_s = 300\nbody_timeout_s = 1")
        .start();
    let team = gatekeeper.team_with_budget("slow", "10");
    let key = gatekeeper.key_of(&team);
    let mut connection = gatekeeper.user(&key).connect();
    let head = |bytes: usize| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: {bytes}\r\n\r\n",
            key.secret
        )
    };
    let body = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
    let body = body.to_string();
    // nothing comes from the client once the second request is begun
    connection.send(format!("{}{body}{}{{", head(body.len()), head(100)));
    connection.read_response("POST").assert_status(200);
    let refusal = connection.read_response("POST");
    assert!(
        refusal
            .assert_status(400)
            .error_message()
            .contains("incomplete body after 1 s")
    );
    assert_closes(connection, "a connection with a slow body");
    assert_eq!(upstream.request_count(), 1);
}

#[test]
fn client_that_reads_nothing_loses_its_connection_and_is_billed() {
    let upstream = Upstream::start();
    let piece = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(60_000)
    );
    upstream.respond_with(Script::stream(vec![piece; 400]).then_hangs());
    let (gatekeeper, key) = start(&upstream);
    let mut connection = gatekeeper.user(&key).connect();
    let body = json!({"model": "m-small", "max_tokens": 50, "stream": true, "messages": [{"role": "user", "content": "x"}]});
    connection.send_request(
        "POST",
        "/v1/chat/completions",
        Some(body.to_string().as_bytes()),
    );
    upstream.wait_for_requests(1).wait_for_disconnects(1);
    wait_until("the call is settled", || gatekeeper.holds_open() == 0);
    gatekeeper.usage();
    assert_eq!(gatekeeper.requests()[0]["status"], "client_gone");
}
