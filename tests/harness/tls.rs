//! TLS on loopback: a certificate authority of the test, and servers with its certificates that record what they are sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::wait_until;

/// Certificate authority with its PEM file `ca.pem`, and the pair `client.pem` and `client.key`.
pub struct Authority {
    folder: PathBuf,
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// Certificates that a server asks its clients for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    NotAsked,
    Required,
}

impl Authority {
    pub fn write(folder: &Path) -> Authority {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("an authority");
        let authority = Authority {
            folder: folder.to_owned(),
            certificate,
            issuer: rcgen::Issuer::new(parameters, key),
        };
        let (client, client_key) = authority.signed("gatekeeper");
        for (file, text) in [
            ("ca.pem", authority.certificate.pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.serialize_pem()),
        ] {
            std::fs::write(folder.join(file), text).expect("written");
        }
        authority
    }

    /// Path of one of the files.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).expect("parameters");
        let signed = parameters.signed_by(&key, &self.issuer);
        (signed.expect("a certificate"), key)
    }

    /// Serves one answer per connection, with a certificate for this name.
    pub fn serve(&self, name: &str, clients: ClientCertificate, answer: Vec<u8>) -> TlsServer {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            ClientCertificate::NotAsked => builder.with_no_client_auth(),
            ClientCertificate::Required => {
                let mut roots = RootCertStore::empty();
                roots.add(self.certificate.der().clone()).expect("a root");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let (certificate, key) = self.signed(name);
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], private);
        TlsServer::start(Arc::new(config.expect("a pair")), answer)
    }
}

/// A request over TLS.
#[derive(Clone, Debug)]
pub struct TlsRequest {
    pub head: String,
    pub body: Vec<u8>,
}

pub struct TlsServer {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<TlsRequest>>>,
}

impl TlsServer {
    fn start(config: Arc<ServerConfig>, answer: Vec<u8>) -> TlsServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::<Mutex<Vec<TlsRequest>>>::default();
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(config.clone()).expect("a connection");
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || {
                    respond(StreamOwned::new(connection, stream), &seen, &answer)
                });
            }
        });
        TlsServer { address, requests }
    }

    pub fn requests(&self) -> Vec<TlsRequest> {
        self.requests.lock().expect("no thread panicked").clone()
    }

    pub fn wait_for_requests(&self, count: usize) -> Vec<TlsRequest> {
        wait_until(&format!("the TLS server has {count} requests"), || {
            self.requests().len() >= count
        });
        self.requests()
    }
}

/// Reads one request; a failed handshake is none.
fn respond(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    seen: &Mutex<Vec<TlsRequest>>,
    answer: &[u8],
) {
    let head = read_head(&mut stream);
    if head.is_empty() {
        return;
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().expect("a length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let request = TlsRequest { head, body };
    seen.lock().expect("no thread panicked").push(request);
    let _ = stream.write_all(answer).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Reads up to the empty line.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A complete answer whose connection closes.
pub fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
