//! Head of a response, read from the bytes of a connection: status, selected headers, and how the body ends. Informational heads are
//! skipped. Must never take a body of unclear length for a complete one.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};

use super::body::BodyLength;
use super::chunked::ChunkedDecoder;
use crate::domain::header_list::HeaderList;

const HEAD_BYTES_MAX: usize = 128 << 10;
const HEADERS_MAX: usize = 96;
/// Informational heads before the response.
const INFORMATIONAL_MAX: usize = 16;
/// Longest name that can be selected.
const NAME_BYTES_MAX: usize = 96;

/// Predicate of the response headers that the caller wants.
pub(super) type HeaderFilter<'a> = &'a dyn Fn(&str) -> bool;

pub(super) struct ResponseHead {
    pub status: u16,
    /// the selected headers, names in lower case
    pub headers: HeaderList,
    pub coding: Option<String>,
    pub length: BodyLength,
    /// the connection may serve another request after the body
    pub persistent: bool,
}

/// Reader of a head that comes in pieces.
#[derive(Default)]
pub(super) struct HeadReader {
    /// bytes that were there when the head was incomplete
    tried: usize,
    informational: usize,
}

impl HeadReader {
    /// Takes the head from the bytes received; `None` until it is there.
    pub fn next(
        &mut self,
        received: &mut BytesMut,
        keep: HeaderFilter<'_>,
    ) -> Result<Option<ResponseHead>, String> {
        while self.is_due(received) {
            self.tried = received.len();
            let parsed = parse(received, keep)?;
            let bytes = parsed.as_ref().map_or(received.len(), |(bytes, _)| *bytes);
            if bytes > HEAD_BYTES_MAX {
                return Err(format!("response head larger than {HEAD_BYTES_MAX} bytes"));
            }
            let Some((bytes, head)) = parsed else {
                return Ok(None);
            };
            received.advance(bytes);
            self.tried = 0;
            match head.status {
                101 => return Err("unsupported response 101: no upgrade was asked for".to_owned()),
                100..200 if self.informational == INFORMATIONAL_MAX => {
                    return Err("too many informational responses".to_owned());
                }
                100..200 => self.informational += 1,
                _ => return Ok(Some(head)),
            }
        }
        Ok(None)
    }

    /// Bounds the work for a head that comes byte by byte: it is parsed at its first bytes, whenever they have doubled, and when an
    /// empty line may have come.
    fn is_due(&self, received: &[u8]) -> bool {
        if received.len() == self.tried {
            return false;
        }
        let unseen = &received[self.tried.saturating_sub(3)..];
        received.len() >= (2 * self.tried).min(HEAD_BYTES_MAX + 1)
            || memchr::memmem::find(unseen, b"\n\r\n").is_some()
            || memchr::memmem::find(unseen, b"\n\n").is_some()
    }
}

/// Length of the head and its content.
fn parse(received: &[u8], keep: HeaderFilter<'_>) -> Result<Option<(usize, ResponseHead)>, String> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, received, &mut headers);
    let bytes = match parsed.map_err(|error| format!("invalid response head: {error}"))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(bytes) => bytes,
    };
    let status = response.code.unwrap_or_default();
    let mut fields = Fields {
        keep,
        headers: HeaderList::default(),
        coding: None,
        sized: None,
        chunked: false,
        has_transfer_encoding: false,
        close: response.version != Some(1),
    };
    for header in response.headers.iter() {
        fields.read(header.name, header.value)?;
    }
    Ok(Some((bytes, fields.into_head(status))))
}

/// Headers read so far.
struct Fields<'a> {
    keep: HeaderFilter<'a>,
    headers: HeaderList,
    coding: Option<String>,
    sized: Option<u64>,
    chunked: bool,
    has_transfer_encoding: bool,
    close: bool,
}

impl Fields<'_> {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let mut lower = [0; NAME_BYTES_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Ok(());
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let name = std::str::from_utf8(lower).map_err(|_| "invalid header name".to_owned())?;
        let value = value.trim_ascii();
        match name {
            "content-length" => self.read_length(value)?,
            "transfer-encoding" => self.read_transfer_encoding(value)?,
            "connection" => {
                let mut options = value.split(|byte| *byte == b',');
                self.close |=
                    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
            "content-encoding" => {
                let coding = printable(value).unwrap_or("?");
                // codings in several lines are one list
                let coding = match self.coding.take() {
                    Some(before) => format!("{before}, {coding}"),
                    None => coding.to_owned(),
                };
                self.coding = Some(coding);
            }
            _ => {}
        }
        if (self.keep)(name)
            && let Some(value) = printable(value)
        {
            self.headers.push(constant(name), value);
        }
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), String> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = printable(value).and_then(|digits| digits.parse().ok());
        match number.filter(|_| is_number && self.sized.is_none()) {
            Some(length) => self.sized = Some(length),
            None => return Err("invalid content-length".to_owned()),
        }
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8]) -> Result<(), String> {
        let is_chunked = value.eq_ignore_ascii_case(b"chunked");
        let is_known = is_chunked || value.eq_ignore_ascii_case(b"identity");
        if self.has_transfer_encoding || !is_known {
            return Err("invalid transfer-encoding".to_owned());
        }
        self.has_transfer_encoding = true;
        self.chunked = is_chunked;
        Ok(())
    }

    /// RFC 9112, section 6.3. A connection is reused only after a body whose end is beyond doubt: a status without a body may be
    /// followed by one, and a length beside chunks is an attempt to smuggle.
    fn into_head(self, status: u16) -> ResponseHead {
        let has_no_body = matches!(status, 100..200 | 204 | 205 | 304);
        let length = match self.sized {
            _ if has_no_body => BodyLength::Sized(0),
            _ if self.chunked => BodyLength::Chunked(ChunkedDecoder::Size),
            Some(length) => BodyLength::Sized(length),
            None => BodyLength::UntilClose,
        };
        let is_doubtful = has_no_body
            || length == BodyLength::UntilClose
            || (self.has_transfer_encoding && self.sized.is_some());
        ResponseHead {
            status,
            headers: self.headers,
            coding: self.coding,
            length,
            persistent: !self.close && !is_doubtful,
        }
    }
}

