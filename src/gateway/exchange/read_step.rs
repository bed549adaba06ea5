//! One read of an upstream's stream: the whole events that are there, and what they mean for the relay.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::dialect::{BadFrame, EventKind, ForwardedEvent, ResponseStream, UpstreamError};
use crate::upstream::{IncomingResponse, TransportError};

/// Result of one read of the upstream.
pub(super) enum ReadStep {
    /// events to forward
    Events {
        bytes: Bytes,
        content: bool,
    },
    /// the response is complete: events before its end
    End {
        bytes: Bytes,
        content: bool,
    },
    Error {
        bytes: Bytes,
        error: UpstreamError,
    },
    /// the upstream's body ended before its response did
    Truncated {
        bytes: Bytes,
    },
    Transport(TransportError),
    /// the call's deadline is over
    Late,
    BadFrame(BadFrame),
}

/// Reads once from the upstream and classifies the whole events that are there. Cancel-safe: nothing read is lost.
pub(super) async fn next_step(
    incoming: &mut IncomingResponse,
    stream: &mut ResponseStream,
    idle_ms: u64,
    deadline: Instant,
) -> ReadStep {
    // the deadline also ends an upstream that always has more to send
    if deadline <= Instant::now() {
        return ReadStep::Late;
    }
    match incoming.next_until(idle_ms, Some(deadline)).await {
        Err(TransportError::IdleTimeout(_)) if deadline <= Instant::now() => ReadStep::Late,
        Err(TransportError::Truncated(_)) => body_end(stream, BodyEnd::Truncated),
        Err(error) => ReadStep::Transport(error),
        Ok(Some(bytes)) => match stream.push(bytes) {
            Ok(()) => classify(stream),
            Err(error) => ReadStep::BadFrame(error),
        },
        Ok(None) => body_end(stream, BodyEnd::Complete),
    }
}

#[derive(PartialEq, Eq)]
enum BodyEnd {
    Complete,
    /// by the framing of HTTP
    Truncated,
}

/// Meaning of the body's end; an error of the upstream may stand before it without the end of its event.
fn body_end(stream: &mut ResponseStream, end: BodyEnd) -> ReadStep {
    match stream.ended() {
        Some(ForwardedEvent {
            kind: EventKind::Error(error),
            bytes,
        }) => ReadStep::Error { bytes, error },
        Some(ForwardedEvent { kind, bytes }) if end == BodyEnd::Complete => ReadStep::End {
            bytes,
            content: kind == EventKind::Content,
        },
        _ => ReadStep::Truncated {
            bytes: Bytes::new(),
        },
    }
}

fn classify(stream: &mut ResponseStream) -> ReadStep {
    let mut bytes = ChunkJoiner::default();
    let mut content = false;
    while let Some(event) = stream.next_event() {
        bytes.push(event.bytes);
        match event.kind {
            EventKind::Content => content = true,
            EventKind::Head | EventKind::Hidden => {}
            EventKind::Terminal => {
                return ReadStep::End {
                    bytes: bytes.join(),
                    content,
                };
            }
            EventKind::Truncated => {
                return ReadStep::Truncated {
                    bytes: bytes.join(),
                };
            }
            EventKind::Error(error) => {
                return ReadStep::Error {
                    bytes: bytes.join(),
                    error,
                };
            }
        }
    }
    ReadStep::Events {
        bytes: bytes.join(),
        content,
    }
}

/// Joins events into one chunk; a single event is not copied.
#[derive(Default)]
struct ChunkJoiner {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl ChunkJoiner {
    fn push(&mut self, event: Bytes) {
        if event.is_empty() {
            return;
        }
        match &self.first {
            None => self.first = Some(event),
            Some(first) => {
                if self.rest.is_empty() {
                    self.rest.extend_from_slice(first);
                }
                self.rest.extend_from_slice(&event);
            }
        }
    }

    fn join(self) -> Bytes {
        if self.rest.is_empty() {
            self.first.unwrap_or_default()
        } else {
            self.rest.freeze()
        }
    }
}
