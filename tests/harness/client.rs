//! The people of the tests: somebody without a key, a user with a virtual key, an administrator. They speak raw
//! HTTP/1.1, so that they can read an answer byte by byte, send what no client library would, and hang up at will.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DEADLINE;
use super::http::{Chunk, Head, Length, find, take_chunk};

/// Somebody who calls. Each call opens a connection of its own; `connects` keeps one.
#[derive(Clone, Debug)]
pub struct HttpClient {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// Somebody without a key.
pub fn anon(address: SocketAddr) -> HttpClient {
    HttpClient {
        address,
        headers: Vec::new(),
    }
}

/// Somebody with a virtual key, sent as a bearer.
pub fn user(address: SocketAddr, key: &str) -> HttpClient {
    anon(address).with("authorization", &format!("Bearer {key}"))
}

/// Somebody with an administrative key.
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

    /// The same person, with the key where Anthropic's older clients put it.
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

    /// A body that is perhaps no JSON.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Response {
        self.connect().call("POST", path, Some(body))
    }

    /// `POST /v1/chat/completions`, read whole.
    pub fn chat(&self, body: &Value) -> Response {
        self.post("/v1/chat/completions", body)
    }

    /// `POST /v1/messages`, read whole.
    pub fn messages(&self, body: &Value) -> Response {
        self.post("/v1/messages", body)
    }

    /// Asks and reads the head; the events are read one by one.
    pub fn open_stream(&self, path: &str, body: &Value) -> ResponseStream {
        let mut connection = self.connect();
        connection.send_request("POST", path, Some(body.to_string().as_bytes()));
        connection.open_response()
    }

    pub fn connect(&self) -> Connection {
        let socket = TcpStream::connect_timeout(&self.address, DEADLINE)
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.address));
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a read deadline");
        socket
            .set_write_timeout(Some(DEADLINE))
            .expect("a write deadline");
        Connection {
            person: self.clone(),
            socket,
            buffer: Vec::new(),
        }
    }
}

/// An open connection of one person.
#[derive(Debug)]
pub struct Connection {
    person: HttpClient,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// One request and its whole answer; the connection stays.
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

    /// One request, as far as it can be sent; a server that does not want it may have closed.
    pub fn send_request(&mut self, method: &str, path: &str, body: Option<&[u8]>) {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n",
            self.person.address
        );
        for (name, value) in &self.person.headers {
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

    /// Bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// Reads the head of the answer and leaves the body on the wire.
    pub fn open_response(mut self) -> ResponseStream {
        let head = self.read_head();
        let mut body = Body::of(&head, false);
        body.at = Instant::now();
        ResponseStream {
            connection: self,
            head,
            body,
            text: Vec::new(),
        }
    }

    /// The whole answer.
    pub fn read_response(&mut self, method: &str) -> Response {
        self.try_read_response(method)
            .unwrap_or_else(|fault| panic!("{method}: {fault}"))
    }

    /// The whole answer, or why there is none: for a server that is killed meanwhile.
    pub fn try_read_response(&mut self, method: &str) -> Result<Response, String> {
        let head = self.try_head()?;
        let mut body = Body::of(&head, method == "HEAD");
        let mut bytes = Vec::new();
        loop {
            match body.next(self) {
                Part::Bytes(part) => bytes.extend(part),
                Part::End(BodyEnd::Clean) => return Ok(Response::new(&head, bytes)),
                Part::End(end) => {
                    return Err(format!(
                        "the answer ended {end:?} after {} bytes",
                        bytes.len()
                    ));
                }
            }
        }
    }

    pub fn read_head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn try_head(&mut self) -> Result<Head, String> {
        loop {
            match Head::take(&mut self.buffer) {
                Some(head) if head.status() == 100 => {}
                Some(head) => return Ok(head),
                None => match self.reads() {
                    Heard::Bytes => {}
                    other => {
                        return Err(format!(
                            "no answer: {other:?} after {} bytes of a head",
                            self.buffer.len()
                        ));
                    }
                },
            }
        }
    }

    /// This end of the connection.
    pub fn address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Raw bytes up to and including a mark; what comes after it is still to be read.
    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.buffer, mark) {
                return self.buffer.drain(..at + mark.len()).collect();
            }
            assert_eq!(
                self.reads(),
                Heard::Bytes,
                "nothing more after {} bytes",
                self.buffer.len()
            );
        }
    }

    /// Closes the sending half only.
    pub fn close_write(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    pub fn disconnect(self) {}

    /// Whether the next thing to come is the end of the connection.
    pub fn is_closed_by_peer(&mut self) -> bool {
        matches!(self.reads(), Heard::Closed | Heard::Reset)
    }

    pub fn set_read_timeout(&self, time: Duration) {
        self.socket
            .set_read_timeout(Some(time))
            .expect("a read deadline above zero");
    }

    fn reads(&mut self) -> Heard {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => Heard::Closed,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Heard::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Heard::Silence
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Heard::Bytes,
            Err(_) => Heard::Reset,
        }
    }
}

