//! The gateway's own error in a stream of Responses: two events, because no client reads both. OpenAI's SDKs raise on `error` (with an
//! object of that name in it), Codex reads only `response.failed`.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;

#[derive(Serialize)]
struct ErrorEvent<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    code: &'static str,
    message: &'p str,
    param: Option<&'p str>,
    error: ErrorObject<'p>,
}

#[derive(Serialize)]
struct ErrorObject<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    message: &'p str,
    param: Option<&'p str>,
}

#[derive(Serialize)]
struct FailedEvent<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    response: FailedResponse<'p>,
}

#[derive(Serialize)]
struct FailedResponse<'p> {
    id: &'p str,
    object: &'static str,
    status: &'static str,
    error: ErrorDetail<'p>,
    output: [(); 0],
    usage: Option<()>,
}

#[derive(Serialize)]
struct ErrorDetail<'p> {
    code: &'static str,
    message: &'p str,
}

/// Last events of a failed stream; `next` is the number that its next event would have had.
pub(super) fn error_events(problem: &ApiError, id: &str, next: u64) -> Bytes {
    let (code, message, param) = (
        problem.code.as_str(),
        problem.message.as_str(),
        problem.param.as_deref(),
    );
    let error = ErrorEvent {
        kind: "error",
        sequence_number: next,
        code,
        message,
        param,
        error: ErrorObject {
            kind: code,
            code,
            message,
            param,
        },
    };
    let response = FailedResponse {
        id,
        object: "response",
        status: "failed",
        error: ErrorDetail { code, message },
        output: [],
        usage: None,
    };
    let failed = FailedEvent {
        kind: "response.failed",
        sequence_number: next.saturating_add(1),
        response,
    };
    let (error, failed) = (to_json(&error), to_json(&failed));
    Bytes::from(format!(
        "event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n"
    ))
}

/// Id of a response made by the gateway.
pub(super) fn response_id(request_id: &str) -> String {
    format!("resp_{}", without_prefix(request_id))
}

/// A request's id without its prefix.
pub(super) fn without_prefix(request_id: &str) -> &str {
    request_id.strip_prefix("req_").unwrap_or(request_id)
}
