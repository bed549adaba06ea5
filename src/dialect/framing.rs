//! Cuts an upstream's body into events, whatever its framing: server-sent events as they are, and everything else in their
//! shape, so that what reads them knows one. Must never hand out an event that has not come whole.

use bytes::Bytes;

use crate::dialect::frames::{Flaw, FrameSplitter};
use crate::dialect::sse::{Splitter, TooLarge};

/// How a stream's events lie in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// server-sent events
    Sse,
    /// AWS event-stream frames
    AwsFrames,
}

impl Framing {
    /// Whether a body of this content type can be such a stream.
    pub fn is(self, content_type: &str) -> bool {
        match self {
            Framing::Sse => content_type.starts_with("text/event-stream"),
            Framing::AwsFrames => content_type.starts_with("application/vnd.amazon.eventstream"),
        }
    }
}

/// A stream that cannot be cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("it has an event that is too large: {0}")]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Frame(#[from] Flaw),
}

/// The events of one stream.
#[derive(Debug)]
pub(super) enum Frames {
    Sse(Splitter),
    Aws(FrameSplitter),
}

impl Frames {
    pub(super) fn new(framing: Framing, event_bytes_max: usize) -> Frames {
        match framing {
            Framing::Sse => Frames::Sse(Splitter::new(event_bytes_max)),
            Framing::AwsFrames => Frames::Aws(FrameSplitter::new(event_bytes_max)),
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), BadFrame> {
        match self {
            Frames::Sse(splitter) => Ok(splitter.push(bytes)?),
            Frames::Aws(splitter) => Ok(splitter.push(&bytes)?),
        }
    }

    pub(super) fn next_event(&mut self) -> Option<Bytes> {
        match self {
            Frames::Sse(splitter) => splitter.next_event(),
            Frames::Aws(splitter) => splitter.next_event(),
        }
    }

    /// What is left at the end of the body, as an event: some vendors leave out the end of the very last one.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        match self {
            Frames::Sse(splitter) => {
                let rest = splitter.rest();
                (!rest.is_empty()).then(|| [&rest[..], b"\n\n"].concat().into())
            }
            // a frame says how long it is: what is left is a piece of one
            Frames::Aws(_) => None,
        }
    }
}