/// What one read of the socket gave.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Bytes,
    Closed,
    Reset,
    Silence,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// as its framing says
    Clean,
    /// closed before the framing's end
    Truncated,
    Reset,
    /// nothing came until the deadline
    Silence,
}

enum Part {
    Bytes(Vec<u8>),
    End(BodyEnd),
}

/// Where a body stands.
#[derive(Debug)]
struct Body {
    length: Length,
    ended: Option<BodyEnd>,
    at: Instant,
}

impl Body {
    fn of(head: &Head, answers_head_request: bool) -> Body {
        let empty = answers_head_request || matches!(head.status(), 204 | 304);
        let length = if empty {
            Length::Bytes(0)
        } else {
            head.length(false)
        };
        Body {
            length,
            ended: None,
            at: Instant::now(),
        }
    }

    fn next(&mut self, connection: &mut Connection) -> Part {
        if let Some(end) = self.ended {
            return Part::End(end);
        }
        loop {
            if let Some(part) = self.takes(&mut connection.buffer) {
                return part;
            }
            match connection.reads() {
                Heard::Bytes => self.at = Instant::now(),
                Heard::Closed if self.length == Length::UntilClose => {
                    return self.ends(BodyEnd::Clean);
                }
                Heard::Closed => return self.ends(BodyEnd::Truncated),
                Heard::Reset => return self.ends(BodyEnd::Reset),
                Heard::Silence => return Part::End(BodyEnd::Silence),
            }
        }
    }

    fn takes(&mut self, buffer: &mut Vec<u8>) -> Option<Part> {
        match &mut self.length {
            Length::Bytes(0) => Some(self.ends(BodyEnd::Clean)),
            Length::Chunked => match take_chunk(buffer) {
                Chunk::Partial => None,
                Chunk::Bytes(bytes) => Some(Part::Bytes(bytes)),
                Chunk::Last => Some(self.ends(BodyEnd::Clean)),
            },
            _ if buffer.is_empty() => None,
            Length::UntilClose => Some(Part::Bytes(std::mem::take(buffer))),
            Length::Bytes(left) => {
                let bytes: Vec<u8> = buffer.drain(..buffer.len().min(*left)).collect();
                *left -= bytes.len();
                Some(Part::Bytes(bytes))
            }
        }
    }

    fn ends(&mut self, end: BodyEnd) -> Part {
        self.ended = Some(end);
        Part::End(end)
    }
}

/// An answer whose head is read and whose body comes event by event.
#[derive(Debug)]
pub struct ResponseStream {
    connection: Connection,
    pub head: Head,
    body: Body,
    text: Vec<u8>,
}

/// One server-sent event, up to and including its empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    pub raw: Vec<u8>,
    /// the name after `event:`, empty if there is none
    pub name: String,
    /// the lines after `data:`, joined
    pub data: String,
    /// the text after a leading colon
    pub comment: String,
    pub at: Instant,
}

