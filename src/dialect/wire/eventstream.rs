//! AWS event-stream frames: splits a body that arrives in any pieces into frames and returns each as a server-sent event. Checks both
//! checksums and all lengths of every frame; must never return any part of a malformed one. Writes frames for scripted upstreams.
//!
//! ```text
//! total length u32 · headers length u32 · CRC of these 8 bytes u32 · headers · payload · CRC of all before it u32
//! header: name length u8 · name · type u8 · value
//! ```

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use crate::dialect::wire::json;
use crate::dialect::wire::json::to_json;

const PRELUDE_BYTES: usize = 12;
const SUM_BYTES: usize = 4;
/// Limits of AWS's own clients.
const HEADERS_BYTES_MAX: usize = 128 * 1024;

/// A malformed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the upstream sent a frame whose beginning does not match its checksum")]
    PreludeSum,
    #[error("the upstream sent a frame that does not match its checksum")]
    Sum,
    #[error("the upstream sent a frame of impossible lengths")]
    Lengths,
    #[error("the upstream sent a frame of more than {0} bytes")]
    TooLarge(usize),
    #[error("the upstream sent a frame whose headers cannot be read")]
    Headers,
    #[error("the upstream sent a frame whose content cannot be read")]
    Payload,
}

/// Splitter of one stream. Returns the frames before a malformed one, and nothing after it.
#[derive(Debug)]
pub(crate) struct FrameSplitter {
    frame_bytes_max: usize,
    /// start of an incomplete frame
    held: BytesMut,
    ready: VecDeque<Bytes>,
    flaw: Option<FrameError>,
}

impl FrameSplitter {
    pub(crate) fn new(frame_bytes_max: usize) -> FrameSplitter {
        FrameSplitter {
            frame_bytes_max,
            held: BytesMut::new(),
            ready: VecDeque::new(),
            flaw: None,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        self.held.extend_from_slice(bytes);
        loop {
            match self.next_frame() {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.ready.extend(event),
                Err(flaw) => {
                    self.held.clear();
                    self.flaw = Some(flaw);
                    return Err(flaw);
                }
            }
        }
    }

    /// Next complete frame as a server-sent event.
    pub(crate) fn next_event(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Splits off one frame; the inner `None` is a frame without an event.
    fn next_frame(&mut self) -> Result<Option<Option<Bytes>>, FrameError> {
        let Some(lengths) = lengths(&self.held, self.frame_bytes_max)? else {
            return Ok(None);
        };
        if self.held.len() < lengths.total {
            return Ok(None);
        }
        let frame = self.held.split_to(lengths.total);
        let (content, sum) = frame.split_at(lengths.total - SUM_BYTES);
        if crc32fast::hash(content) != number(sum) {
            return Err(FrameError::Sum);
        }
        let (headers, payload) = content[PRELUDE_BYTES..].split_at(lengths.headers);
        frame_event(&Headers::read(headers)?, payload).map(Some)
    }
}

struct Lengths {
    total: usize,
    headers: usize,
}

/// Lengths of the next frame, once received; they expose garbage at once.
fn lengths(held: &[u8], frame_bytes_max: usize) -> Result<Option<Lengths>, FrameError> {
    let Some(prelude) = held.get(..PRELUDE_BYTES) else {
        return Ok(None);
    };
    let (total, headers) = (
        number(&prelude[..4]) as usize,
        number(&prelude[4..8]) as usize,
    );
    if crc32fast::hash(&prelude[..8]) != number(&prelude[8..]) {
        return Err(FrameError::PreludeSum);
    }
    if headers > HEADERS_BYTES_MAX || headers + PRELUDE_BYTES + SUM_BYTES > total {
        return Err(FrameError::Lengths);
    }
    if total > frame_bytes_max {
        return Err(FrameError::TooLarge(frame_bytes_max));
    }
    Ok(Some(Lengths { total, headers }))
}

/// A frame with an event of JSON.
pub(crate) fn event_frame(name: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.as_bytes())
}

/// A frame with headers that are texts.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut listed = Vec::new();
    for (name, value) in headers {
        listed.push(name.len() as u8);
        listed.extend_from_slice(name.as_bytes());
        listed.push(7);
        listed.extend_from_slice(&(value.len() as u16).to_be_bytes());
        listed.extend_from_slice(value.as_bytes());
    }
    framed(&listed, payload)
}

fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = (headers.len() + payload.len() + PRELUDE_BYTES + SUM_BYTES) as u32;
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// Big-endian number of up to four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Headers that classify a frame; others are skipped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Headers<'h> {
    message_type: Option<&'h str>,
    event_type: Option<&'h str>,
    exception_type: Option<&'h str>,
    error_code: Option<&'h str>,
    error_message: Option<&'h str>,
}

