//! Exchanges with a scripted peer over loopback.

mod framing;
mod reuse;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::client::{Client, Egress, OutgoingRequest};
use super::error::TransportError;
use super::response::IncomingResponse;
use crate::domain::egress::{ConnectionConfig, EgressConfig};

/// Longer than any machine takes.
const LONG_MS: u64 = 60_000;

/// Peer with one thread per connection.
struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// One connection at the peer.
struct Accepted {
    stream: TcpStream,
    /// from 1
    number: usize,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    fn start(script: impl Fn(&mut Accepted) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let peer = Peer {
            address: listener.local_addr().expect("bound"),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (peer.connections.clone(), peer.requests.clone());
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut accepted = Accepted {
                    stream,
                    number: connections.fetch_add(1, Ordering::SeqCst) + 1,
                    requests: requests.clone(),
                };
                let script = script.clone();
                std::thread::spawn(move || script(&mut accepted));
            }
        });
        peer
    }

    /// Peer that answers every request of a connection with these bytes.
    fn answering(bytes: &'static str) -> Peer {
        Peer::start(move |accepted| {
            while accepted.read_request().is_some() {
                accepted.write(bytes);
            }
        })
    }

    /// Peer that answers the first request of a connection and closes the connection.
    fn closing_after(bytes: &'static str) -> Peer {
        Peer::start(move |accepted| {
            accepted.read_request();
            accepted.write(bytes);
        })
    }

    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.connections), count(&self.requests))
    }

    fn url(&self) -> String {
        format!("http://{}/v1/chat?x=1", self.address)
    }
}

impl Accepted {
    /// Head and body of the next request; `None` at the end of the connection.
    fn read_request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.read_head()?;
        let length = head.split("content-length: ").nth(1);
        let length = length.map_or(0, |rest| {
            let digits = rest.split("\r\n").next().expect("a line");
            digits.parse().expect("a length")
        });
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((head, body))
    }

    fn read_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        Some(String::from_utf8(head).expect("ASCII"))
    }

    fn write(&mut self, text: &str) {
        // the client may have hung up
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Waits until the client has closed the connection.
    fn wait_for_end(&mut self) {
        while self
            .stream
            .read(&mut [0; 4096])
            .is_ok_and(|count| count > 0)
        {}
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ncontent-length: 5\r\n\r\nhello";

fn client() -> Client {
    let egress = Egress::open(&EgressConfig::default(), LONG_MS, []);
    Client::new(&egress.expect("built-in roots"), None)
}

async fn post(
    client: &Client,
    peer: &Peer,
    body: Bytes,
) -> Result<IncomingResponse, TransportError> {
    post_within(client, peer, body, LONG_MS).await
}

async fn post_within(
    client: &Client,
    peer: &Peer,
    body: Bytes,
    head_timeout_ms: u64,
) -> Result<IncomingResponse, TransportError> {
    let request = OutgoingRequest {
        url: &peer.url(),
        connection: &ConnectionConfig::default(),
        headers: vec![("x-a", "1")],
        body,
        head_timeout_ms,
    };
    client.post(request, |name| name == "content-type").await
}

/// Status and complete body of a call.
async fn call(client: &Client, peer: &Peer) -> Result<(u16, Bytes), TransportError> {
    let response = post(client, peer, Bytes::from_static(b"question")).await?;
    let status = response.status;
    let body = response.read_body(1 << 30, LONG_MS, |_| {}).await?;
    Ok((status, body))
}

fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

fn ok() -> (u16, Bytes) {
    (200, Bytes::from_static(b"hello"))
}
