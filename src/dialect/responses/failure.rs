//! How a stream of Responses fails: two events, because no client reads both. OpenAI's SDKs raise on `error` (with an object of
//! that name in it), Codex hears only `response.failed`.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::answer::written;
use crate::domain::api_error::ApiError;

#[derive(Serialize)]
struct ErrorEvent<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    code: &'static str,
    message: &'p str,
    param: Option<&'p str>,
    error: Inner<'p>,
}

#[derive(Serialize)]
struct Inner<'p> {
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
    response: Failed<'p>,
}

#[derive(Serialize)]
struct Failed<'p> {
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

/// The last events of a stream that failed; `next` is the number that its next event would have had.
pub(in crate::dialect) fn events(problem: &ApiError, id: &str, next: u64) -> Bytes {
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
        error: Inner {
            kind: code,
            code,
            message,
            param,
        },
    };
    let response = Failed {
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
    let (error, failed) = (written(&error), written(&failed));
    Bytes::from(format!(
        "event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n"
    ))
}

/// The id of an answer of ours.
pub(in crate::dialect) fn response_id(request_id: &str) -> String {
    format!("resp_{}", bare(request_id))
}

/// A request's id without its kind.
pub(super) fn bare(request_id: &str) -> &str {
    request_id.strip_prefix("req_").unwrap_or(request_id)
}
