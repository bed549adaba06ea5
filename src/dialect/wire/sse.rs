//! Server-sent events as bytes: splits a stream that arrives in any pieces into raw events, and parses one event. An event keeps all
//! of its bytes, including its blank line; must never decode an incomplete event.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// An event, or a line without an end, above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream sent an event of more than {event_bytes_max} bytes")]
pub struct TooLarge {
    pub event_bytes_max: usize,
}

/// Splitter of a stream. Lines end with LF, CR LF or CR, also mixed. The events and the rest together are the stream.
#[derive(Debug)]
pub struct Splitter {
    event_bytes_max: usize,
    /// start of an incomplete event
    held: BytesMut,
    ready: VecDeque<Bytes>,
    place: Place,
    overflowed: bool,
}

/// Position of the last byte in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// at the start of a line
    LineStart,
    InLine,
    /// after the CR that ended a line; an LF may belong to it
    AfterCr,
    /// after the CR of a blank line; an LF may belong to it
    AfterBlankCr,
    /// after an event that ended in CR CR and was returned at once, because a stream with bare CRs has no further byte to wait for; an LF
    /// still belongs to the CR and is at the start of the next event
    AfterBareCr,
}

/// Effect of a byte.
enum Step {
    Go(Place),
    /// the event ends after this byte
    EndsHere(Place),
    /// the event ended before this byte
    EndedBefore,
}

impl Splitter {
    pub fn new(event_bytes_max: usize) -> Splitter {
        Splitter {
            event_bytes_max,
            held: BytesMut::new(),
            ready: VecDeque::new(),
            place: Place::LineStart,
            overflowed: false,
        }
    }

    /// Takes the next bytes. Keeps the events before one that is too large, and nothing after it.
    pub fn push(&mut self, mut chunk: Bytes) -> Result<(), TooLarge> {
        while !self.overflowed {
            let Some(end) = self.event_end(&chunk) else {
                break;
            };
            let event = chunk.split_to(end);
            self.check(event.len());
            if !self.overflowed {
                let event = self.joined(event);
                self.ready.push_back(event);
            }
        }
        self.check(chunk.len());
        if self.overflowed {
            return Err(TooLarge {
                event_bytes_max: self.event_bytes_max,
            });
        }
        self.held.extend_from_slice(&chunk);
        Ok(())
    }

    /// Next complete event.
    pub fn next_event(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Bytes left at the end of the stream, after the last complete event.
    pub fn rest(&mut self) -> Bytes {
        self.place = Place::LineStart;
        self.held.split().freeze()
    }

    fn check(&mut self, more_bytes: usize) {
        self.overflowed |= self.held.len() + more_bytes > self.event_bytes_max;
    }

    fn joined(&mut self, event: Bytes) -> Bytes {
        if self.held.is_empty() {
            return event;
        }
        self.held.extend_from_slice(&event);
        self.held.split().freeze()
    }

    /// End of the first event in the chunk; moves `place` there.
    fn event_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.place == Place::InLine {
                at += memchr::memchr2(b'\n', b'\r', &chunk[at..])?;
            }
            match self.place.step(*chunk.get(at)?) {
                Step::Go(place) => self.place = place,
                Step::EndsHere(place) => {
                    self.place = place;
                    return Some(at + 1);
                }
                Step::EndedBefore => {
                    self.place = Place::LineStart;
                    return Some(at);
                }
            }
            at += 1;
        }
    }
}

impl Place {
    fn step(self, byte: u8) -> Step {
        match (self, byte) {
            (Place::LineStart, b'\n') | (Place::AfterBlankCr, b'\n') => {
                Step::EndsHere(Place::LineStart)
            }
            (Place::LineStart | Place::AfterBareCr, b'\r') => Step::Go(Place::AfterBlankCr),
            (Place::InLine | Place::AfterCr | Place::AfterBareCr, b'\n') => {
                Step::Go(Place::LineStart)
            }
            (Place::InLine, b'\r') => Step::Go(Place::AfterCr),
            (Place::AfterCr, b'\r') => Step::EndsHere(Place::AfterBareCr),
            (Place::AfterBlankCr, _) => Step::EndedBefore,
            (_, _) => Step::Go(Place::InLine),
        }
    }
}

/// Fields of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'e> {
    pub event: Option<&'e [u8]>,
    /// the data lines, joined with LF
    pub data: Cow<'e, [u8]>,
    /// no field, only comments and blank lines
    pub only_comment: bool,
}

/// Parses one raw event leniently: `data:` with or without a space, a byte order mark before the first field.
pub fn parse(event: &[u8]) -> Fields<'_> {
    let mut fields = Fields {
        only_comment: true,
        ..Fields::default()
    };
    let mut has_data = false;
    for line in lines(event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event)) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        fields.only_comment &= name.is_empty();
        match name {
            b"data" if has_data => {
                let data = fields.data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            b"data" => (has_data, fields.data) = (true, Cow::Borrowed(value)),
            b"event" => fields.event = Some(value),
            _ => {}
        }
    }
    fields
}

