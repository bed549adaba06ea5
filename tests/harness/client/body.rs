//! Response body reader: removes the framing (content length, chunked, until close) and reports how the body ended.

use std::time::Instant;

use super::socket::{BufferedSocket, ReadOutcome};
use crate::harness::http::{Chunk, Head, Length, take_chunk};

/// End of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// complete according to its framing
    Clean,
    /// closed before the end given by the framing
    Truncated,
    Reset,
    /// no data within the read timeout
    Silence,
}

pub(super) enum BodyPart {
    Bytes(Vec<u8>),
    End(BodyEnd),
}

/// Incremental reader of one response body.
#[derive(Debug)]
pub(super) struct BodyReader {
    length: Length,
    ended: Option<BodyEnd>,
    /// time of the last read that returned data
    pub at: Instant,
}

impl BodyReader {
    pub fn new(head: &Head, is_head_response: bool) -> BodyReader {
        let empty = is_head_response || matches!(head.status(), 204 | 304);
        let length = if empty {
            Length::Bytes(0)
        } else {
            head.length(false)
        };
        BodyReader {
            length,
            ended: None,
            at: Instant::now(),
        }
    }

    /// Next bytes, framing removed, or the end.
    pub fn next(&mut self, socket: &mut BufferedSocket) -> BodyPart {
        if let Some(end) = self.ended {
            return BodyPart::End(end);
        }
        loop {
            if let Some(part) = self.take(&mut socket.buffer) {
                return part;
            }
            match socket.read() {
                ReadOutcome::Bytes => self.at = Instant::now(),
                ReadOutcome::Closed if self.length == Length::UntilClose => {
                    return self.end(BodyEnd::Clean);
                }
                ReadOutcome::Closed => return self.end(BodyEnd::Truncated),
                ReadOutcome::Reset => return self.end(BodyEnd::Reset),
                ReadOutcome::Silence => return BodyPart::End(BodyEnd::Silence),
            }
        }
    }

    fn take(&mut self, buffer: &mut Vec<u8>) -> Option<BodyPart> {
        match &mut self.length {
            Length::Bytes(0) => Some(self.end(BodyEnd::Clean)),
            Length::Chunked => match take_chunk(buffer) {
                Chunk::Partial => None,
                Chunk::Bytes(bytes) => Some(BodyPart::Bytes(bytes)),
                Chunk::Last => Some(self.end(BodyEnd::Clean)),
            },
            _ if buffer.is_empty() => None,
            Length::UntilClose => Some(BodyPart::Bytes(std::mem::take(buffer))),
            Length::Bytes(left) => {
                let bytes: Vec<u8> = buffer.drain(..buffer.len().min(*left)).collect();
                *left -= bytes.len();
                Some(BodyPart::Bytes(bytes))
            }
        }
    }

    fn end(&mut self, end: BodyEnd) -> BodyPart {
        self.ended = Some(end);
        BodyPart::End(end)
    }
}