impl SseEvent {
    fn read(raw: Vec<u8>, at: Instant) -> SseEvent {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let field = |name: &str| {
            let lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(name))
                .map(|value| value.strip_prefix(' ').unwrap_or(value));
            lines.collect::<Vec<_>>().join("\n")
        };
        SseEvent {
            name: field("event:"),
            data: field("data:"),
            comment: field(":"),
            raw,
            at,
        }
    }

    /// The events of a stream that was read as one body.
    pub fn all(mut body: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(end) = event_end(body) {
            events.push(SseEvent::read(body[..end].to_vec(), Instant::now()));
            body = &body[end..];
        }
        assert!(
            body.is_empty(),
            "an event without an end: {:?}",
            String::from_utf8_lossy(body)
        );
        events
    }

    /// The data as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// The text that this event adds to the answer, in either dialect.
    pub fn delta(&self) -> Option<String> {
        let json = self.json();
        let text = json["choices"][0]["delta"]["content"]
            .as_str()
            .or_else(|| json["delta"]["text"].as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

impl ResponseStream {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The client's end of the connection.
    pub fn address(&self) -> SocketAddr {
        self.connection.address()
    }

    /// The next whole event; at the end, how the body ended.
    pub fn next_event(&mut self) -> Result<SseEvent, BodyEnd> {
        loop {
            if let Some(end) = event_end(&self.text) {
                let raw = self.text.drain(..end).collect();
                return Ok(SseEvent::read(raw, self.body.at));
            }
            match self.body.next(&mut self.connection) {
                Part::Bytes(bytes) => self.text.extend(bytes),
                Part::End(end) => return Err(end),
            }
        }
    }

    /// Reads until so many events that carry text have come; panics if the stream ends before.
    pub fn read_deltas(&mut self, count: usize) -> Vec<SseEvent> {
        let mut deltas = Vec::new();
        while deltas.len() < count {
            match self.next_event() {
                Ok(event) if event.delta().is_some() => deltas.push(event),
                Ok(_) => {}
                Err(end) => panic!(
                    "the stream ended {end:?} after {} of {count} deltas",
                    deltas.len()
                ),
            }
        }
        deltas
    }

    /// Everything that is left, and how it ended.
    pub fn read_events(mut self) -> (Vec<SseEvent>, BodyEnd) {
        let mut events = Vec::new();
        loop {
            match self.next_event() {
                Ok(event) => events.push(event),
                Err(end) => return (events, end),
            }
        }
    }

    /// The bytes of the body as they came, framing removed, and how it ended.
    pub fn read_bytes(mut self) -> (Vec<u8>, BodyEnd) {
        let mut bytes = std::mem::take(&mut self.text);
        loop {
            match self.body.next(&mut self.connection) {
                Part::Bytes(part) => bytes.extend(part),
                Part::End(end) => return (bytes, end),
            }
        }
    }

    /// Waits at most so long for each further read.
    pub fn set_read_timeout(&self, time: Duration) {
        self.connection.set_read_timeout(time);
    }

    /// Closes the connection, now.
    pub fn disconnect(self) -> Instant {
        drop(self);
        Instant::now()
    }
}

fn event_end(text: &[u8]) -> Option<usize> {
    let lf = find(text, b"\n\n").map(|at| at + 2);
    let crlf = find(text, b"\r\n\r\n").map(|at| at + 4);
    [lf, crlf].into_iter().flatten().min()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    fn new(head: &Head, body: Vec<u8>) -> Response {
        Response {
            status: head.status(),
            headers: head.headers.clone(),
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        super::http::header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the answer if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.text()))
    }

    /// Panics with the whole answer unless it has this status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Response {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The word of an error: `error.type` of either dialect (`error.code` is the same word in OpenAI's).
    pub fn error_type(&self) -> String {
        self.json()["error"]["type"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn error_message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// `x-gatekeeper-cost-usd` in pico-dollars.
    #[track_caller]
    pub fn cost(&self) -> i128 {
        super::pico(
            self.header("x-gatekeeper-cost-usd")
                .expect("the answer says what it cost"),
        )
    }
}
