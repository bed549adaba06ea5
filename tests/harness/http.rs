//! HTTP/1.1 parsing for both ends of the tests: heads as bytes and as fields, body lengths, chunks. It keeps the bytes as
//! received and never repairs, joins or reorders them.

/// Head of a request or response.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// all bytes up to and including the empty line
    pub raw: Vec<u8>,
    /// `POST /v1/messages HTTP/1.1` or `HTTP/1.1 200 OK`
    pub first_line: String,
    /// in wire order, names in lower case
    pub headers: Vec<(String, String)>,
}

/// Framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Bytes(usize),
    Chunked,
    UntilClose,
}

impl Head {
    /// Takes a head from the front of the buffer once it is complete.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Head> {
        let end = find(buffer, b"\r\n\r\n")? + 4;
        let raw: Vec<u8> = buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Head {
            raw,
            first_line,
            headers,
        })
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn status(&self) -> u16 {
        let word = self.first_line.split(' ').nth(1).unwrap_or_default();
        word.parse()
            .unwrap_or_else(|_| panic!("not a status line: {:?}", self.first_line))
    }

    /// Without a length, a request has no body and a response lasts until the close.
    pub fn length(&self, is_request: bool) -> Length {
        if self
            .header("transfer-encoding")
            .is_some_and(|how| how.eq_ignore_ascii_case("chunked"))
        {
            return Length::Chunked;
        }
        match self
            .header("content-length")
            .map(|bytes| bytes.parse().expect("content-length is a number"))
        {
            Some(bytes) => Length::Bytes(bytes),
            None if is_request => Length::Bytes(0),
            None => Length::UntilClose,
        }
    }
}

pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Front of a buffer that holds a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// incomplete
    Partial,
    Bytes(Vec<u8>),
    Last,
}

/// Takes one complete chunk from the front of the buffer.
pub fn take_chunk(buffer: &mut Vec<u8>) -> Chunk {
    let Some(line_end) = find(buffer, b"\r\n") else {
        return Chunk::Partial;
    };
    let line = String::from_utf8_lossy(&buffer[..line_end]).into_owned();
    let size = line.split(';').next().unwrap_or_default().trim();
    let size =
        usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
    let end = line_end + 2 + size + 2;
    if buffer.len() < end {
        return Chunk::Partial;
    }
    assert_eq!(&buffer[end - 2..end], b"\r\n", "a chunk ends with CRLF");
    let bytes = buffer[line_end + 2..end - 2].to_vec();
    buffer.drain(..end);
    if size == 0 {
        Chunk::Last
    } else {
        Chunk::Bytes(bytes)
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