impl<'h> Headers<'h> {
    fn read(mut bytes: &'h [u8]) -> Result<Headers<'h>, FrameError> {
        let mut headers = Headers::default();
        while !bytes.is_empty() {
            let (name, value) = header(&mut bytes).ok_or(FrameError::Headers)?;
            let place = match name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event_type,
                b":exception-type" => &mut headers.exception_type,
                b":error-code" => &mut headers.error_code,
                b":error-message" => &mut headers.error_message,
                _ => continue,
            };
            let text = value
                .and_then(|value| std::str::from_utf8(value).ok())
                .ok_or(FrameError::Headers)?;
            if place.replace(text).is_some() {
                return Err(FrameError::Headers);
            }
        }
        Ok(headers)
    }
}

/// Splits off one header: its name, and its value if that is a text.
fn header<'h>(bytes: &mut &'h [u8]) -> Option<(&'h [u8], Option<&'h [u8]>)> {
    let name_length = usize::from(take(bytes, 1)?[0]);
    let name = take(bytes, name_length)?;
    let kind = take(bytes, 1)?[0];
    let value_length = match kind {
        // true, false
        0 | 1 => 0,
        // byte, short, integer, long
        2 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        // bytes, text
        6 | 7 => number(take(bytes, 2)?) as usize,
        // timestamp, UUID
        8 => 8,
        9 => 16,
        _ => return None,
    };
    let value = take(bytes, value_length)?;
    Some((name, (kind == 7).then_some(value)))
}

fn take<'h>(bytes: &mut &'h [u8], count: usize) -> Option<&'h [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// The event of a frame, as a server-sent event.
fn frame_event(headers: &Headers<'_>, payload: &[u8]) -> Result<Option<Bytes>, FrameError> {
    match headers.message_type {
        Some("event") => {}
        Some("exception" | "error") => return Ok(Some(failure(headers, payload))),
        // unknown types of frames are skipped
        _ => return Ok(None),
    }
    match headers.event_type {
        // a wrapped event of the model's own dialect
        Some("chunk") => unwrapped(payload).map(Some),
        Some(name) if is_plain(name) => Ok(Some(event(name, payload))),
        _ => Err(FrameError::Headers),
    }
}

fn event(name: &str, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(name.len() + data.len() + 24);
    event.extend_from_slice(b"event: ");
    event.extend_from_slice(name.as_bytes());
    event.extend_from_slice(b"\ndata: ");
    let from = event.len();
    event.extend_from_slice(data);
    // line ends between JSON values are insignificant, and would end the SSE line
    for byte in &mut event[from..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    event.extend_from_slice(b"\n\n");
    event.freeze()
}

/// The name is safe in an SSE line.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[derive(Deserialize)]
struct WrappedEvent {
    bytes: String,
}

/// Type of a wrapped event.
#[derive(Deserialize)]
struct NamedEvent {
    #[serde(rename = "type", default)]
    kind: String,
}

fn unwrapped(payload: &[u8]) -> Result<Bytes, FrameError> {
    let wrapped: WrappedEvent = json::lenient(payload).map_err(|_| FrameError::Payload)?;
    let data = BASE64
        .decode(wrapped.bytes)
        .map_err(|_| FrameError::Payload)?;
    let named: NamedEvent = json::lenient(&data).map_err(|_| FrameError::Payload)?;
    Ok(if is_plain(&named.kind) {
        event(&named.kind, &data)
    } else {
        event("message", &data)
    })
}

/// Payload of an exception.
#[derive(Default, Deserialize)]
struct Exception {
    #[serde(default, alias = "Message")]
    message: Option<String>,
    #[serde(default, rename = "originalMessage")]
    original_message: Option<String>,
    /// status of the model behind the vendor
    #[serde(default, rename = "originalStatusCode")]
    original_status: Option<u16>,
}

/// An error event in the shape that `ErrorReader` reads.
fn failure(headers: &Headers<'_>, payload: &[u8]) -> Bytes {
    let exception: Exception = json::lenient(payload).unwrap_or_default();
    let kind = headers
        .exception_type
        .or(headers.error_code)
        .unwrap_or("unknown");
    let said = exception
        .message
        .or(exception.original_message)
        .or(headers.error_message.map(str::to_owned));
    let message = said
        .filter(|message| !message.is_empty())
        .unwrap_or_else(|| kind.to_owned());
    let status = match exception.original_status {
        // an overloaded model is no fault of the request
        Some(overloaded @ (429 | 503 | 529)) => Some(overloaded),
        _ => status(kind),
    };
    let error = serde_json::json!({ "type": kind, "status": status, "message": message });
    event(
        "error",
        to_json(&serde_json::json!({ "type": "error", "error": error })).as_bytes(),
    )
}

/// HTTP status of an AWS exception; `None` for an unknown one.
pub(crate) fn status(kind: &str) -> Option<u16> {
    let kind = kind
        .strip_suffix("Exception")
        .or_else(|| kind.strip_suffix("Error"))
        .unwrap_or(kind);
    Some(match kind.to_ascii_lowercase().as_str() {
        "validation" | "servicequotaexceeded" => 400,
        "accessdenied" => 403,
        "resourcenotfound" => 404,
        "modeltimeout" => 408,
        "model" | "modelerror" | "modelstreamerror" => 424,
        "throttling" | "modelnotready" => 429,
        "internalserver" => 500,
        "serviceunavailable" => 503,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod tests;
