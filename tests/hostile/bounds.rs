//! Bounds of connections: hostile ones displace each other, and neither other clients nor the admin socket wait for them.

use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// A connection with half a head.
fn half_head(gatekeeper: &Gatekeeper) -> TcpStream {
    use std::io::Write;
    let mut stream = TcpStream::connect(gatekeeper.address()).expect("a connection");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ")
        .expect("sent");
    stream
}

fn request() -> serde_json::Value {
    json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]})
}

/// 615 connections against 512 descriptors stopped all clients and the admin socket.
#[test]
fn half_heads_beyond_the_descriptors_stop_neither_clients_nor_the_admin_socket() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nconnections_max = 208\nconnections_per_address_max = 104")
        .start();
    let pid = Pid::from_raw(i32::try_from(gatekeeper.pid()).expect("a pid"));
    let limit = Rlimit {
        current: Some(512),
        maximum: Some(512),
    };
    prlimit(pid, Resource::Nofile, limit).expect("limits of a child can be lowered");
    let team = gatekeeper.team_with_budget("good", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut kept = user.connect();
    kept.chat(&request()).assert_status(200);
    let hostile: Vec<TcpStream> = (0..615).map(|_| half_head(&gatekeeper)).collect();
    // a displaced connection stays counted until its worker has ended it, and at a quarter above the bound a new one is closed
    wait_until("the displaced connections have ended", || {
        let mut connection = gatekeeper.anon().connect();
        connection.send_request("GET", "/healthz", None);
        connection.try_read_response("GET").is_ok()
    });
    for _ in 0..20 {
        user.chat(&request()).assert_status(200);
    }
    let admin = gatekeeper.run(&["usage"]);
    assert!(admin.status.success(), "{admin:?}");
    let open = gatekeeper.metric("gatekeeper_connections_open");
    assert!(open <= 130.0, "{open} connections of one address");
    let displaced = super::ended(&gatekeeper, "displaced");
    assert!(displaced >= 400, "{displaced} displaced");
    drop(hostile);
}

#[test]
fn running_call_is_not_displaced() {
    let upstream = Upstream::start();
    let gate = crate::harness::gate::Gate::default();
    upstream.respond_with(crate::harness::model::with_usage(5, 5).held_by(&gate));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nconnections_max = 20\nconnections_per_address_max = 20")
        .start();
    let team = gatekeeper.team_with_budget("good", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut running = user.connect();
    running.send_request(
        "POST",
        "/v1/chat/completions",
        Some(request().to_string().as_bytes()),
    );
    upstream.wait_for_requests(1);
    let hostile: Vec<TcpStream> = (0..60).map(|_| half_head(&gatekeeper)).collect();
    gate.open();
    running.read_response("POST").assert_status(200);
    drop(hostile);
    // the server needs a moment to see that they are gone, and until then a new connection may be reset
    wait_until("the hostile connections are gone", || {
        let mut connection = user.connect();
        connection.send_request("GET", "/healthz", None);
        connection.try_read_response("GET").is_ok()
    });
}
