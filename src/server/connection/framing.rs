//! Strict framing of the requests on a connection: follows heads, lengths and chunks in the bytes that are read, and spoils what
//! two readers could take for two things before the HTTP library sees it, which then answers 400 and closes: a line of a head
//! that ends without CR, and an extension of a chunk beyond 1 KB. Copies nothing but the beginning of a line.

/// Beginning of a line that is kept: name and value of the headers that frame a body fit.
const LINE_KEPT: usize = 96;
/// Longest line of a chunk size with its extensions.
const CHUNK_LINE_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `seen` lines of a head
    Head {
        seen: u32,
    },
    /// bytes of a body, or of a chunk and its CRLF, that are left
    Body {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    Trailer,
    /// spoiled: the connection ends
    Failed,
}

/// Position in the framing of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    part: Part,
    line: Vec<u8>,
    line_bytes: usize,
    ends_with_cr: bool,
    length: u64,
    chunked: bool,
}

impl Default for Framing {
    fn default() -> Framing {
        Framing {
            part: Part::Head { seen: 0 },
            line: Vec::new(),
            line_bytes: 0,
            ends_with_cr: false,
            length: 0,
            chunked: false,
        }
    }
}

impl Framing {
    /// Follows the bytes that were read; spoils the first fault among them.
    pub fn follow(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.part {
                Part::Failed => return,
                Part::Body { left, chunked } => {
                    let here = left.min(rest.len() as u64);
                    at += here as usize;
                    self.body(left - here, chunked);
                }
                Part::Head { .. } | Part::ChunkSize | Part::Trailer => {
                    let end = memchr::memchr(b'\n', rest);
                    let text = &rest[..end.unwrap_or(rest.len())];
                    self.keep(text);
                    at += text.len();
                    if self.part == Part::ChunkSize && self.line_bytes > CHUNK_LINE_MAX {
                        return self.spoil(&mut bytes[at - 1], b'\n');
                    }
                    if end.is_some() {
                        if !self.end_line() {
                            return self.spoil(&mut bytes[at], 0);
                        }
                        at += 1;
                    }
                }
            }
        }
    }

    fn spoil(&mut self, byte: &mut u8, by: u8) {
        *byte = by;
        self.part = Part::Failed;
    }

    fn body(&mut self, left: u64, chunked: bool) {
        self.part = match (left, chunked) {
            (0, true) => Part::ChunkSize,
            (0, false) => Part::Head { seen: 0 },
            (left, chunked) => Part::Body { left, chunked },
        };
    }

    fn keep(&mut self, text: &[u8]) {
        let Some(last) = text.last() else { return };
        self.ends_with_cr = *last == b'\r';
        self.line_bytes += text.len();
        let room = LINE_KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&text[..room.min(text.len())]);
    }

    /// Ends a line; false if it is at fault.
    fn end_line(&mut self) -> bool {
        let well = self.ends_with_cr && self.read_line();
        self.line.clear();
        self.line_bytes = 0;
        self.ends_with_cr = false;
        well
    }

    fn read_line(&mut self) -> bool {
        let is_empty = self.line_bytes == 1;
        match self.part {
            Part::Head { seen: 0 } if is_empty => {}
            Part::Head { .. } if is_empty => self.end_head(),
            Part::Head { seen: 0 } => self.part = Part::Head { seen: 1 },
            Part::Head { .. } => return self.read_header(),
            Part::ChunkSize => return self.read_chunk_size(),
            Part::Trailer if is_empty => self.part = Part::Head { seen: 0 },
            Part::Trailer | Part::Body { .. } | Part::Failed => {}
        }
        true
    }

    fn end_head(&mut self) {
        self.part = match (self.chunked, self.length) {
            (true, _) => Part::ChunkSize,
            (false, 0) => Part::Head { seen: 0 },
            (false, left) => Part::Body {
                left,
                chunked: false,
            },
        };
        (self.chunked, self.length) = (false, 0);
    }

    /// Reads the headers that frame the body. A value that cannot be read in full is at fault.
    fn read_header(&mut self) -> bool {
        let mut parts = self.line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let value = value.unwrap_or_default().trim_ascii();
        let is_whole = self.line_bytes <= LINE_KEPT;
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).unwrap_or_default();
            let length = digits.parse::<u64>().ok().filter(|_| is_whole);
            self.length = length.unwrap_or(0);
            return length.is_some();
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.eq_ignore_ascii_case(b"chunked") && is_whole;
            return self.chunked;
        }
        true
    }

    fn read_chunk_size(&mut self) -> bool {
        let digits = self.line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        match u64::from_str_radix(&digits, 16) {
            Ok(0) => self.part = Part::Trailer,
            Ok(size) => {
                self.part = Part::Body {
                    left: size.saturating_add(2),
                    chunked: true,
                };
            }
            Err(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes after the check, read in pieces of every length.
    fn followed(bytes: &str) -> String {
        let whole = piecewise(bytes, bytes.len());
        for piece in 1..bytes.len().min(20) {
            assert_eq!(
                piecewise(bytes, piece),
                whole,
                "pieces of {piece} of {bytes:?}"
            );
        }
        whole
    }

    fn piecewise(bytes: &str, piece: usize) -> String {
        let (mut framing, mut bytes) = (Framing::default(), bytes.as_bytes().to_vec());
        for piece in bytes.chunks_mut(piece) {
            framing.follow(piece);
        }
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn well_framed_requests_are_unchanged_whatever_their_bodies_hold() {
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4;a=b\r\n\n\n\r\n\r\n3\r\nx\ny\r\n0\r\nt: 1\r\n\r\n";
        let length = "\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc";
        for bytes in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            format!("{chunked}{length}{chunked}"),
        ] {
            assert_eq!(followed(&bytes), bytes);
        }
    }

    #[test]
    fn line_of_a_head_without_cr_is_spoiled_also_behind_a_body() {
        let length = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb";
        for (before, fault, after) in [
            ("GET / HTTP/1.1", "\n", "host: a\r\n\r\n"),
            ("GET / HTTP/1.1\r\nx: 1", "\n", "y: 2\r\n\r\n"),
            ("GET / HTTP/1.1\r\n", "\n", ""),
            (&format!("{length}GET / HTTP/1.1"), "\n", "\n"),
        ] {
            let spoiled = followed(&format!("{before}{fault}{after}"));
            assert_eq!(spoiled, format!("{before}\0{after}"));
        }
    }

    #[test]
    fn long_chunk_extension_and_unreadable_lengths_are_spoiled() {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let extended = |bytes: usize| format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(bytes));
        assert_eq!(piecewise(&extended(1_000), 7), extended(1_000));
        assert_ne!(piecewise(&extended(1_100), 7), extended(1_100));
        for line in [
            "content-length: 1, 1",
            "content-length: ",
            "transfer-encoding: gzip",
        ] {
            let bytes = format!("POST / HTTP/1.1\r\n{line}\r\n\r\n");
            assert!(followed(&bytes).contains('\0'), "{line}");
        }
    }
}
