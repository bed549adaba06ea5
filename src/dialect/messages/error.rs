//! The gateway's own errors in the shape of Anthropic's.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;

#[derive(Serialize)]
struct ErrorBody<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: ErrorDetail<'p>,
    request_id: &'p str,
}

#[derive(Serialize)]
struct ErrorDetail<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'p str,
}

pub(super) fn error_body(error: &ApiError, request_id: &str) -> String {
    to_json(&ErrorBody {
        kind: "error",
        error: ErrorDetail {
            kind: error.code.anthropic_type(),
            message: error.message.as_str(),
        },
        request_id,
    })
}

/// An error within a stream.
pub(super) fn error_event(error: &ApiError, request_id: &str) -> Bytes {
    let body = error_body(error, request_id);
    Bytes::from(format!("event: error\ndata: {body}\n\n"))
}

/// An object with an `error`.
pub(super) fn is_error_body(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
        .is_ok_and(|object| object.contains_key("error"))
}

pub(super) const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";
