//! Scripts of the upstream: response bytes exactly as given, their framing, pace and end, and the tokens that a vendor
//! would charge. Plain values; `upstream` plays them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::gate::Gate;
use super::request::ReceivedRequest;

/// Fixed response, or a function that chooses one for the request.
#[derive(Clone)]
pub enum Script {
    Fixed(Box<ScriptedResponse>),
    FromRequest(Arc<dyn Fn(&ReceivedRequest) -> Script + Send + Sync>),
}

/// Response to play.
#[derive(Clone, Debug)]
pub struct ScriptedResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// sent unchanged, one write each; in a chunked body one chunk each
    pub pieces: Vec<Piece>,
    pub framing: Framing,
    /// before the head
    pub delay: Duration,
    /// holds the head back
    pub gate_before_head: Option<Gate>,
    /// holds back what follows so many pieces
    pub gate_after_pieces: Option<(usize, Gate)>,
    /// between two pieces
    pub pause: Duration,
    /// largest write
    pub write_bytes_max: usize,
    /// body bytes to send before `ending`
    pub body_bytes_max: usize,
    /// pieces to send before `ending`
    pub pieces_max: usize,
    pub ending: Ending,
    /// charged once the head is sent
    pub input_tokens: u64,
}

/// Part of the body and the output tokens charged once it is sent.
#[derive(Clone, Debug)]
pub struct Piece {
    pub bytes: Vec<u8>,
    pub output_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    ContentLength,
    Chunked,
    CloseDelimited,
    /// the pieces include the head
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// as the framing requires
    Clean,
    /// closes the connection without the end of the framing
    Closes,
    /// RST
    Resets,
    /// keeps the connection open and sends nothing more
    Hangs,
}

impl Script {
    /// JSON body with a content length.
    pub fn unary(status: u16, body: impl AsRef<[u8]>) -> Script {
        Script::fixed(
            status,
            "application/json",
            vec![Piece::of(body)],
            Framing::ContentLength,
        )
    }

    pub fn json(status: u16, body: &Value) -> Script {
        Script::unary(status, body.to_string())
    }