/// Text of a value in printable ASCII.
fn printable(value: &[u8]) -> Option<&str> {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let text = std::str::from_utf8(value).ok()?;
    value.iter().all(is_printable).then_some(text)
}

/// The name without an allocation, if it is among the usual ones.
fn constant(name: &str) -> Cow<'static, str> {
    const USUAL: [&str; 12] = [
        "content-type",
        "x-request-id",
        "request-id",
        "retry-after",
        "openai-processing-ms",
        "x-should-retry",
        "x-ratelimit-limit-requests",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens",
    ];
    match USUAL.into_iter().find(|usual| *usual == name) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of these bytes, which come in pieces of this many; `Ok(None)` if it is incomplete.
    fn read(bytes: &[u8], piece: usize) -> Result<Option<(ResponseHead, BytesMut)>, String> {
        let (mut reader, mut received) = (HeadReader::default(), BytesMut::new());
        let mut found = None;
        for piece in bytes.chunks(piece) {
            received.extend_from_slice(piece);
            if found.is_none() {
                found = reader.next(&mut received, &|name| name.starts_with("x-"))?;
            }
        }
        Ok(found.map(|head| (head, received)))
    }

    fn head(text: &str) -> ResponseHead {
        let (head, _) = read(text.as_bytes(), text.len())
            .expect("valid")
            .expect("whole");
        head
    }

    #[test]
    fn head_is_read_however_it_is_cut() {
        let text = b"HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 4\r\nx-b:\t2 \r\n\r\nbody";
        for piece in 1..=text.len() {
            let (head, left) = read(text, piece).expect("valid").expect("whole");
            assert_eq!(
                (head.status, head.length, &left[..]),
                (200, BodyLength::Sized(4), &b"body"[..])
            );
            let headers: Vec<_> = head.headers.iter().collect();
            assert_eq!(headers, [("x-a", "1"), ("x-b", "2")]);
            assert!(head.persistent);
        }
        let end = text.len() - 4;
        for cut in 0..end {
            assert!(matches!(read(&text[..cut], 3), Ok(None)), "{cut}");
        }
    }

    #[test]
    fn informational_heads_are_skipped_up_to_a_bound() {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let of = |count: usize| read(format!("{}{last}", hints.repeat(count)).as_bytes(), 11);
        assert!(matches!(of(INFORMATIONAL_MAX), Ok(Some((head, _))) if head.status == 200));
        assert!(of(INFORMATIONAL_MAX + 1).is_err());
        assert!(read(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 99).is_err());
    }

    #[test]
    fn length_of_the_body_follows_the_rfc_and_doubt_ends_the_connection() {
        let chunked = BodyLength::Chunked(ChunkedDecoder::Size);
        for (version, status, lines, length, persistent) in [
            (
                "1.1",
                200,
                "content-length: 5\r\n",
                BodyLength::Sized(5),
                true,
            ),
            ("1.1", 200, "Transfer-Encoding: Chunked\r\n", chunked, true),
            ("1.1", 200, "", BodyLength::UntilClose, false),
            (
                "1.1",
                200,
                "transfer-encoding: identity\r\n",
                BodyLength::UntilClose,
                false,
            ),
            (
                "1.1",
                200,
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                chunked,
                false,
            ),
            (
                "1.1",
                200,
                "content-length: 5\r\nConnection: x, Close\r\n",
                BodyLength::Sized(5),
                false,
            ),
            (
                "1.0",
                200,
                "content-length: 5\r\n",
                BodyLength::Sized(5),
                false,
            ),
            ("1.0", 200, "", BodyLength::UntilClose, false),
            (
                "1.1",
                204,
                "content-length: 5\r\n",
                BodyLength::Sized(0),
                false,
            ),
            ("1.1", 205, "", BodyLength::Sized(0), false),
            (
                "1.1",
                304,
                "transfer-encoding: chunked\r\n",
                BodyLength::Sized(0),
                false,
            ),
        ] {
            let text = format!("HTTP/{version} {status} S\r\n{lines}\r\n");
            let head = head(&text);
            assert_eq!(
                (head.length, head.persistent),
                (length, persistent),
                "{text}"
            );
        }
    }

    #[test]
    fn head_that_is_malformed_or_unbounded_is_an_error() {
        let many = "x: y\r\n".repeat(HEADERS_MAX + 1);
        let long = format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
        for lines in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: -5\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "no colon\r\n",
            "a: b\r\n c\r\n",
            &many,
            &long,
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert!(read(text.as_bytes(), 4096).is_err(), "{text:.60}");
        }
        for text in [
            "SSH-2.0-x\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
        ] {
            assert!(read(text.as_bytes(), 4096).is_err(), "{text}");
        }
        let unended = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert!(read(unended.as_bytes(), 4096).is_err());
    }

    #[test]
    fn value_that_is_not_printable_is_left_out_and_codings_are_one_list() {
        let text = "HTTP/1.1 200 OK\r\nx-a: \u{e4}\r\nx-b: 1\r\ncontent-encoding: gzip\r\ncontent-encoding: br\r\n\r\n";
        let head = head(text);
        assert_eq!(head.headers.iter().count(), 1);
        assert_eq!(head.coding.as_deref(), Some("gzip, br"));
    }
}
