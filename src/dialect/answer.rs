//! What the gateway itself says, in the client's dialect: errors (as bodies and in-band), pings, the cost comment.
//! Must never carry more of a problem than its words.

use bytes::Bytes;
use serde::Serialize;

use crate::dialect::{Dialect, ErrorFormat};
use crate::domain::api_error::ApiError;

#[derive(Serialize)]
struct ChatError<'p> {
    error: ChatProblem<'p>,
}

#[derive(Serialize)]
struct ChatProblem<'p> {
    message: &'p str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'p str>,
    code: &'static str,
}

#[derive(Serialize)]
struct MessagesError<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: MessagesProblem<'p>,
    request_id: &'p str,
}

#[derive(Serialize)]
struct MessagesProblem<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'p str,
}

/// A refusal as the body of an answer.
pub fn error_body(dialect: Dialect, problem: &ApiError, request_id: &str) -> String {
    let message = problem.message.as_str();
    match dialect.error_format() {
        ErrorFormat::OpenAi => {
            let word = problem.code.as_str();
            written(&ChatError {
                error: ChatProblem {
                    message,
                    kind: word,
                    param: problem.param.as_deref(),
                    code: word,
                },
            })
        }
        ErrorFormat::Anthropic => {
            let error = MessagesProblem {
                kind: problem.code.anthropic_type(),
                message,
            };
            written(&MessagesError {
                kind: "error",
                error,
                request_id,
            })
        }
    }
}

/// A failure within a stream that has begun.
pub fn error_event(dialect: Dialect, problem: &ApiError, request_id: &str) -> Bytes {
    let body = error_body(dialect, problem, request_id);
    Bytes::from(match dialect.error_format() {
        ErrorFormat::OpenAi => format!("data: {body}\n\n"),
        ErrorFormat::Anthropic => format!("event: error\ndata: {body}\n\n"),
    })
}

/// Keeps a silent stream alive.
pub fn ping(dialect: Dialect) -> Bytes {
    Bytes::from_static(match dialect.error_format() {
        ErrorFormat::OpenAi => b": ping\n\n",
        ErrorFormat::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
    })
}

/// What the stream cost, as a comment that every client passes over. `cost` is an amount of dollars.
pub fn cost_comment(cost: &str) -> Bytes {
    Bytes::from(format!(": x-gatekeeper-cost-usd {cost}\n\n"))
}

pub(super) fn written(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("texts and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Fields, parse};
    use crate::domain::api_error::ErrorCode;

    fn problem() -> ApiError {
        ApiError::new(ErrorCode::BudgetExceeded, "team \"eng\" has spent\nits $10")
            .with_param("model")
    }

    #[test]
    fn errors_have_the_shape_of_their_dialect() {
        assert_eq!(
            error_body(Dialect::Chat, &problem(), "req_1"),
            r#"{"error":{"message":"team \"eng\" has spent\nits $10","type":"budget_exceeded","param":"model","code":"budget_exceeded"}}"#
        );
        assert_eq!(
            error_body(Dialect::Chat, &ApiError::invalid("m"), "req_1"),
            r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#
        );
        assert_eq!(
            error_body(Dialect::Messages, &problem(), "req_1"),
            r#"{"type":"error","error":{"type":"billing_error","message":"team \"eng\" has spent\nits $10"},"request_id":"req_1"}"#
        );
    }

    #[test]
    fn events_of_our_own_are_whole_events() {
        for dialect in [Dialect::Chat, Dialect::Messages] {
            let event = error_event(dialect, &problem(), "req_1");
            let Fields {
                event: name, data, ..
            } = parse(&event);
            assert_eq!(
                String::from_utf8_lossy(&data),
                error_body(dialect, &problem(), "req_1")
            );
            assert_eq!(
                name,
                (dialect == Dialect::Messages).then_some(&b"error"[..])
            );
            assert!(event.ends_with(b"\n\n"));
        }
        assert_eq!(ping(Dialect::Chat), ": ping\n\n");
        assert_eq!(
            ping(Dialect::Messages),
            "event: ping\ndata: {\"type\": \"ping\"}\n\n"
        );
        assert_eq!(cost_comment("0.0012"), ": x-gatekeeper-cost-usd 0.0012\n\n");
    }
}
