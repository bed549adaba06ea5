//! What an upstream says when it fails, in whichever shape it says it: either dialect's error object, a bare message,
//! plain text, an HTML page of some proxy. Must never fail itself, and never hands a page on.

use serde::de::MapAccess;

use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, read, skip};
use crate::dialect::{Dialect, ErrorFormat};

/// A longer message is cut.
const MESSAGE_CHARS_MAX: usize = 2_000;
const KIND_CHARS_MAX: usize = 100;
const DEPTH_MAX: u8 = 4;
/// Google's reason for a credential that it does not know, which it answers with 400.
const BAD_KEY: &str = "API_KEY_INVALID";

/// An upstream's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// as the body says or its kind implies; the HTTP status, where there is one, is the better witness
    pub status: Option<u16>,
    /// the upstream's word for it (`insufficient_quota`, `overloaded_error`), or `upstream_error`
    pub kind: String,
    pub message: String,
    /// the upstream did not say that it failed: what it sent cannot be read, and may be billed all the same
    pub unreadable: bool,
}

impl UpstreamError {
    /// A failure in so many words.
    pub fn new(message: impl Into<String>) -> UpstreamError {
        UpstreamError {
            status: None,
            kind: "upstream_error".to_owned(),
            message: message.into(),
            unreadable: false,
        }
    }

    /// What came is no answer, and no error either.
    pub(super) fn unreadable(message: impl Into<String>) -> UpstreamError {
        UpstreamError {
            unreadable: true,
            ..UpstreamError::new(message)
        }
    }
}

/// Reads the body of an upstream's error answer.
pub fn upstream_fault(dialect: Dialect, body: &[u8]) -> UpstreamError {
    let body = body.trim_ascii();
    if body.is_empty() {
        return UpstreamError::new("the upstream answered with an empty body");
    }
    if body.starts_with(b"<") || holds_html(body) {
        return UpstreamError::new("the upstream answered with an HTML page");
    }
    let read = read(&FaultReader::default(), body).ok();
    read.and_then(|reader| reader.fault(dialect))
        .unwrap_or_else(|| {
            UpstreamError::new(cut(&String::from_utf8_lossy(body), MESSAGE_CHARS_MAX))
        })
}

/// The status that a refusal stands for. Some vendors have a number of their own for what all others number alike: what is the
/// gateway's to mend may not reach a client as its own mistake.
pub fn standing(upstream: Dialect, status: u16, fault: &UpstreamError) -> u16 {
    match (upstream, status) {
        (Dialect::Gemini, 400) if fault.kind == BAD_KEY => 401,
        // Cohere's word for a credential that it does not take, Groq's for a tier that is full
        (Dialect::Cohere, 498) => 401,
        (_, 498) => 503,
        // it hung up on itself: we did not
        (_, 499) => 502,
        _ => status,
    }
}

/// How long the body of a refusal asks to wait: Google tells it there and in no header. Whole seconds, up.
pub fn retry_after_s(body: &[u8]) -> Option<u64> {
    read(&Delay::default(), body).ok()?.seconds
}

/// Finds `retryDelay` among the details of a Google error, `"7s"` or `"0.5s"`.
#[derive(Clone, Debug, Default)]
struct Delay {
    seconds: Option<u64>,
    depth: u8,
}

