//! Head of a request as bytes, in one allocation. Sends no header that the caller did not name, beside host, content-length and
//! connection; must never write a byte that would begin another line.

use super::error::TransportError;
use super::request_url::RequestUrl;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// Reuse of the connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    KeepAlive,
    Close,
}

/// Headers that describe the connection or the framing, which the client decides by itself.
const OWN: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

pub(super) fn encode(
    method: Method,
    url: &RequestUrl<'_>,
    headers: &[(&str, &str)],
    body_bytes: usize,
    persistence: Persistence,
) -> Result<Vec<u8>, TransportError> {
    // the first line, host, content-length and connection take less than 128 beside the URL's parts
    let named = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    let capacity = 128 + url.host.len() + url.path.len() + named.sum::<usize>();
    let mut head = Vec::with_capacity(capacity);
    head.extend_from_slice(match method {
        Method::Get => b"GET ",
        Method::Post => b"POST ",
    });
    if !url.path.starts_with('/') {
        head.push(b'/');
    }
    head.extend_from_slice(url.path.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    push_host(&mut head, url, headers);
    if method == Method::Post {
        head.extend_from_slice(b"content-length: ");
        push_decimal(&mut head, body_bytes);
        head.extend_from_slice(b"\r\n");
    }
    if persistence == Persistence::Close {
        head.extend_from_slice(b"connection: close\r\n");
    }
    for (name, value) in headers {
        push_header(&mut head, name, value)?;
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

fn push_host(head: &mut Vec<u8>, url: &RequestUrl<'_>, headers: &[(&str, &str)]) {
    if headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        return;
    }
    head.extend_from_slice(b"host: ");
    head.extend_from_slice(url.host.as_bytes());
    if let Some(port) = url.header_port() {
        head.push(b':');
        push_decimal(head, port.into());
    }
    head.extend_from_slice(b"\r\n");
}

fn push_header(head: &mut Vec<u8>, name: &str, value: &str) -> Result<(), TransportError> {
    if name.is_empty() || !name.bytes().all(|byte| NAME_BYTES[usize::from(byte)]) {
        return Err(TransportError::Malformed("invalid header name".to_owned()));
    }
    let is_valid = value.bytes().fold(true, |so_far, byte| {
        so_far & ((byte >= b' ') & (byte != 0x7f) | (byte == b'\t'))
    });
    if !is_valid {
        return Err(TransportError::Malformed("invalid header value".to_owned()));
    }
    if OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Ok(());
    }
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
    Ok(())
}

/// Bytes of a token (RFC 9110, section 5.6.2).
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = table[byte as usize] || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

fn push_decimal(head: &mut Vec<u8>, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    head.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: Method, url: &str, headers: &[(&str, &str)], bytes: usize) -> String {
        let url = RequestUrl::parse(url).expect("a URL");
        let head = encode(method, &url, headers, bytes, Persistence::KeepAlive);
        String::from_utf8(head.expect("a head")).expect("ASCII")
    }

    #[test]
    fn head_has_host_and_length_and_the_headers_in_their_order() {
        let headers = [("x-a", "1"), ("X-B", "2\t\u{e4}")];
        assert_eq!(
            text(Method::Post, "http://h:8080/v1?x=1", &headers, 1_234_567),
            "POST /v1?x=1 HTTP/1.1\r\nhost: h:8080\r\ncontent-length: 1234567\r\nx-a: 1\r\nX-B: 2\t\u{e4}\r\n\r\n"
        );
        assert_eq!(
            text(Method::Get, "https://h:443?x", &[("host", "other")], 0),
            "GET /?x HTTP/1.1\r\nhost: other\r\n\r\n"
        );
        let sent = text(Method::Post, "https://[::1]", &[("Connection", "close")], 0);
        assert_eq!(
            sent,
            "POST / HTTP/1.1\r\nhost: [::1]\r\ncontent-length: 0\r\n\r\n"
        );
    }

    #[test]
    fn header_that_would_begin_another_line_is_malformed() {
        let url = RequestUrl::parse("http://h/").expect("a URL");
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\nb", "x"),
            ("\u{e4}", "x"),
            ("a", "x\r\nb: y"),
            ("a", "x\n"),
            ("a", "\0"),
            ("connection", "x\r\n"),
        ] {
            let head = encode(
                Method::Post,
                &url,
                &[(name, value)],
                0,
                Persistence::KeepAlive,
            );
            assert!(
                matches!(head, Err(TransportError::Malformed(_))),
                "{name:?} {value:?}"
            );
        }
    }
}
