//! Errors of upstreams, in whatever shape they come: either vendor's error object, a bare message, plain text, an HTML page of a
//! proxy. Reading one must never fail, and must never pass a page on.

use serde::de::MapAccess;

use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, read, skip};

/// Longer messages are cut.
const MESSAGE_CHARS_MAX: usize = 2_000;
const KIND_CHARS_MAX: usize = 100;
const DEPTH_MAX: u8 = 4;
/// Google's reason for an invalid credential, which it answers with 400.
pub(super) const API_KEY_INVALID: &str = "API_KEY_INVALID";

/// An upstream's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// as the body states or its kind implies; the HTTP status, where there is one, has precedence
    pub status: Option<u16>,
    /// the upstream's code or type (`insufficient_quota`, `overloaded_error`), or `upstream_error`
    pub kind: String,
    pub message: String,
    /// the upstream reported no error: its response cannot be read, and may be billed all the same
    pub unreadable: bool,
}

/// Field of an error object that names its kind; the other one is used if it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindField {
    /// OpenAI's `code`, which is more specific than its `type`
    Code,
    /// Anthropic's `type`
    Type,
}

impl UpstreamError {
    pub fn new(message: impl Into<String>) -> UpstreamError {
        UpstreamError {
            status: None,
            kind: "upstream_error".to_owned(),
            message: message.into(),
            unreadable: false,
        }
    }

    /// A response that is neither an answer nor an error.
    pub(super) fn unreadable(message: impl Into<String>) -> UpstreamError {
        UpstreamError {
            unreadable: true,
            ..UpstreamError::new(message)
        }
    }

    pub(super) fn event_not_json() -> UpstreamError {
        UpstreamError::unreadable("the upstream sent an event that is not JSON")
    }
}

/// Reads the body of an error response.
pub(super) fn read_error_body(body: &[u8], kind_field: KindField) -> UpstreamError {
    let body = body.trim_ascii();
    if body.is_empty() {
        return UpstreamError::new("the upstream answered with an empty body");
    }
    if body.starts_with(b"<") || holds_html(body) {
        return UpstreamError::new("the upstream answered with an HTML page");
    }
    let read = read(&ErrorReader::default(), body).ok();
    read.and_then(|reader| reader.error(kind_field))
        .unwrap_or_else(|| {
            UpstreamError::new(cut(&String::from_utf8_lossy(body), MESSAGE_CHARS_MAX))
        })
}

/// The status that a rejection stands for, by the numbers that most vendors share.
pub(super) fn effective_status(status: u16) -> u16 {
    match status {
        // Groq's capacity limit of a tier
        498 => 503,
        // the upstream aborted; the gateway did not
        499 => 502,
        _ => status,
    }
}

/// Retry delay from the body of a rejection, rounded up to seconds: Google sends it there and in no header.
pub fn retry_after_s(body: &[u8]) -> Option<u64> {
    read(&RetryDelay::default(), body).ok()?.seconds
}

/// Finds `retryDelay` among the details of a Google error, `"7s"` or `"0.5s"`.
#[derive(Clone, Debug, Default)]
struct RetryDelay {
    seconds: Option<u64>,
    depth: u8,
}

impl FieldVisitor for RetryDelay {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "error" | "details" if self.depth < DEPTH_MAX => {
                self.depth += 1;
                map.next_value_seed(ElementsSeed(self))?;
                self.depth -= 1;
            }
            "retryDelay" => {
                let written: Leaf<'_> = map.next_value()?;
                self.seconds = written.text().and_then(seconds).or(self.seconds);
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// A duration in Google's JSON: seconds, an optional fraction, and an `s`.
fn seconds(text: &str) -> Option<u64> {
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let (whole, part) = text
        .strip_suffix('s')?
        .split_once('.')
        .unwrap_or((text.strip_suffix('s')?, "0"));
    let seconds = whole
        .parse::<u64>()
        .ok()
        .filter(|_| digits(whole) && digits(part))?;
    Some(seconds.saturating_add(u64::from(part.bytes().any(|digit| digit != b'0'))))
}

/// Reads the data of an event that is an error by its name, whatever it contains.
pub(super) fn read_error_event(data: &[u8], kind_field: KindField) -> UpstreamError {
    read(&ErrorReader::default(), data)
        .unwrap_or_default()
        .error_or_default(kind_field)
}

fn holds_html(body: &[u8]) -> bool {
    let head = &body[..body.len().min(1_024)];
    head.windows(5)
        .any(|window| window.eq_ignore_ascii_case(b"<html"))
}

/// Reads an error object, also as the value of an `error` field in a response.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorReader {
    /// an object or a text was read
    pub(super) seen: bool,
    status: Option<u16>,
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    bad_key: bool,
    depth: u8,
}

/// The reasons among the details of a Google error.
#[derive(Default)]
struct Reasons {
    bad_key: bool,
}

impl FieldVisitor for Reasons {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "reason" => {
                self.bad_key |= map.next_value::<Leaf<'_>>()?.text() == Some(API_KEY_INVALID)
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl ErrorReader {
    /// The error that was read, if any.
    pub(super) fn error(self, kind_field: KindField) -> Option<UpstreamError> {
        let kind = match kind_field {
            _ if self.bad_key => Some(API_KEY_INVALID.to_owned()),
            KindField::Code => self.code.or(self.kind),
            KindField::Type => self.kind.or(self.code),
        };
        if kind.is_none() && self.message.is_none() {
            return None;
        }
        let status = self.status.or_else(|| implied_status(kind.as_deref()?));
        let message = self
            .message
            .unwrap_or_else(|| "the upstream gave no message".to_owned());
        Some(UpstreamError {
            status,
            kind: kind.unwrap_or_else(|| "upstream_error".to_owned()),
            ..UpstreamError::new(message)
        })
    }

    /// The error of an event that is one by its name, whatever was read.
    pub(super) fn error_or_default(self, kind_field: KindField) -> UpstreamError {
        self.error(kind_field)
            .unwrap_or_else(|| UpstreamError::new("the upstream sent an error without a message"))
    }

    fn number(&mut self, number: u64) {
        if (400..600).contains(&number) {
            self.status = u16::try_from(number).ok();
        }
    }
}

impl FieldVisitor for ErrorReader {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "error" | "detail" | "message" | "msg" if self.depth < DEPTH_MAX => {
                self.depth += 1;
                map.next_value_seed(ElementsSeed(self))?;
                self.depth -= 1;
            }
            "details" if self.depth < DEPTH_MAX => {
                let mut reasons = Reasons::default();
                map.next_value_seed(ElementsSeed(&mut reasons))?;
                self.bad_key |= reasons.bad_key;
            }
            "type" | "code" | "status" => match map.next_value()? {
                Leaf::Whole(number) => self.number(number),
                Leaf::Text(word) if word.is_empty() || word == "error" => {}
                Leaf::Text(word) if name == "type" => self.kind = Some(cut(&word, KIND_CHARS_MAX)),
                Leaf::Text(word) => self.code = Some(cut(&word, KIND_CHARS_MAX)),
                _ => {}
            },
            _ => skip(map)?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.seen = true;
        if self.message.is_none() && !text.is_empty() {
            self.message = Some(cut(text, MESSAGE_CHARS_MAX));
        }
    }

    fn end(&mut self) {
        self.seen = true;
    }
}

/// HTTP status of an error kind in either vendor's list.
fn implied_status(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request_error" | "context_length_exceeded" | "content_filter" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" | "model_not_found" => 404,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" => 429,
        "api_error" | "server_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
