//! Outgoing connections: an HTTP proxy with a password, a private certificate authority, a client certificate.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::proxy::{TestProxy, egress, read_head};
use crate::harness::upstream::Upstream;

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

/// Certificate authority, server certificate for 127.0.0.1 and client certificate, as PEM files and keys.
struct Authority {
    ca: rcgen::Certificate,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    fn write(folder: &Path) -> Authority {
        let signed = |name: &str, issuer: &rcgen::Issuer<'_, rcgen::KeyPair>| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let parameters = rcgen::CertificateParams::new([name.to_owned()]).expect("parameters");
            (
                parameters.signed_by(&key, issuer).expect("a certificate"),
                key,
            )
        };
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&ca_key).expect("an authority");
        let issuer = rcgen::Issuer::new(parameters, ca_key);
        let (server, server_key) = signed("127.0.0.1", &issuer);
        let (client, client_key) = signed("gatekeeper", &issuer);
        for (file, text) in [
            ("ca.pem", ca.pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.serialize_pem()),
        ] {
            std::fs::write(folder.join(file), text).expect("written");
        }
        let private = PrivatePkcs8KeyDer::from(server_key.serialize_der());
        Authority {
            ca,
            server: (server.der().clone(), PrivateKeyDer::Pkcs8(private)),
        }
    }

    /// Serves one answer per connection to clients with a certificate of the authority.
    fn serve(&self) -> SocketAddr {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(vec![self.server.0.clone()], self.server.1.clone_key())
            .expect("a pair");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(config.clone()).expect("a connection");
                answer(StreamOwned::new(connection, stream));
            }
        });
        address
    }
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    if read_head(&mut stream).is_empty() {
        return;
    }
    let body = json!({"id": "c", "object": "chat.completion", "model": "m-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}})
    .to_string();
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = stream.flush();
}

#[test]
fn provider_behind_private_authority_gets_its_client_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::write(folder.path());
    let address = authority.serve();
    let upstream = Upstream::start();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let base = || Provider::openai("up", &upstream).base_url(&format!("https://{address}/v1"));
    let with_ca = || base().line(&format!("ca_file = \"{}\"", file("ca.pem")));
    let complete = with_ca().line(&format!(
        "client_cert = \"{}\"\nclient_key = \"{}\"",
        file("client.pem"),
        file("client.key")
    ));
    for (provider, expected) in [(base(), 502), (with_ca(), 502), (complete, 200)] {
        let mut gatekeeper = Gatekeeper::without_providers().provider(&provider).start();
        let (status, text) = chat(&mut gatekeeper);
        assert_eq!(status, expected, "{text}{}", gatekeeper.all_output());
    }
}