impl FieldVisitor for Delay {
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

/// A duration in Google's JSON: seconds, perhaps with a fraction, and an `s`.
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

/// The fault of an event that says by its name that it is one, whatever is in it.
pub(super) fn named(dialect: Dialect, data: &[u8]) -> UpstreamError {
    read(&FaultReader::default(), data)
        .unwrap_or_default()
        .certain_fault(dialect)
}

fn holds_html(body: &[u8]) -> bool {
    let head = &body[..body.len().min(1_024)];
    head.windows(5)
        .any(|window| window.eq_ignore_ascii_case(b"<html"))
}

/// Gathers an error object; also as the value of an `error` member in an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultReader {
    /// an object or a text was there
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
            "reason" => self.bad_key |= map.next_value::<Leaf<'_>>()?.text() == Some(BAD_KEY),
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl FaultReader {
    /// The error, if one was said. Of its two words OpenAI's `code` says more than its `type`; Anthropic has the type.
    pub(super) fn fault(self, dialect: Dialect) -> Option<UpstreamError> {
        let words = match dialect.error_format() {
            _ if self.bad_key => [Some(BAD_KEY.to_owned()), None],
            ErrorFormat::OpenAi => [self.code, self.kind],
            ErrorFormat::Anthropic => [self.kind, self.code],
        };
        let kind = words.into_iter().flatten().next();
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

    /// The error of an event that says it is one, whatever is in it.
    pub(super) fn certain_fault(self, dialect: Dialect) -> UpstreamError {
        self.fault(dialect)
            .unwrap_or_else(|| UpstreamError::new("the upstream sent an error without a message"))
    }

    fn number(&mut self, number: u64) {
        if (400..600).contains(&number) {
            self.status = u16::try_from(number).ok();
        }
    }
}

impl FieldVisitor for FaultReader {
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

/// The HTTP status that a word stands for in either dialect.
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
mod tests {
    use super::*;

    #[test]
    fn errors_of_every_shape_are_read() {
        for (dialect, body, status, kind, message) in [
            (
                Dialect::Chat,
                r#"{"error":{"message":"no money","type":"billing","param":null,"code":"insufficient_quota"}}"#,
                Some(429),
                "insufficient_quota",
                "no money",
            ),
            (
                Dialect::Chat,
                r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
                Some(500),
                "server_error",
                "m",
            ),
            (
                Dialect::Messages,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"busy","code":"x"},"request_id":"r"}"#,
                Some(529),
                "overloaded_error",
                "busy",
            ),
            (
                Dialect::Chat,
                r#"{"error":"model not loaded"}"#,
                None,
                "upstream_error",
                "model not loaded",
            ),
            (
                Dialect::Chat,
                r#"{"message":"m","object":"error","type":"t","code":503}"#,
                Some(503),
                "t",
                "m",
            ),
            (
                Dialect::Chat,
                r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
                Some(429),
                "RESOURCE_EXHAUSTED",
                "m",
            ),
            (
                Dialect::Chat,
                r#"{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}"#,
                None,
                "missing",
                "field required",
            ),
            (
                Dialect::Chat,
                r#"{"detail":"Not Found"}"#,
                None,
                "upstream_error",
                "Not Found",
            ),
            (
                Dialect::Messages,
                " plain text\n",
                None,
                "upstream_error",
                "plain text",
            ),
            (
                Dialect::Chat,
                r#"{"ok":true}"#,
                None,
                "upstream_error",
                r#"{"ok":true}"#,
            ),
            (
                Dialect::Chat,
                "",
                None,
                "upstream_error",
                "the upstream answered with an empty body",
            ),
            (
                Dialect::Chat,
                " <!DOCTYPE html><title>502",
                None,
                "upstream_error",
                "the upstream answered with an HTML page",
            ),
            (
                Dialect::Chat,
                "Bad\n<HTML>secret",
                None,
                "upstream_error",
                "the upstream answered with an HTML page",
            ),
        ] {
            let expected = UpstreamError {
                status,
                kind: kind.into(),
                ..UpstreamError::new(message)
            };
            assert_eq!(upstream_fault(dialect, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn x02_googles_delay_stands_in_the_body() {
        let body = |delay: &str| {
            format!(
                r#"{{"error":{{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
                    {{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaMetric":"m"}}]}},
                    {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
            )
        };
        for (delay, expected) in [
            (r#""7s""#, Some(7)),
            (r#""0.5s""#, Some(1)),
            (r#""18.000s""#, Some(18)),
            (r#""0s""#, Some(0)),
            (r#""-1s""#, None),
            (r#""+1s""#, None),
            (r#""s""#, None),
            (r#""1.-5s""#, None),
            (r#""7""#, None),
            ("7", None),
        ] {
            assert_eq!(retry_after_s(body(delay).as_bytes()), expected, "{delay}");
        }
        assert_eq!(retry_after_s(b"<html>"), None);
        assert_eq!(
            upstream_fault(Dialect::Gemini, body("1").as_bytes()).kind,
            "RESOURCE_EXHAUSTED"
        );
    }

    #[test]
    fn a_credential_that_a_vendor_does_not_take_is_not_the_clients_mistake() {
        let body = br#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
        let fault = upstream_fault(Dialect::Gemini, body);
        assert_eq!(standing(Dialect::Gemini, 400, &fault), 401);
        let other = upstream_fault(
            Dialect::Gemini,
            br#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#,
        );
        for (dialect, status, expected) in [
            (Dialect::Gemini, 400, 400),
            (Dialect::Cohere, 498, 401),
            (Dialect::Chat, 498, 503),
            (Dialect::Cohere, 499, 502),
        ] {
            assert_eq!(standing(dialect, status, &other), expected);
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let fault = upstream_fault(Dialect::Chat, "ü".repeat(5_000).as_bytes());
        assert_eq!(fault.message, "ü".repeat(MESSAGE_CHARS_MAX));
        let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(5_000));
        assert_eq!(
            upstream_fault(Dialect::Chat, body.as_bytes()).message.len(),
            MESSAGE_CHARS_MAX
        );
    }
}
