//! Trace of a provider that fails: the log, the record, its explanation and the list of requests name the reason.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use crate::harness::hello;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

/// URL at which nothing listens.
fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    format!("http://{address}/v1")
}

/// HTTPS URL of a server that answers without TLS.
fn url_without_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    format!("https://{address}/v1")
}

#[test]
fn dead_provider_leaves_its_reason_in_log_record_explanation_and_list() {
    let upstream = Upstream::start();
    let dead = Provider::openai("dead", &upstream).base_url(&dead_url());
    let plain = Provider::openai("plain", &upstream).base_url(&url_without_tls());
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&dead.models(&["m-dead"]))
        .provider(&plain.models(&["m-plain"]))
        .start();
    let team = gatekeeper.team_with_budget("eng", "1");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let config = gatekeeper.config.to_str().expect("a path").to_owned();
    for (model, reason) in [("m-dead", "connection_refused"), ("m-plain", "tls")] {
        let answer = user.chat(&hello(model));
        let id = answer
            .assert_status(502)
            .header("x-gatekeeper-request-id")
            .expect("an id")
            .to_owned();
        let request = gatekeeper.admin().get(&format!("/v1/requests/{id}"));
        let request = request.assert_status(200).json();
        let attempt = &request["attempts"][0];
        let detail = attempt["upstream_error_detail"]
            .as_str()
            .unwrap_or_default();
        assert!(detail.starts_with(&format!("{reason}: ")), "{attempt}");
        let explained = gatekeeper.run(&["requests", "explain", &id, "--config", &config]);
        assert!(text(&explained.stdout).contains(detail), "{detail}");
        let listed = gatekeeper.run(&["requests", "list", "--model", model, "--config", &config]);
        assert!(
            text(&listed.stdout).contains(reason),
            "{}",
            text(&listed.stdout)
        );
        let output = gatekeeper.output();
        let warned = |line: &str| line.contains("WARN") && line.contains(reason);
        assert!(output.lines().any(warned), "{output}");
    }
}
