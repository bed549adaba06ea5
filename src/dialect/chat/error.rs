//! The gateway's own errors in the shape of OpenAI's, for clients of chat and Responses.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;

#[derive(Serialize)]
struct ErrorBody<'p> {
    error: ErrorDetail<'p>,
}

#[derive(Serialize)]
struct ErrorDetail<'p> {
    message: &'p str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'p str>,
    code: &'static str,
}

pub(in crate::dialect) fn error_body(error: &ApiError) -> String {
    let code = error.code.as_str();
    to_json(&ErrorBody {
        error: ErrorDetail {
            message: error.message.as_str(),
            kind: code,
            param: error.param.as_deref(),
            code,
        },
    })
}

/// An error within a stream.
pub(super) fn error_event(error: &ApiError) -> Bytes {
    Bytes::from(format!("data: {}\n\n", error_body(error)))
}

/// A JSON object with the member `error`, from which OpenAI's clients take their message.
pub(in crate::dialect) fn is_error_body(body: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    read.is_ok_and(|object| {
        object
            .get("error")
            .is_some_and(serde_json::Value::is_object)
    })
}

/// A comment, which clients skip. A line of the next event: some SDKs make an event of a comment that stands alone.
pub(in crate::dialect) const PING: &[u8] = b": ping\n";
