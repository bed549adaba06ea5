//! Client connection: sends requests and reads responses on one socket. Bytes received beyond the current response stay
//! buffered for the next one.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::body::{BodyEnd, BodyPart, BodyReader};
use super::response::Response;
use super::socket::{BufferedSocket, ReadOutcome};
use super::stream::ResponseStream;
use crate::harness::http::{Head, find};

/// One keep-alive connection of a client.
#[derive(Debug)]
pub struct Connection {
    peer: SocketAddr,
    /// sent with every request
    headers: Vec<(String, String)>,
    socket: BufferedSocket,
}

impl Connection {
    pub(super) fn new(
        peer: SocketAddr,
        headers: Vec<(String, String)>,
        socket: TcpStream,
    ) -> Connection {
        Connection {
            peer,
            headers,
            socket: BufferedSocket::new(socket),
        }
    }

    /// Sends one request and reads the complete response; the connection stays open.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> Response {
        self.send_request(method, path, body);
        self.read_response(method)
    }

    pub fn chat(&mut self, body: &Value) -> Response {
        self.call(
            "POST",
            "/v1/chat/completions",
            Some(body.to_string().as_bytes()),
        )
    }

    pub fn messages(&mut self, body: &Value) -> Response {
        self.call("POST", "/v1/messages", Some(body.to_string().as_bytes()))
    }

    /// Sends one request; write errors are ignored, because the server may reject it early and close.
    pub fn send_request(&mut self, method: &str, path: &str, body: Option<&[u8]>) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str(&format!("host: {}\r\n", self.peer));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        head.push_str("\r\n");
        self.send([head.as_bytes(), body.unwrap_or_default()].concat());
    }

    /// Sends bytes unchanged; write errors are ignored.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.stream.write_all(bytes.as_ref());
    }

    /// Reads the response head and leaves the body on the wire.
    pub fn open_response(mut self) -> ResponseStream {
        let head = self.read_head();
        ResponseStream::new(self.socket, head)
    }

    /// Reads the complete response; panics if there is none.
    pub fn read_response(&mut self, method: &str) -> Response {
        self.try_read_response(method)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Reads the complete response or returns the error: for a server that is killed meanwhile.
    pub fn try_read_response(&mut self, method: &str) -> Result<Response, String> {
        let head = self.try_read_head()?;
        let mut body = BodyReader::new(&head, method == "HEAD");
        let mut bytes = Vec::new();
        loop {
            match body.next(&mut self.socket) {
                BodyPart::Bytes(part) => bytes.extend(part),
                BodyPart::End(BodyEnd::Clean) => return Ok(Response::new(&head, bytes)),
                BodyPart::End(end) => {
                    return Err(format!(
                        "the response ended {end:?} after {} bytes",
                        bytes.len()
                    ));
                }
            }
        }
    }

    pub fn read_head(&mut self) -> Head {
        self.try_read_head()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_read_head(&mut self) -> Result<Head, String> {
        loop {
            match Head::take(&mut self.socket.buffer) {
                Some(head) if head.status() == 100 => {}
                Some(head) => return Ok(head),
                None => match self.socket.read() {
                    ReadOutcome::Bytes => {}
                    other => {
                        return Err(format!(
                            "no response: {other:?} after {} bytes of a head",
                            self.socket.buffer.len()
                        ));
                    }
                },
            }
        }
    }

    /// Local address.
    pub fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// Reads raw bytes up to and including `mark`; later bytes stay buffered.
    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.socket.buffer, mark) {
                return self.socket.buffer.drain(..at + mark.len()).collect();
            }
            assert_eq!(
                self.socket.read(),
                ReadOutcome::Bytes,
                "no more data after {} bytes",
                self.socket.buffer.len()
            );
        }
    }

    /// Half-close: closes the sending direction only.
    pub fn close_write(&self) {
        let _ = self.socket.stream.shutdown(Shutdown::Write);
    }

    /// Closes the connection.
    pub fn disconnect(self) {}

    /// Reads once; true if the peer closed or reset the connection.
    pub fn is_closed_by_peer(&mut self) -> bool {
        matches!(self.socket.read(), ReadOutcome::Closed | ReadOutcome::Reset)
    }

    pub fn set_read_timeout(&self, time: Duration) {
        self.socket.set_read_timeout(time);
    }
}