    /// Server-sent events as given (with their empty lines), chunked.
    pub fn stream(events: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Script {
        let pieces = events.into_iter().map(Piece::of).collect();
        Script::fixed(
            200,
            "text/event-stream; charset=utf-8",
            pieces,
            Framing::Chunked,
        )
    }

    /// Like `stream`, with the tokens charged for each event.
    pub fn charged_stream(pieces: Vec<Piece>) -> Script {
        Script::fixed(
            200,
            "text/event-stream; charset=utf-8",
            pieces,
            Framing::Chunked,
        )
    }

    /// Raw bytes including the head; the connection is closed after them.
    pub fn raw(wire: impl AsRef<[u8]>) -> Script {
        Script::fixed(0, "", vec![Piece::of(wire)], Framing::Raw)
    }

    /// Reads the request and never responds.
    pub fn hangs() -> Script {
        Script::raw(b"").then_hangs()
    }

    /// Reads the request and closes the connection.
    pub fn closes() -> Script {
        Script::raw(b"")
    }

    /// Chooses the response by the request.
    pub fn from_request(
        choose: impl Fn(&ReceivedRequest) -> Script + Send + Sync + 'static,
    ) -> Script {
        Script::FromRequest(Arc::new(choose))
    }

    /// One script per request; the last one repeats.
    pub fn in_turn(scripts: impl IntoIterator<Item = Script>) -> Script {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        assert!(!scripts.is_empty(), "at least one script");
        let turn = AtomicUsize::new(0);
        Script::from_request(move |_| {
            scripts[turn.fetch_add(1, Ordering::SeqCst).min(scripts.len() - 1)].clone()
        })
    }

    fn fixed(status: u16, content_type: &str, pieces: Vec<Piece>, framing: Framing) -> Script {
        Script::Fixed(Box::new(ScriptedResponse {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            pieces,
            framing,
            delay: Duration::ZERO,
            gate_before_head: None,
            gate_after_pieces: None,
            pause: Duration::ZERO,
            write_bytes_max: usize::MAX,
            body_bytes_max: usize::MAX,
            pieces_max: usize::MAX,
            ending: if framing == Framing::Raw {
                Ending::Closes
            } else {
                Ending::Clean
            },
            input_tokens: 0,
        }))
    }

    /// Response to this request.
    pub fn response_to(&self, request: &ReceivedRequest) -> ScriptedResponse {
        match self {
            Script::Fixed(response) => (**response).clone(),
            Script::FromRequest(choose) => choose(request).response_to(request),
        }
    }

    fn changed(self, change: impl Fn(&mut ScriptedResponse) + Send + Sync + 'static) -> Script {
        match self {
            Script::Fixed(mut response) => {
                change(&mut response);
                Script::Fixed(response)
            }
            Script::FromRequest(choose) => Script::from_request(move |request| {
                let mut response = choose(request).response_to(request);
                change(&mut response);
                Script::Fixed(Box::new(response))
            }),
        }
    }

    /// Replaces a header or adds it.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Script {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.changed(move |response| {
            response.headers.retain(|(known, _)| *known != name);
            response.headers.push((name.clone(), value.clone()));
        })
    }

    #[must_use]
    pub fn status(self, status: u16) -> Script {
        self.changed(move |response| response.status = status)
    }

    /// Delay before the head.
    #[must_use]
    pub fn delay_ms(self, delay_ms: u64) -> Script {
        self.changed(move |response| response.delay = Duration::from_millis(delay_ms))
    }

    /// Sends nothing until the gate is open.
    #[must_use]
    pub fn held_by(self, gate: &Gate) -> Script {
        let gate = gate.clone();
        self.changed(move |response| response.gate_before_head = Some(gate.clone()))
    }

    /// Sends so many pieces, and the rest once the gate is open.
    #[must_use]
    pub fn held_after(self, pieces: usize, gate: &Gate) -> Script {
        let gate = gate.clone();
        self.changed(move |response| response.gate_after_pieces = Some((pieces, gate.clone())))
    }

    /// Pause between two pieces.
    #[must_use]
    pub fn pause_ms_between(self, pause_ms: u64) -> Script {
        self.changed(move |response| response.pause = Duration::from_millis(pause_ms))
    }

    /// Sends head, framing and body one byte per write.
    #[must_use]
    pub fn one_byte_per_write(self) -> Script {
        self.in_writes_of(1)
    }

    #[must_use]
    pub fn in_writes_of(self, bytes: usize) -> Script {
        self.changed(move |response| response.write_bytes_max = bytes)
    }

    #[must_use]
    pub fn content_length(self) -> Script {
        self.changed(|response| response.framing = Framing::ContentLength)
    }

    #[must_use]
    pub fn chunked(self) -> Script {
        self.changed(|response| response.framing = Framing::Chunked)
    }

    #[must_use]
    pub fn close_delimited(self) -> Script {
        self.changed(|response| response.framing = Framing::CloseDelimited)
    }

    #[must_use]
    pub fn then_hangs(self) -> Script {
        self.changed(|response| response.ending = Ending::Hangs)
    }

    #[must_use]
    pub fn then_resets(self) -> Script {
        self.changed(|response| response.ending = Ending::Resets)
    }

    /// Sends everything, then closes without the end of the framing.
    #[must_use]
    pub fn then_closes(self) -> Script {
        self.changed(|response| response.ending = Ending::Closes)
    }

    /// Closes after so many bytes of the body.
    #[must_use]
    pub fn truncated_after(self, body_bytes: usize) -> Script {
        self.changed(move |response| {
            response.body_bytes_max = body_bytes;
            response.ending = Ending::Closes;
        })
    }

    /// Sends only so many pieces before the ending: `.only(5).then_hangs()`.
    #[must_use]
    pub fn only(self, pieces: usize) -> Script {
        self.changed(move |response| response.pieces_max = pieces)
    }

    /// Tokens to charge: input with the head, output with the last piece.
    #[must_use]
    pub fn charging(self, input_tokens: u64, output_tokens: u64) -> Script {
        self.changed(move |response| {
            response.input_tokens = input_tokens;
            if let Some(last) = response.pieces.last_mut() {
                last.output_tokens = output_tokens;
            }
        })
    }
}

impl Piece {
    pub fn of(bytes: impl AsRef<[u8]>) -> Piece {
        Piece {
            bytes: bytes.as_ref().to_vec(),
            output_tokens: 0,
        }
    }

    #[must_use]
    pub fn charging(mut self, output_tokens: u64) -> Piece {
        self.output_tokens = output_tokens;
        self
    }
}

impl ScriptedResponse {
    /// Head bytes; empty for a raw script.
    pub fn head(&self) -> Vec<u8> {
        if self.framing == Framing::Raw {
            return Vec::new();
        }
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::ContentLength => {
                head.push_str(&format!("content-length: {}\r\n", self.body_len()))
            }
            Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::CloseDelimited => head.push_str("connection: close\r\n"),
            Framing::Raw => {}
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The pieces that will be sent, each in its framing, cut where the script says.
    pub fn wire_pieces(&self) -> Vec<Piece> {
        let mut left = self.body_bytes_max;
        let mut wire = Vec::new();
        for piece in self.pieces.iter().take(self.pieces_max) {
            let cut = piece.bytes.len().min(left);
            let bytes = match self.framing {
                Framing::Chunked if cut > 0 => framed(&piece.bytes, cut),
                _ => piece.bytes[..cut].to_vec(),
            };
            wire.push(Piece {
                bytes,
                output_tokens: piece.output_tokens,
            });
            left -= cut;
            if left == 0 {
                break;
            }
        }
        wire
    }

    fn body_len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.len()).sum()
    }
}

/// Chunk that announces all of `bytes` and carries the first `cut` of them.
fn framed(bytes: &[u8], cut: usize) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(&bytes[..cut]);
    if cut == bytes.len() {
        chunk.extend_from_slice(b"\r\n");
    }
    chunk
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        _ => "Status",
    }
}
