//! Copies of the audit log for other systems, and its verification as a job of the server.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};

use crate::harness::process::Gatekeeper;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// Numbers of the events in a text of JSON lines.
fn seqs(text: &str) -> Vec<u64> {
    let seq = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("a JSON line");
        event["seq"].as_u64().expect("a number")
    };
    text.lines().map(seq).collect()
}

/// Numbers of the events that a receiver has, in the order of their arrival.
fn received(receiver: &Upstream) -> Vec<u64> {
    let requests = receiver.requests();
    let bodies = requests
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned());
    bodies.flat_map(|body| seqs(&body)).collect()
}

fn add_team(gatekeeper: &Gatekeeper, name: &str) {
    let created = gatekeeper.admin().post("/v1/teams", &json!({"name": name}));
    created.assert_status(201);
}

fn end(gatekeeper: &Gatekeeper) -> u64 {
    let page = gatekeeper
        .admin()
        .get("/v1/audit?limit=1")
        .assert_status(200)
        .json();
    page["follow"]
        .as_str()
        .expect("a cursor")
        .parse()
        .expect("a number")
}

#[test]
fn receiver_that_was_away_gets_every_event_in_order_and_signed() {
    let (receiver, folder) = (Upstream::start(), tempfile::tempdir().expect("a folder"));
    let secret = folder.path().join("secret");
    fs::write(&secret, "forward-secret-canary").expect("written");
    receiver.respond_with(Script::json(503, &json!({})));
    let setting = format!(
        "[audit]\nforward = \"{}/siem?token=canary-18\"\nforward_secret = \"file:{}\"\nforward_timeout_s = 60",
        receiver.url(),
        secret.display()
    );
    let mut gatekeeper = Gatekeeper::without_providers().setting(&setting).start();
    (0..5).for_each(|number| add_team(&gatekeeper, &format!("team {number}")));
    receiver.wait_for_requests(1);
    gatekeeper.stop();
    gatekeeper.start();
    add_team(&gatekeeper, "later");
    let refused = receiver.request_count();
    receiver.respond_with(Script::json(200, &json!({})));
    wait_until("the receiver has the newest event", || {
        let last = end(&gatekeeper);
        receiver.request_count() > refused && received(&receiver).contains(&last)
    });
    // the acknowledged events follow the refused ones: all, in order, from the first on
    let seen = received(&receiver);
    let first = seen
        .iter()
        .rposition(|seq| *seq == 1)
        .expect("the first event");
    let acknowledged: Vec<u64> = seen[first..].to_vec();
    let expected: Vec<u64> = (1..=acknowledged.len() as u64).collect();
    assert_eq!(acknowledged, expected);
    let request = receiver.last_request();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"forward-secret-canary");
    let signed = hmac::sign(&key, &request.body);
    let hex: String = signed
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        request.header("x-gatekeeper-signature"),
        Some(&*format!("sha256={hex}"))
    );
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    assert!(
        !gatekeeper.all_output().contains("canary"),
        "the receiver's URL is not logged"
    );
}

#[test]
fn file_and_syslog_get_every_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.jsonl");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    let setting = format!(
        "[audit]\nfile = \"{}\"\nsyslog = \"udp://{}\"",
        file.display(),
        socket.local_addr().expect("bound")
    );
    let gatekeeper = Gatekeeper::without_providers().setting(&setting).start();
    add_team(&gatekeeper, "copied");
    wait_until("the file has the newest event", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.ends_with('\n') && seqs(&text).last() == Some(&end(&gatekeeper))
    });
    let copied = seqs(&fs::read_to_string(&file).expect("the file"));
    assert_eq!(copied, (1..=copied.len() as u64).collect::<Vec<_>>());
    let mut message = [0; 65_536];
    let length = socket.recv(&mut message).expect("a message");
    let message = String::from_utf8_lossy(&message[..length]);
    assert!(
        message.starts_with("<110>1 20") && message.contains("audit.key - {"),
        "{message}"
    );
}

#[test]
fn verification_job_reports_what_it_found() {
    let gatekeeper = Gatekeeper::without_providers().start();
    let admin = gatekeeper.admin();
    admin.get("/v1/audit/verify").assert_status(404);
    let kept = admin.get("/v1/audit/checkpoint").assert_status(200).text();
    let started = admin.post("/v1/audit/verify", &json!({"checkpoints": [kept]}));
    assert_eq!(
        started.assert_status(202).json()["object"],
        "audit_verification"
    );
    let job = || admin.get("/v1/audit/verify").assert_status(200).json();
    wait_until("the verification is done", || job()["state"] == "done");
    let result = &job()["result"];
    assert_eq!(
        (&result["verified"], &result["saved"][0]["coverage"]),
        (&json!(true), &json!("unchanged"))
    );
    let foreign = kept.replacen("gatekeeper/", "gatekeepers/", 1);
    admin
        .post("/v1/audit/verify", &json!({"checkpoints": [foreign]}))
        .assert_status(202);
    wait_until("the second verification is done", || {
        job()["state"] == "done" && job()["result"]["verified"] == json!(false)
    });
    assert_eq!(job()["result"]["findings"][0]["kind"], "signature");
    admin
        .post("/v1/audit/verify", &json!({"checkpoint": "x"}))
        .assert_status(400);
}
