//! Exchanges over TLS: reuse, the end of a body, and certificates that are not trusted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{LONG_MS, client, ok, run};
use crate::domain::egress::ConnectionConfig;
use crate::upstream::{Client, ConnectCause, OutgoingRequest, TransportError};

type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// Server with a certificate for `localhost`, whose file the client may trust.
struct TlsPeer {
    port: u16,
    connections: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

impl TlsPeer {
    fn start(script: impl Fn(&mut TlsStream) + Send + Sync + 'static) -> TlsPeer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        let config = Arc::new(config.expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let connections = Arc::<AtomicUsize>::default();
        let (counter, script) = (connections.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let connection = ServerConnection::new(config.clone()).expect("a connection");
                let script = script.clone();
                std::thread::spawn(move || script(&mut StreamOwned::new(connection, stream)));
            }
        });
        TlsPeer {
            port,
            connections,
            folder,
        }
    }

    fn trusting(&self) -> ConnectionConfig {
        ConnectionConfig {
            ca_file: Some(self.folder.path().join("ca.pem")),
            ..ConnectionConfig::default()
        }
    }

    async fn call(
        &self,
        client: &Client,
        host: &str,
        connection: &ConnectionConfig,
    ) -> Result<(u16, Bytes), TransportError> {
        let request = OutgoingRequest {
            url: &format!("https://{host}:{}/", self.port),
            connection,
            headers: Vec::new(),
            body: Bytes::new(),
            head_timeout_ms: LONG_MS,
        };
        let response = client.post(request, |_| false).await?;
        let status = response.status;
        Ok((status, response.read_body(1 << 20, LONG_MS, |_| {}).await?))
    }
}

/// Reads a request without a body; false at the end.
fn read_request(stream: &mut TlsStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return false;
        }
        head.push(byte[0]);
    }
    true
}

fn write(stream: &mut TlsStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
}

#[test]
fn tls_connection_is_reused_although_tickets_come_after_the_handshake() {
    let peer = TlsPeer::start(|stream| {
        while read_request(stream) {
            write(stream, super::OK);
        }
    });
    run(async {
        let (client, trusting) = (client(), peer.trusting());
        for _ in 0..5 {
            assert_eq!(peer.call(&client, "localhost", &trusting).await, Ok(ok()));
        }
        assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn tls_body_without_length_is_complete_only_with_the_closing_message() {
    const UNSIZED: &str = "HTTP/1.1 200 OK\r\n\r\nhello";
    let polite = TlsPeer::start(|stream| {
        read_request(stream);
        write(stream, UNSIZED);
        stream.conn.send_close_notify();
        let _ = stream.conn.write_tls(&mut stream.sock);
    });
    let cut = TlsPeer::start(|stream| {
        read_request(stream);
        write(stream, UNSIZED);
    });
    run(async {
        let client = client();
        let whole = polite.call(&client, "localhost", &polite.trusting()).await;
        assert_eq!(whole, Ok(ok()));
        let lost = cut.call(&client, "localhost", &cut.trusting()).await;
        assert!(
            matches!(lost, Err(TransportError::Truncated(_))),
            "{lost:?}"
        );
    });
}

#[test]
fn tls_certificate_of_another_authority_or_name_is_refused() {
    let peer = TlsPeer::start(|stream| {
        read_request(stream);
    });
    run(async {
        let client = client();
        for (host, connection) in [
            ("localhost", ConnectionConfig::default()),
            ("127.0.0.1", peer.trusting()),
        ] {
            let refused = peer.call(&client, host, &connection).await;
            let is_tls = matches!(
                &refused,
                Err(TransportError::Connect {
                    cause: ConnectCause::Tls,
                    ..
                })
            );
            assert!(is_tls, "{refused:?}");
        }
    });
}
