//! TLS listener: protocol versions, HTTP/1.1 as the only protocol, replacement of the certificate under load, and pairs that
//! cannot be used.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;

use super::CommandOutput;
use crate::harness::process::gatekeeper_command;
use crate::harness::{DEADLINE, wait_until};

/// A gateway with TLS files that the test writes.
struct TlsServer {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Writes a new pair for localhost and returns its certificate.
fn write_pair(folder: &TempDir) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    fs::write(
        folder.path().join("key.pem"),
        made.signing_key.serialize_pem(),
    )
    .expect("written");
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
    made.cert.der().clone()
}

fn initialized_folder(settings: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(
        folder.path().join("gatekeeper.toml"),
        format!("listen = \"127.0.0.1:0\"\n{settings}"),
    )
    .expect("written");
    let made = command(&folder, "init").output().expect("the binary runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    folder
}

fn command(folder: &TempDir, name: &str) -> Command {
    let mut command = gatekeeper_command();
    command.current_dir(folder.path()).arg(name);
    command
}

const FILES: &str = "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";

impl TlsServer {
    fn start(folder: TempDir) -> TlsServer {
        let log = fs::File::create(folder.path().join("serve.log")).expect("a log");
        let mut child = command(&folder, "serve")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut first_line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut first_line)
            .expect("a line");
        let (_, address) = first_line
            .trim()
            .rsplit_once("https://")
            .unwrap_or_else(|| {
                panic!(
                    "{first_line}{}",
                    fs::read_to_string(folder.path().join("serve.log")).unwrap_or_default()
                )
            });
        let address = address.parse().expect("an address");
        TlsServer {
            folder,
            child,
            address,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    fn certificate(&self, file: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder.path().join(file)).expect("a certificate")
    }

    fn connect(
        &self,
        roots: &[CertificateDer<'static>],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream {
        let mut store = RootCertStore::empty();
        roots
            .iter()
            .for_each(|root| store.add(root.clone()).expect("a root"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        StreamOwned::new(connection, stream)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status line of `GET /healthz` on an open connection, or the error.
fn health(stream: &mut (impl Read + Write)) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    while !answer.ends_with(b"}") {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn tls_listener_offers_http_1_1_only_with_both_versions() {
    let server = TlsServer::start(initialized_folder("tls = \"self-signed\"\n"));
    let data = PathBuf::from("gatekeeper-data/tls-self-signed.pem");
    let root = server.certificate(&data.display().to_string());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = server.connect(std::slice::from_ref(&root), &[version]);
        assert_eq!(health(&mut stream).expect("an answer"), "HTTP/1.1 200 OK");
        assert_eq!(
            stream.conn.alpn_protocol(),
            Some(&b"http/1.1"[..]),
            "{version:?}"
        );
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn tls_listener_plain_http_is_answered_with_the_remedy() {
    let server = TlsServer::start(initialized_folder("tls = \"self-signed\"\n"));
    let mut stream = TcpStream::connect(server.address).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    // the unread request may turn the end of the connection into a reset
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"),
        "{answer}"
    );
}

#[test]
fn tls_handshake_that_never_comes_is_ended() {
    let settings = "tls = \"self-signed\"\n[limits]\nclient_head_s = 1\nclient_idle_s = 1\n";
    let server = TlsServer::start(initialized_folder(settings));
    for begun in [&b""[..], &[22, 3, 1]] {
        let mut stream = TcpStream::connect(server.address).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.write_all(begun).expect("sent");
        let mut rest = Vec::new();
        // a reset is an end, too
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[test]
fn certificate_replacement_under_load_fails_no_request() {
    const REPLACEMENTS: usize = 5;
    let folder = initialized_folder(FILES);
    let mut roots = vec![write_pair(&folder)];
    let pairs: Vec<TempDir> = (0..REPLACEMENTS)
        .map(|_| tempfile::tempdir().expect("a folder"))
        .collect();
    roots.extend(pairs.iter().map(write_pair));
    let server = TlsServer::start(folder);
    let both = [&rustls::version::TLS12, &rustls::version::TLS13];
    let mut kept = server.connect(&roots, &both);
    assert_eq!(health(&mut kept).expect("an answer"), "HTTP/1.1 200 OK");
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let mut stream = server.connect(&roots, &both);
                    assert_eq!(health(&mut stream).expect("an answer"), "HTTP/1.1 200 OK");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for pair in &pairs {
            let before = served.load(Ordering::SeqCst);
            // the files are replaced one after the other, as tools do: the pair in between cannot be used
            for file in ["key.pem", "cert.pem"] {
                fs::copy(pair.path().join(file), server.folder.path().join(file)).expect("copied");
            }
            kill_process(Pid::from_child(&server.child), Signal::HUP).expect("a signal");
            let expected = server.certificate("cert.pem");
            wait_until("the new certificate is served", || {
                let mut stream = server.connect(&roots, &both);
                assert_eq!(health(&mut stream).expect("an answer"), "HTTP/1.1 200 OK");
                stream
                    .conn
                    .peer_certificates()
                    .is_some_and(|chain| chain[0] == expected)
            });
            wait_until("requests continue", || {
                served.load(Ordering::SeqCst) > before
            });
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(
        health(&mut kept).expect("the old connection"),
        "HTTP/1.1 200 OK"
    );
}

#[test]
fn certificate_that_does_not_fit_its_key_leaves_the_old_one_and_is_logged() {
    let folder = initialized_folder(FILES);
    let root = write_pair(&folder);
    let other = tempfile::tempdir().expect("a folder");
    write_pair(&other);
    let server = TlsServer::start(folder);
    fs::copy(
        other.path().join("cert.pem"),
        server.folder.path().join("cert.pem"),
    )
    .expect("copied");
    kill_process(Pid::from_child(&server.child), Signal::HUP).expect("a signal");
    wait_until("the refusal is logged", || {
        server.log().contains("certificate refused")
    });
    wait_until("the refusal is audited", || {
        let mut list = command(&server.folder, "audit");
        let output = list
            .args(["tail", "--action", "certificate.*"])
            .output()
            .expect("the binary runs");
        String::from_utf8_lossy(&output.stdout).contains("certificate.refused")
    });
    let mut stream = server.connect(&[root], &[&rustls::version::TLS13]);
    assert_eq!(health(&mut stream).expect("an answer"), "HTTP/1.1 200 OK");
}

#[test]
fn certificate_unusable_at_start_is_exit_78_with_its_file() {
    let folder = initialized_folder(FILES);
    write_pair(&folder);
    fs::write(folder.path().join("cert.pem"), "no certificate").expect("written");
    let ended = command(&folder, "serve").output().expect("the binary runs");
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{text}");
    assert!(text.contains("cert.pem"), "{text}");
}

#[test]
fn command_over_tls_verifies_the_certificate_before_it_sends_the_key() {
    let folder = initialized_folder(FILES);
    let certificate = write_pair(&folder);
    let key = folder.path().join("admin.key");
    fs::write(&key, "sk-gk-master-canary").expect("written");
    let server = TlsServer::start(folder);
    let url = format!("https://localhost:{}", server.address.port());
    let run = |authority: Option<&str>| {
        let mut command = command(&server.folder, "usage");
        command.args(["--url", &url, "--admin-key-file"]).arg(&key);
        command.args(
            authority
                .map(|file| ["--ca-file", file])
                .into_iter()
                .flatten(),
        );
        CommandOutput::from(command.output().expect("the binary runs"))
    };
    drop(certificate);
    run(None)
        .assert_exit_code(1)
        .assert_stderr(&["no server reachable at localhost", "certificate"]);
    // the server is known, and refuses this key
    run(Some("cert.pem"))
        .assert_exit_code(1)
        .assert_stderr(&["key"]);
}
