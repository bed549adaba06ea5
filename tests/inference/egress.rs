//! Outgoing connections: an HTTP proxy with a password; TLS to providers, webhooks and hosts of images, with a private certificate
//! authority and a client certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::proxy::{TestProxy, egress};
use crate::harness::script::Script;
use crate::harness::tls::{self, Authority, ClientCertificate, TlsServer};
use crate::harness::upstream::Upstream;
use crate::harness::{golden, model, wait_until};

fn chat(gatekeeper: &mut Gatekeeper) -> (u16, String) {
    let team = gatekeeper.team_with_budget("eng", "1");
    let key = gatekeeper.key_of(&team);
    let body = json!({"model": "m-small", "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}]});
    let response = gatekeeper.user(&key).chat(&body);
    (response.status, response.text())
}

#[test]
fn proxy_with_password_tunnels_a_host_name_that_only_it_resolves() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let proxy = TestProxy::start(upstream.address());
    let provider = Provider::openai("up", &upstream).base_url("http://models.example/v1");
    let mut gatekeeper = Gatekeeper::without_providers().provider(&provider).start();
    std::fs::write(gatekeeper.folder().join("password"), "hunter2").expect("written");
    let password = gatekeeper.folder().join("password").display().to_string();
    let lines = format!(
        "proxy = \"http://{}\"\nproxy_user = \"gk\"\nproxy_password = \"file:{password}\"",
        proxy.address
    );
    egress(&gatekeeper, &lines);
    gatekeeper.restart();
    let (status, text) = chat(&mut gatekeeper);
    assert_eq!(status, 200, "{text}");
    assert!(
        proxy.heads()[0].starts_with("CONNECT models.example:80 HTTP/1.1\r\n"),
        "{:?}",
        proxy.heads()
    );
    assert_eq!(upstream.request_count(), 1);
    assert!(!gatekeeper.all_output().contains("hunter2"));
    let config = gatekeeper.config.display().to_string();
    let listed = gatekeeper.run(&["check", "--egress", "--config", &config]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("models.example:80") && listed.contains("through proxy 127.0.0.1:"),
        "{listed}"
    );
}

#[test]
fn proxy_that_wants_a_password_is_named_as_the_cause() {
    let upstream = Upstream::start();
    let proxy = TestProxy::start(upstream.address());
    let provider = Provider::openai("up", &upstream).base_url("http://models.example/v1");
    let mut gatekeeper = Gatekeeper::without_providers().provider(&provider).start();
    egress(
        &gatekeeper,
        &format!("proxy = \"http://{}\"", proxy.address),
    );
    gatekeeper.restart();
    assert_eq!(chat(&mut gatekeeper).0, 502);
    assert!(
        gatekeeper.all_output().contains("proxy_password"),
        "{}",
        gatekeeper.all_output()
    );
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn provider_behind_private_authority_gets_its_client_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::write(folder.path());
    let completion = json!({"id": "c", "object": "chat.completion", "model": "m-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}});
    let answer = tls::answer("application/json", completion.to_string().as_bytes());
    let server = authority.serve("127.0.0.1", ClientCertificate::Required, answer);
    let address = server.address;
    let upstream = Upstream::start();
    let base = || Provider::openai("up", &upstream).base_url(&format!("https://{address}/v1"));
    let with_ca = || base().line(&format!("ca_file = \"{}\"", authority.file("ca.pem")));
    let complete = with_ca().line(&format!(
        "client_cert = \"{}\"\nclient_key = \"{}\"",
        authority.file("client.pem"),
        authority.file("client.key")
    ));
    for (provider, expected) in [(base(), 502), (with_ca(), 502), (complete, 200)] {
        let mut gatekeeper = Gatekeeper::without_providers().provider(&provider).start();
        let (status, text) = chat(&mut gatekeeper);
        assert_eq!(status, expected, "{text}{}", gatekeeper.all_output());
    }
}

/// Receiver of alerts over TLS with a certificate for `name`, and the gateway that trusts `authority`'s certificates or not.
fn alerting(authority: &Authority, name: &str, trusted: bool) -> (TlsServer, Gatekeeper) {
    let (upstream, answer) = (Upstream::start(), tls::answer("application/json", b"{}"));
    let receiver = authority.serve(name, ClientCertificate::NotAsked, answer);
    std::fs::write(authority.file("secret"), "webhook-secret").expect("written");
    let mut settings = format!(
        "[alerts]\nwebhook = \"https://{}/hook?token=canary-77\"\nwebhook_secret = \"file:{}\"",
        receiver.address,
        authority.file("secret")
    );
    if trusted {
        settings += &format!("\n[egress]\nca_file = \"{}\"", authority.file("ca.pem"));
    }
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting(&settings)
        .start();
    let budgets = json!([{"limit": "0.00001", "action": "warn"}]);
    let team = gatekeeper.team(&json!({"name": "eng", "budgets": budgets}));
    let body = json!({"model": "m-small", "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}]});
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    user.chat(&body).assert_status(200);
    (receiver, gatekeeper)
}

#[test]
fn webhook_over_tls_is_delivered_signed_to_a_receiver_of_a_trusted_authority() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::write(folder.path());
    let (receiver, _gatekeeper) = alerting(&authority, "127.0.0.1", true);
    for request in receiver.wait_for_requests(2) {
        assert!(
            request
                .head
                .starts_with("POST /hook?token=canary-77 HTTP/1.1\r\n"),
            "{}",
            request.head
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"webhook-secret");
        let signature = hmac::sign(&key, &request.body);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex: String = hex(signature.as_ref());
        assert!(
            request.head.contains(&format!("sha256={hex}")),
            "{}",
            request.head
        );
        let message: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        assert!(message["event"].is_string(), "{message}");
    }
}

#[test]
fn webhook_over_tls_sends_nothing_to_a_receiver_of_another_authority_or_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::write(folder.path());
    for (name, trusted) in [("127.0.0.1", false), ("other.example", true)] {
        let (receiver, gatekeeper) = alerting(&authority, name, trusted);
        wait_until("the webhook failed", || {
            gatekeeper
                .output()
                .contains("failed to send an alert to the webhook")
        });
        assert!(receiver.requests().is_empty());
        assert!(!gatekeeper.all_output().contains("canary-77"));
    }
}

#[test]
fn image_over_tls_is_fetched_from_a_host_of_a_trusted_authority_only() {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and the rest";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::write(folder.path());
    for (name, trusted, expected) in [
        ("127.0.0.1", true, 200),
        ("127.0.0.1", false, 400),
        ("other.example", true, 400),
    ] {
        let upstream = Upstream::start();
        upstream.respond_with(Script::unary(200, golden("gemini/text.json")));
        let pictures = authority.serve(
            name,
            ClientCertificate::NotAsked,
            tls::answer("image/png", PNG),
        );
        let gemini = Provider::openai("gem", &upstream)
            .preset("gemini")
            .models(&["m-small"]);
        let gemini = gemini.base_url(&upstream.url());
        let mut settings = "[fetch]\nimages = \"on\"\nprivate_hosts = [\"127.0.0.1\"]".to_owned();
        if trusted {
            settings += &format!("\n[egress]\nca_file = \"{}\"", authority.file("ca.pem"));
        }
        let setup = Gatekeeper::without_providers()
            .provider(&gemini)
            .setting(&settings);
        let mut gatekeeper = setup.start();
        let team = gatekeeper.team_with_budget("eng", "10");
        let url = format!("https://{}/cat.png", pictures.address);
        let image = json!({"type": "image_url", "image_url": {"url": url}});
        let body = json!({"model": "m-small", "max_tokens": 30, "messages": [{"role": "user", "content": [image]}]});
        let user = gatekeeper.user(&gatekeeper.key_of(&team));
        let answer = user.chat(&body);
        assert_eq!(
            answer.status,
            expected,
            "{name} {trusted}: {}",
            answer.text()
        );
        let served = usize::from(expected == 200);
        assert_eq!(
            (pictures.requests().len(), upstream.request_count()),
            (served, served)
        );
        if served == 1 {
            let sent = upstream.last_request().json();
            let data = &sent["contents"][0]["parts"][0]["inlineData"];
            assert_eq!(data["data"], STANDARD.encode(PNG), "{sent}");
            assert!(
                pictures.requests()[0]
                    .head
                    .starts_with("GET /cat.png HTTP/1.1\r\n")
            );
        }
    }
}
