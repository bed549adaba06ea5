//! Splits an upstream's body into events in any framing. Lines and AWS frames become server-sent events, so that decoders know one
//! framing only. Must never return an incomplete event.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::dialect::wire::eventstream::{self, FrameError, FrameSplitter};
use crate::dialect::wire::sse::{Splitter, TooLarge};

/// Framing of the events of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// server-sent events
    Sse,
    /// one JSON text per line
    Lines,
    /// AWS event-stream frames
    AwsFrames,
}

impl Framing {
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Sse => "text/event-stream",
            Framing::Lines => "application/x-ndjson",
            Framing::AwsFrames => "application/vnd.amazon.eventstream",
        }
    }

    /// One event as an upstream sends it; `name` must be a plain word, `data` JSON in one line.
    pub fn event(self, name: &str, data: &str) -> Vec<u8> {
        match self {
            Framing::Sse if name.is_empty() => format!("data: {data}\n\n").into_bytes(),
            Framing::Sse => format!("event: {name}\ndata: {data}\n\n").into_bytes(),
            Framing::Lines => format!("{data}\n").into_bytes(),
            Framing::AwsFrames => eventstream::event_frame(name, data),
        }
    }

    /// The content type belongs to this framing.
    pub fn is(self, content_type: &str) -> bool {
        let media = self.content_type();
        // case-insensitive, parameters may follow
        content_type
            .get(..media.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(media))
    }
}

/// A stream that cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("it has an event that is too large: {0}")]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Splitter of one stream.
#[derive(Debug)]
pub(crate) enum Frames {
    Sse(Splitter),
    Lines(Lines),
    Aws(FrameSplitter),
}

impl Frames {
    pub(crate) fn new(framing: Framing, event_bytes_max: usize) -> Frames {
        match framing {
            Framing::Sse => Frames::Sse(Splitter::new(event_bytes_max)),
            Framing::Lines => {
                let (held, ready) = (BytesMut::new(), VecDeque::new());
                Frames::Lines(Lines {
                    event_bytes_max,
                    held,
                    ready,
                    overflowed: false,
                })
            }
            Framing::AwsFrames => Frames::Aws(FrameSplitter::new(event_bytes_max)),
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) -> Result<(), BadFrame> {
        match self {
            Frames::Sse(splitter) => Ok(splitter.push(bytes)?),
            Frames::Lines(lines) => Ok(lines.push(bytes)?),
            Frames::Aws(splitter) => Ok(splitter.push(&bytes)?),
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Bytes> {
        match self {
            Frames::Sse(splitter) => splitter.next_event(),
            Frames::Lines(lines) => lines.ready.pop_front(),
            Frames::Aws(splitter) => splitter.next_event(),
        }
    }

    /// Bytes left at the end of the body, as an event: some vendors omit the end of the last one.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        match self {
            Frames::Sse(splitter) => {
                let rest = splitter.rest();
                (!rest.is_empty()).then(|| [&rest[..], b"\n\n"].concat().into())
            }
            Frames::Lines(lines) => as_event(&lines.held.split()),
            // frames have lengths: the rest is an incomplete one
            Frames::Aws(_) => None,
        }
    }
}

/// Splits a stream into lines without their ends, and skips empty lines.
#[derive(Debug)]
pub(crate) struct Lines {
    event_bytes_max: usize,
    /// start of an incomplete line
    held: BytesMut,
    ready: VecDeque<Bytes>,
    overflowed: bool,
}

impl Lines {
    /// Keeps the lines before one that is too long, and nothing after it.
    fn push(&mut self, mut chunk: Bytes) -> Result<(), TooLarge> {
        while !self.overflowed {
            let Some(end) = memchr::memchr(b'\n', &chunk) else {
                break;
            };
            self.hold(&chunk.split_to(end + 1));
            let line = self.held.split();
            if !self.overflowed {
                self.ready.extend(as_event(&line));
            }
        }
        self.hold(&chunk);
        if self.overflowed {
            Err(TooLarge {
                event_bytes_max: self.event_bytes_max,
            })
        } else {
            Ok(())
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.overflowed |= self.held.len() + bytes.len() > self.event_bytes_max;
        if !self.overflowed {
            self.held.extend_from_slice(bytes);
        }
    }
}

/// A line as a server-sent event.
fn as_event(line: &[u8]) -> Option<Bytes> {
    let line = line.trim_ascii();
    (!line.is_empty()).then(|| [b"data: ", line, b"\n\n"].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::sse::parse;

    const LINES: &str = "{\"a\":1}\n\n{\"b\":\"日\"}\r\n  {\"c\":3} \n{\"d\"";

    fn events(frames: &mut Frames) -> Vec<String> {
        std::iter::from_fn(|| frames.next_event())
            .map(|event| String::from_utf8_lossy(&parse(&event).data).into_owned())
            .collect()
    }

    #[test]
    fn lines_are_events_in_any_pieces() {
        for size in 1..LINES.len() {
            let mut frames = Frames::new(Framing::Lines, 100);
            let mut seen = Vec::new();
            for piece in LINES.as_bytes().chunks(size) {
                frames
                    .push(Bytes::copy_from_slice(piece))
                    .expect("short lines");
                seen.extend(events(&mut frames));
            }
            assert_eq!(
                seen,
                ["{\"a\":1}", "{\"b\":\"日\"}", "{\"c\":3}"],
                "cut at {size}"
            );
            let rest = frames.rest().expect("a beginning");
            assert_eq!(parse(&rest).data, b"{\"d\"".as_slice());
            assert_eq!(frames.rest(), None);
        }
    }

    #[test]
    fn line_above_limit_ends_the_stream_after_the_lines_before_it() {
        let mut frames = Frames::new(Framing::Lines, 10);
        assert!(
            frames
                .push(Bytes::from_static(b"{\"a\":1}\n{\"a\":\"long\""))
                .is_err()
        );
        assert_eq!(events(&mut frames), ["{\"a\":1}"]);
        assert!(frames.push(Bytes::from_static(b"\n{}\n")).is_err());
        assert_eq!(events(&mut frames), Vec::<String>::new());
        let mut frames = Frames::new(Framing::Lines, 10);
        for _ in 0..5 {
            frames
                .push(Bytes::from_static(b"{\"a\":1}\n"))
                .expect("each line is short");
            assert_eq!(events(&mut frames), ["{\"a\":1}"]);
        }
    }

    #[test]
    fn content_type_matches_one_framing() {
        assert!(
            Framing::Lines.is("application/x-ndjson; charset=utf-8")
                && !Framing::Lines.is("text/event-stream")
        );
        assert!(
            Framing::Sse.is("text/event-stream; charset=utf-8")
                && !Framing::Sse.is("application/x-ndjson")
        );
    }
}
