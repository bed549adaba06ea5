//! One HTTP/1.1 request and its answer over a connection that is closed afterwards: takes a stream and a request, returns
//! status and body. Bounded in size and time; never follows a redirect, never keeps a connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::domain::secret::Secret;

const ANSWER_BYTES_MAX: u64 = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

pub const JSON: &str = "application/json";
pub const CSV: &str = "text/csv";

/// What is asked of the server.
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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(
        "no server is reached at {at}: {why}; start one with `gatekeeper serve`, or name its data folder with --data or its address with --url"
    )]
    NotReached { at: String, why: io::Error },
    #[error(
        "{at} may not be used by this user; run the command as root or as the user that runs the server"
    )]
    NotAllowed { at: String },
    #[error("the connection to the server broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the server did not answer within {} seconds; look at its log", DEADLINE.as_secs())]
    TooSlow,
    #[error("the server's answer is larger than 64 MiB; ask for less")]
    TooLarge,
    #[error("what answered does not speak HTTP as this command expects ({0}); check --url")]
    NotHttp(&'static str),
}

/// Sends the request and reads the whole answer.
pub async fn exchange<S>(stream: S, request: Request<'_>) -> Result<(u16, String), CallError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(DEADLINE, send_and_read(stream, request))
        .await
        .map_err(|_| CallError::TooSlow)?
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
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX + 1)
        .read_to_end(&mut answer)
        .await?;
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err(CallError::TooLarge);
    }
    read_answer(&answer)
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

fn read_answer(answer: &[u8]) -> Result<(u16, String), CallError> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n").ok_or(CallError::NotHttp("no head"))?;
    let head = std::str::from_utf8(&answer[..end])
        .map_err(|_| CallError::NotHttp("a head that is not text"))?;
    let body = &answer[end + 4..];
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| digits.parse().ok());
    let status = status.ok_or(CallError::NotHttp("no status"))?;
    let body = match (
        header(head, "transfer-encoding"),
        header(head, "content-length"),
    ) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => unchunked(body)?,
        (Some(_), _) => return Err(CallError::NotHttp("an unknown transfer encoding")),
        (None, Some(length)) => {
            let length = length
                .parse()
                .map_err(|_| CallError::NotHttp("a content-length that is no number"))?;
            body.get(..length)
                .ok_or(CallError::NotHttp("a body that was cut off"))?
                .to_vec()
        }
        (None, None) => body.to_vec(),
    };
    let body =
        String::from_utf8(body).map_err(|_| CallError::NotHttp("a body that is not text"))?;
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

/// Takes the chunks apart. A body without its last chunk was cut off.
fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>, CallError> {
    const CUT: CallError = CallError::NotHttp("a body that was cut off");
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(CUT)?;
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|line| line.split(';').next());
        let size = size
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .ok_or(CallError::NotHttp("a chunk without a size"))?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = rest[end + 2..].get(..size).ok_or(CUT)?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + size + 2..).ok_or(CUT)?;
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
    fn an_answer_is_read_by_its_length_or_its_chunks() {
        for (answer, expected) in [
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
            let (status, body) = read_answer(answer.as_bytes()).expect(answer);
            assert_eq!((status, body.as_str()), expected);
        }
    }

    #[test]
    fn what_was_cut_off_or_is_no_http_is_an_error() {
        for answer in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
        ] {
            assert!(read_answer(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn the_request_says_its_length_and_carries_the_key() {
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
