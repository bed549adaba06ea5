//! Streaming responses: server-sent events with their exact bytes and the time at which they arrived.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::body::{BodyEnd, BodyPart, BodyReader};
use super::socket::BufferedSocket;
use crate::harness::http::{Head, find};

/// Response whose head was read and whose body is read event by event.
#[derive(Debug)]
pub struct ResponseStream {
    socket: BufferedSocket,
    pub head: Head,
    body: BodyReader,
    /// received bytes that are not yet a complete event
    text: Vec<u8>,
}

impl ResponseStream {
    pub(super) fn new(socket: BufferedSocket, head: Head) -> ResponseStream {
        let body = BodyReader::new(&head, false);
        ResponseStream {
            socket,
            head,
            body,
            text: Vec::new(),
        }
    }

    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Local address of the connection.
    pub fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// Next complete event, or the end of the body.
    pub fn next_event(&mut self) -> Result<SseEvent, BodyEnd> {
        loop {
            if let Some(end) = event_end(&self.text) {
                let raw = self.text.drain(..end).collect();
                return Ok(SseEvent::read(raw, self.body.at));
            }
            match self.body.next(&mut self.socket) {
                BodyPart::Bytes(bytes) => self.text.extend(bytes),
                BodyPart::End(end) => return Err(end),
            }
        }
    }

    /// Takes a line that is no event of its own; panics if the body ends before.
    pub fn wait_for_line(&mut self, line: &str) {
        loop {
            if let Some(at) = find(&self.text, line.as_bytes()) {
                self.text.drain(at..at + line.len());
                return;
            }
            match self.body.next(&mut self.socket) {
                BodyPart::Bytes(bytes) => self.text.extend(bytes),
                BodyPart::End(end) => panic!("the stream ended {end:?} without {line:?}"),
            }
        }
    }

    /// Reads up to the `count`-th event that carries text; panics if the stream ends before.
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

    /// Remaining events and the end of the body.
    pub fn read_events(mut self) -> (Vec<SseEvent>, BodyEnd) {
        let mut events = Vec::new();
        loop {
            match self.next_event() {
                Ok(event) => events.push(event),
                Err(end) => return (events, end),
            }
        }
    }

    /// Remaining bytes, framing removed, and the end of the body.
    pub fn read_bytes(mut self) -> (Vec<u8>, BodyEnd) {
        let mut bytes = std::mem::take(&mut self.text);
        loop {
            match self.body.next(&mut self.socket) {
                BodyPart::Bytes(part) => bytes.extend(part),
                BodyPart::End(end) => return (bytes, end),
            }
        }
    }

    /// Timeout of each further read.
    pub fn set_read_timeout(&self, time: Duration) {
        self.socket.set_read_timeout(time);
    }

    /// Closes the connection and returns the time.
    pub fn disconnect(self) -> Instant {
        drop(self);
        Instant::now()
    }
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// bytes up to and including the empty line
    pub raw: Vec<u8>,
    /// value of `event:`, or empty
    pub name: String,
    /// values of the `data:` lines, joined
    pub data: String,
    /// text after a leading colon
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

    /// Parses the events of a stream that was read as one body.
    pub fn all(mut body: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(end) = event_end(body) {
            events.push(SseEvent::read(body[..end].to_vec(), Instant::now()));
            body = &body[end..];
        }
        assert!(
            body.is_empty(),
            "incomplete event: {:?}",
            String::from_utf8_lossy(body)
        );
        events
    }

    /// The data as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// Text that this event adds to the output, in either dialect.
    pub fn delta(&self) -> Option<String> {
        let json = self.json();
        let text = json["choices"][0]["delta"]["content"]
            .as_str()
            .or_else(|| json["delta"]["text"].as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// Offset after the first empty line.
fn event_end(text: &[u8]) -> Option<usize> {
    let lf = find(text, b"\n\n").map(|at| at + 2);
    let crlf = find(text, b"\r\n\r\n").map(|at| at + 4);
    [lf, crlf].into_iter().flatten().min()
}
