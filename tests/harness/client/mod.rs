//! HTTP/1.1 client of the tests, in three personas: `anon` (no key), `user` (virtual key) and `admin`. It speaks raw HTTP
//! over a socket, so that a test reads a response byte by byte, sends malformed requests and disconnects at any point.

mod body;
mod connection;
mod response;
mod socket;
mod stream;

use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

pub use self::body::BodyEnd;
pub use self::connection::Connection;
pub use self::response::Response;
pub use self::stream::{ResponseStream, SseEvent};
use super::DEADLINE;

/// HTTP client with fixed headers. Each call opens a connection of its own; `connect` returns one to keep.
#[derive(Clone, Debug)]
pub struct HttpClient {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// Client without a key.
pub fn anon(address: SocketAddr) -> HttpClient {
    HttpClient {
        address,
        headers: Vec::new(),
    }
}

/// Client with a virtual key, sent as a bearer token.
pub fn user(address: SocketAddr, key: &str) -> HttpClient {
    anon(address).with("authorization", &format!("Bearer {key}"))
}

/// Client with an administrative key.
pub fn admin(address: SocketAddr, key: &str) -> HttpClient {
    user(address, key)
}

impl HttpClient {
    /// Sends this header with every request.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> HttpClient {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the key as `x-api-key` instead of `authorization`, as Anthropic's clients do.
    #[must_use]
    pub fn with_x_api_key(mut self) -> HttpClient {
        for (name, value) in &mut self.headers {
            if name == "authorization" {
                *name = "x-api-key".to_owned();
                *value = value.trim_start_matches("Bearer ").to_owned();
            }
        }
        self
    }

    pub fn get(&self, path: &str) -> Response {
        self.connect().call("GET", path, None)
    }

    pub fn head(&self, path: &str) -> Response {
        self.connect().call("HEAD", path, None)
    }

    pub fn delete(&self, path: &str) -> Response {
        self.connect().call("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    pub fn patch(&self, path: &str, body: &Value) -> Response {
        self.connect()
            .call("PATCH", path, Some(body.to_string().as_bytes()))
    }

    pub fn put(&self, path: &str, body: &Value) -> Response {
        self.connect()
            .call("PUT", path, Some(body.to_string().as_bytes()))
    }

    /// Posts a body that may be invalid JSON.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Response {
        self.connect().call("POST", path, Some(body))
    }

    /// `POST /v1/chat/completions`; returns the complete response.
    pub fn chat(&self, body: &Value) -> Response {
        self.post("/v1/chat/completions", body)
    }

    /// `POST /v1/messages`; returns the complete response.
    pub fn messages(&self, body: &Value) -> Response {
        self.post("/v1/messages", body)
    }

    /// Posts a request and reads the response head; events are read one by one.
    pub fn open_stream(&self, path: &str, body: &Value) -> ResponseStream {
        let mut connection = self.connect();
        connection.send_request("POST", path, Some(body.to_string().as_bytes()));
        connection.open_response()
    }

    /// Opens a connection that is kept for several requests.
    pub fn connect(&self) -> Connection {
        let socket = TcpStream::connect_timeout(&self.address, DEADLINE)
            .unwrap_or_else(|error| panic!("failed to connect to {}: {error}", self.address));
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a read timeout above zero");
        socket
            .set_write_timeout(Some(DEADLINE))
            .expect("a write timeout above zero");
        Connection::new(self.address, self.headers.clone(), socket)
    }
}
