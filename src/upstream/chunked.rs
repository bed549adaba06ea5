//! Decoder of chunked bodies (RFC 9112, section 7.1). Extensions and trailers are skipped and bounded. Must never take the end of
//! the bytes for the end of the body.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line of a chunk's size or of a trailer.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of all trailers together.
const TRAILER_BYTES_MAX: usize = 32 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkedDecoder {
    /// before the line of a size
    Size,
    /// inside a chunk, with so many bytes left
    Data(u64),
    /// before the line end behind a chunk
    DataEnd,
    /// behind the last chunk, after so many bytes of trailers
    Trailers(usize),
    End,
}

/// Next part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyPart {
    Data(Bytes),
    End,
    /// more bytes are needed
    Incomplete,
}

impl ChunkedDecoder {
    pub fn next(&mut self, received: &mut BytesMut) -> Result<BodyPart, &'static str> {
        loop {
            match *self {
                ChunkedDecoder::Size => {
                    let Some(length) = line_length(received)? else {
                        return Ok(BodyPart::Incomplete);
                    };
                    *self = match size(&received[..length])? {
                        0 => ChunkedDecoder::Trailers(0),
                        size => ChunkedDecoder::Data(size),
                    };
                    received.advance(length + 2);
                }
                ChunkedDecoder::Data(_) if received.is_empty() => return Ok(BodyPart::Incomplete),
                ChunkedDecoder::Data(left) => {
                    let count = left.min(received.len() as u64);
                    *self = match left - count {
                        0 => ChunkedDecoder::DataEnd,
                        left => ChunkedDecoder::Data(left),
                    };
                    let data = received.split_to(count as usize).freeze();
                    return Ok(BodyPart::Data(data));
                }
                ChunkedDecoder::DataEnd => {
                    match received.get(..2) {
                        Some(b"\r\n") => received.advance(2),
                        Some(_) => return Err("invalid end of a chunk"),
                        None => return Ok(BodyPart::Incomplete),
                    }
                    *self = ChunkedDecoder::Size;
                }
                ChunkedDecoder::Trailers(bytes) => {
                    let Some(length) = line_length(received)? else {
                        return Ok(BodyPart::Incomplete);
                    };
                    *self = match length {
                        0 => ChunkedDecoder::End,
                        _ if bytes > TRAILER_BYTES_MAX => return Err("trailers too long"),
                        length => ChunkedDecoder::Trailers(bytes + length + 2),
                    };
                    received.advance(length + 2);
                }
                ChunkedDecoder::End => return Ok(BodyPart::End),
            }
        }
    }
}

/// Length of a line without its end; `None` if its end is not there yet.
fn line_length(received: &[u8]) -> Result<Option<usize>, &'static str> {
    let searched = &received[..received.len().min(LINE_BYTES_MAX)];
    match memchr::memchr(b'\n', searched) {
        Some(end) if searched[..end].ends_with(b"\r") => Ok(Some(end - 1)),
        Some(_) => Err("chunk line without carriage return"),
        None if received.len() < LINE_BYTES_MAX => Ok(None),
        None => Err("chunk line too long"),
    }
}

/// Size of a chunk: hexadecimal digits, perhaps white space, perhaps extensions behind a semicolon.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
    let behind = rest.trim_ascii_start();
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if digits.is_empty() || !(behind.is_empty() || behind[0] == b';') || rest.iter().any(is_control)
    {
        return Err("invalid size of a chunk");
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| "chunk too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of a body, and the bytes behind its end.
    type Decoded = (Vec<u8>, Vec<u8>);

    /// The body that comes in pieces of this many bytes; `None` if it is incomplete.
    fn decoded(bytes: &[u8], piece: usize) -> Result<Option<Decoded>, &'static str> {
        let (mut decoder, mut received) = (ChunkedDecoder::Size, BytesMut::new());
        let mut data = Vec::new();
        let mut pieces = bytes.chunks(piece);
        loop {
            match decoder.next(&mut received)? {
                BodyPart::Data(part) => data.extend_from_slice(&part),
                BodyPart::End => {
                    let rest = pieces.flatten().copied();
                    return Ok(Some((data, received.iter().copied().chain(rest).collect())));
                }
                BodyPart::Incomplete => match pieces.next() {
                    Some(piece) => received.extend_from_slice(piece),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn chunked_body_is_decoded_however_it_is_cut() {
        let body = b"5\r\nhello\r\n00B \t;a=\"b\"\r\n, wide\r\nwor\r\n2\r\nld\r\n0;x\r\nx-t: 1\r\n\r\nleft";
        for piece in 1..=body.len() {
            let expected = (b"hello, wide\r\nworld".to_vec(), b"left".to_vec());
            assert_eq!(decoded(body, piece), Ok(Some(expected)), "{piece}");
        }
    }

    #[test]
    fn chunked_body_cut_anywhere_is_incomplete() {
        let body = b"5\r\nhello\r\n0\r\nx: 1\r\n\r\n";
        for cut in 0..body.len() {
            assert_eq!(decoded(&body[..cut], 3), Ok(None), "{cut}");
        }
        assert!(matches!(decoded(body, 3), Ok(Some(_))));
    }

    #[test]
    fn chunked_body_that_is_malformed_is_an_error() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(LINE_BYTES_MAX));
        let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(TRAILER_BYTES_MAX / 4 + 1));
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na\r\n",
            "5x\r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "5\nhello\r\n",
            "5;\u{1}\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "10000000000000000\r\n",
            &long,
            &trailers,
        ] {
            assert!(decoded(body.as_bytes(), 7).is_err(), "{body:.40}");
        }
    }
}
