//! HTTP/1.1 client of the control plane: sends one request over a stream, returns status and body. Bounded in size and
//! time; must never follow a redirect or reuse a connection.

pub mod download;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::domain::secret::Secret;

const RESPONSE_BYTES_MAX: u64 = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

pub const JSON: &str = "application/json";
pub const CSV: &str = "text/csv";

/// Request to the control plane.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub key: Option<&'a Secret>,
    pub accept: &'a str,
    /// JSON
    pub body: Option<String>,
}

/// Failure of a control-plane call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(
        "no server reachable at {at}: {error}; start one with `gatekeeper serve`, or name its data folder with --data or its address with --url"
    )]
    Unreachable { at: String, error: io::Error },
    #[error(
        "permission denied for {at}; run the command as root or as the user that runs the server"
    )]
    PermissionDenied { at: String },
    #[error("connection to the server failed: {0}")]
    Connection(#[from] io::Error),
    #[error("no response from the server within {} s; check its log", DEADLINE.as_secs())]
    Timeout,
    #[error("response larger than 64 MiB; narrow the request")]
    TooLarge,
    #[error("invalid HTTP response ({0}); check --url")]
    InvalidResponse(&'static str),
}

/// Sends the request and reads the complete response.
pub async fn exchange<S>(stream: S, request: Request<'_>) -> Result<(u16, String), CallError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(DEADLINE, send_and_read(stream, request))
        .await
        .map_err(|_| CallError::Timeout)?
}

async fn send_and_read<S>(mut stream: S, request: Request<'_>) -> Result<(u16, String), CallError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.head().as_bytes()).await?;
    if let Some(body) = &request.body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.flush().await?;
    let mut response = Vec::new();
    stream
        .take(RESPONSE_BYTES_MAX + 1)
        .read_to_end(&mut response)
        .await?;
    if response.len() as u64 > RESPONSE_BYTES_MAX {
        return Err(CallError::TooLarge);
    }
    parse_response(&response)
}

impl Request<'_> {
    fn head(&self) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\naccept: {}\r\n",
            self.method, self.path, self.host, self.accept
        );
        if let Some(key) = self.key {
            head += &format!("authorization: Bearer {}\r\n", key.expose());
        }
        if let Some(body) = &self.body {
            head += &format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
        }
        head + "\r\n"
    }
}

fn parse_response(response: &[u8]) -> Result<(u16, String), CallError> {
    let end =
        memchr::memmem::find(response, b"\r\n\r\n").ok_or(CallError::InvalidResponse("no head"))?;
    let head = std::str::from_utf8(&response[..end])
        .map_err(|_| CallError::InvalidResponse("head not UTF-8"))?;
    let body = &response[end + 4..];
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| digits.parse().ok());
    let status = status.ok_or(CallError::InvalidResponse("no status"))?;
    let body = match (
        header(head, "transfer-encoding"),
        header(head, "content-length"),
    ) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => decode_chunked(body)?,
        (Some(_), _) => return Err(CallError::InvalidResponse("unknown transfer encoding")),
        (None, Some(length)) => {
            let length = length
                .parse()
                .map_err(|_| CallError::InvalidResponse("invalid content-length"))?;
            body.get(..length)
                .ok_or(CallError::InvalidResponse("truncated body"))?
                .to_vec()
        }
        (None, None) => body.to_vec(),
    };
    let body = String::from_utf8(body).map_err(|_| CallError::InvalidResponse("body not UTF-8"))?;
    Ok((status, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'));
    fields
        .into_iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Decodes a chunked body. A body without its last chunk is truncated.
fn decode_chunked(mut rest: &[u8]) -> Result<Vec<u8>, CallError> {
    const TRUNCATED: CallError = CallError::InvalidResponse("truncated body");
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(TRUNCATED)?;
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|line| line.split(';').next());
        let size = size
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .ok_or(CallError::InvalidResponse("invalid chunk size"))?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = rest[end + 2..].get(..size).ok_or(TRUNCATED)?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + size + 2..).ok_or(TRUNCATED)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(key: Option<&'a Secret>, body: Option<&str>) -> Request<'a> {
        Request {
            method: "POST",
            path: "/v1/teams",
            host: "localhost",
            key,
            accept: JSON,
            body: body.map(str::to_owned),
        }
    }

    #[test]
    fn response_is_read_by_length_or_chunks() {
        for (response, expected) in [
            (
                "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
                (201, "{}"),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
                (200, "{\"a\":1}"),
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", (204, "")),
        ] {
            let (status, body) = parse_response(response.as_bytes()).expect(response);
            assert_eq!((status, body.as_str()), expected);
        }
    }

    #[test]
    fn response_truncated_or_invalid_is_an_error() {
        for response in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
        ] {
            assert!(parse_response(response.as_bytes()).is_err(), "{response}");
        }
    }

    #[test]
    fn request_head_has_length_and_key() {
        let key = Secret::new("sk-gk-master-x");
        let head = request(Some(&key), Some("{}")).head();
        assert!(
            head.starts_with("POST /v1/teams HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"),
            "{head}"
        );
        assert!(
            head.contains("authorization: Bearer sk-gk-master-x\r\n")
                && head.contains("content-length: 2\r\n"),
            "{head}"
        );
        assert!(!request(None, None).head().contains("content-length"));
    }
}