/// Lines that are not empty.
fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr2_iter(b'\n', b'\r', event).chain([event.len()]);
    ends.map(move |end| &event[std::mem::replace(&mut start, end + 1)..end])
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut splitter = Splitter::new(10_000);
        let mut events = Vec::new();
        for chunk in chunks {
            splitter
                .push(Bytes::copy_from_slice(chunk))
                .expect("small enough");
            while let Some(event) = splitter.next_event() {
                events.push(event.to_vec());
            }
        }
        (events, splitter.rest().to_vec())
    }

    const STREAMS: [(&str, &[&str]); 9] = [
        ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"]),
        (
            "data: a\r\n\r\ndata: ü\r\n\r\n",
            &["data: a\r\n\r\n", "data: ü\r\n\r\n"],
        ),
        ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
        (
            "event: x\r\ndata: a\n\r\ndata: b\r\n\n",
            &["event: x\r\ndata: a\n\r\n", "data: b\r\n\n"],
        ),
        ("data: a\n\n\n: c\n\n", &["data: a\n\n", "\n", ": c\n\n"]),
        ("data: a\n\rdata: b\n\n", &["data: a\n\r", "data: b\n\n"]),
        (
            "data: a\r\r\ndata: b\r\r",
            &["data: a\r\r", "\ndata: b\r\r"],
        ),
        (
            "\n\r\n\r\rdata: b\n\n",
            &["\n", "\r\n", "\r", "\r", "data: b\n\n"],
        ),
        (
            "\u{feff}data: a\ndata: b\n\n: ping\n\n",
            &["\u{feff}data: a\ndata: b\n\n", ": ping\n\n"],
        ),
    ];

    #[test]
    fn e14_events_are_equal_in_any_pieces() {
        for (stream, expected) in STREAMS {
            let expected: Vec<Vec<u8>> = expected
                .iter()
                .map(|event| event.as_bytes().to_vec())
                .collect();
            let bytes = stream.as_bytes();
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = split(&[bytes]);
            assert_eq!(split(&singly), whole, "{stream:?}");
            for at in 0..=bytes.len() {
                assert_eq!(
                    split(&[&bytes[..at], &bytes[at..]]),
                    whole,
                    "{stream:?} at {at}"
                );
            }
            assert_eq!(
                [whole.0.concat(), whole.1.clone()].concat(),
                bytes,
                "{stream:?}"
            );
            assert_eq!(whole, (expected, Vec::new()), "{stream:?}");
        }
    }

    #[test]
    fn bytes_without_a_blank_line_are_the_rest() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n", "data: b\n"),
            ("data: [DONE]", "data: [DONE]"),
            ("", ""),
        ] {
            assert_eq!(split(&[stream.as_bytes()]).1, expected.as_bytes());
        }
    }

    #[test]
    fn event_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata:");
        let mut splitter = Splitter::new(100);
        splitter.push(chunk.clone()).expect("small");
        splitter.push(Bytes::from_static(b" c\n\n")).expect("small");
        for (at, event) in [(0, "data: a\n\n"), (9, "data: b\n\n")] {
            let read = splitter.next_event().expect("an event");
            assert_eq!(
                (&read[..], read.as_ptr()),
                (event.as_bytes(), chunk[at..].as_ptr())
            );
        }
        assert_eq!(splitter.next_event().expect("joined"), "data: c\n\n");
    }

    #[test]
    fn event_above_limit_is_an_error_after_the_events_before_it() {
        let mut splitter = Splitter::new(9);
        let too_large = Err(TooLarge { event_bytes_max: 9 });
        assert_eq!(
            splitter.push(Bytes::from_static(b"data: a\n\ndata: bb\n\n")),
            too_large
        );
        assert_eq!(splitter.next_event().expect("the first"), "data: a\n\n");
        assert_eq!(splitter.next_event(), None);
        assert_eq!(splitter.push(Bytes::from_static(b"\n")), too_large);

        let mut splitter = Splitter::new(9);
        for _ in 0..9 {
            splitter
                .push(Bytes::from_static(b"d"))
                .expect("within the bound");
        }
        assert_eq!(splitter.push(Bytes::from_static(b"d")), too_large);
    }

    #[test]
    fn fields_are_parsed_leniently() {
        for (event, name, data, only_comment) in [
            ("data: a\n\n", None, "a", false),
            ("data:a\r\n\r\n", None, "a", false),
            ("data:  a\r\r", None, " a", false),
            (
                "\u{feff}event:x\ndata: a\ndata\ndata:b\n\n",
                Some("x"),
                "a\n\nb",
                false,
            ),
            (
                "event: x\nevent: y\nid: 1\nretry: 2\n\n",
                Some("y"),
                "",
                false,
            ),
            (": ping\n\n", None, "", true),
            ("\n", None, "", true),
            ("data\n\n", None, "", false),
            ("data: {\"a\":\"b:c\"}\n\n", None, "{\"a\":\"b:c\"}", false),
            ("data: a", None, "a", false),
        ] {
            let fields = parse(event.as_bytes());
            assert_eq!(fields.event, name.map(str::as_bytes), "{event:?}");
            assert_eq!(
                (&fields.data[..], fields.only_comment),
                (data.as_bytes(), only_comment),
                "{event:?}"
            );
        }
    }
}
