//! HTTP proxy that tunnels every host to one address, so that a test reaches its upstream under a vendor's host name.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::process::Gatekeeper;
use super::tls::read_head;

/// A proxy that tunnels to one address, whatever host is asked for, and keeps the heads of its requests.
pub struct TestProxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    pub fn start(target: SocketAddr) -> TestProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || tunnel(stream, target, &seen));
            }
        });
        TestProxy { address, heads }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no thread panicked").clone()
    }
}

fn tunnel(mut client: TcpStream, target: SocketAddr, heads: &Mutex<Vec<String>>) {
    let head = read_head(&mut client);
    let allowed = head.contains("proxy-authorization: Basic Z2s6aHVudGVyMg==");
    heads.lock().expect("no thread panicked").push(head);
    if !allowed {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
    }
    let mut server = TcpStream::connect(target).expect("the target");
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n");
    let (mut from, mut to) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut server, &mut client);
}

/// Adds these lines to the `[egress]` section of the configuration.
pub fn egress(gatekeeper: &Gatekeeper, lines: &str) {
    let text = std::fs::read_to_string(&gatekeeper.config).expect("a configuration");
    std::fs::write(&gatekeeper.config, format!("{text}\n[egress]\n{lines}\n")).expect("written");
}
