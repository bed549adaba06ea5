//! What a whole answer used and said. Takes the body of an HTTP 200; must never take a cut-off body, or an error that
//! came with a good status, for an answer.

use serde::de::DeserializeOwned;

use crate::dialect::chat::{Chunk, choice_failed};
use crate::dialect::fault::{FaultReader, UpstreamError};
use crate::dialect::messages::Message;
use crate::dialect::output::{DeliveredText, TextCounter};
use crate::dialect::wire::json::{lenient, read};
use crate::dialect::{Dialect, ErrorFormat, responses};
use crate::domain::usage::{ReportedUsage, Side};

/// What was read of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedResponse {
    pub report: ReportedUsage,
    pub delivered: DeliveredText,
}

/// Why a body is not an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncompleteResponse {
    #[error("the upstream's answer ends too early")]
    Truncated,
    #[error("the upstream's answer is not JSON")]
    NotJson,
    #[error("the upstream's answer is not a JSON object")]
    NotAnObject,
    /// what it says of its usage is billed all the same
    #[error("the upstream answered with an error: {}", fault.message)]
    Fault {
        fault: UpstreamError,
        report: Box<ReportedUsage>,
    },
}

impl IncompleteResponse {
    pub(super) fn fault(fault: UpstreamError, report: ReportedUsage) -> IncompleteResponse {
        IncompleteResponse::Fault {
            fault,
            report: Box::new(report),
        }
    }
}

/// Reads the body of an upstream's good answer.
pub fn decode_unary(dialect: Dialect, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    object(body)?;
    match dialect.error_format() {
        _ if dialect == Dialect::Responses => {
            let answer = responses::whole(body).map_err(flawed)?;
            let fault = answer.failed && !answer.error.seen;
            if fault {
                let fault =
                    UpstreamError::new("the upstream says that its answer failed, and not why");
                return Err(IncompleteResponse::fault(fault, answer.usage.report()));
            }
            unary(
                dialect,
                answer.error,
                answer.usage.report(),
                &answer.items.output,
            )
        }
        // vectors come with the same usage object, less its output
        ErrorFormat::OpenAi => {
            let answer = read(&Chunk::default(), body).map_err(flawed)?;
            if answer.choice_failed && !answer.error.seen {
                return Err(IncompleteResponse::fault(
                    choice_failed(),
                    answer.usage.report(),
                ));
            }
            unary(dialect, answer.error, answer.usage.report(), &answer.output)
        }
        ErrorFormat::Anthropic => {
            let answer = read(&Message::new(), body).map_err(flawed)?;
            unary(
                dialect,
                answer.error,
                answer.usage.report(),
                &answer.block.output,
            )
        }
    }
}

/// The body of an upstream's good answer as a value of a type.
pub(super) fn whole_of<T: DeserializeOwned>(body: &[u8]) -> Result<T, IncompleteResponse> {
    object(body)?;
    lenient(body).map_err(flawed)
}

/// Only an object can be an answer.
fn object(body: &[u8]) -> Result<(), IncompleteResponse> {
    match body.trim_ascii().first() {
        None => Err(IncompleteResponse::Truncated),
        Some(b'{') => Ok(()),
        Some(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
            Err(IncompleteResponse::NotAnObject)
        }
        Some(_) => Err(IncompleteResponse::NotJson),
    }
}

fn flawed(flaw: serde_json::Error) -> IncompleteResponse {
    if flaw.is_eof() {
        IncompleteResponse::Truncated
    } else {
        IncompleteResponse::NotJson
    }
}

fn unary(
    dialect: Dialect,
    error: FaultReader,
    report: ReportedUsage,
    output: &TextCounter,
) -> Result<DecodedResponse, IncompleteResponse> {
    let report = match report {
        // vectors are no tokens
        ReportedUsage::Partial {
            usage,
            missing: Side::Output,
        } if dialect == Dialect::Embeddings => ReportedUsage::Complete(usage),
        report => report,
    };
    if error.seen {
        return Err(IncompleteResponse::fault(
            error.certain_fault(dialect),
            report,
        ));
    }
    Ok(DecodedResponse {
        report,
        delivered: output.delivered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::samples;
    use crate::domain::usage::Usage;

    const CHAT: &str = r#"{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello",
        "refusal":null,"annotations":[],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},
        "logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":7,"total_tokens":33,
        "prompt_tokens_details":{"cached_tokens":21}},"service_tier":"flex"}
    "#;

    const MESSAGES: &str = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"thinking","thinking":"hm","signature":"s"},
        {"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}},
        {"type":"web_search_tool_result","tool_use_id":"t","content":[{"type":"web_search_result","title":"long title"}]},
        {"type":"text","text":"!"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_read_input_tokens":21,"output_tokens":7}}"#;

    #[test]
    fn whole_answers_are_read() {
        let chat = DecodedResponse {
            report: ReportedUsage::Complete(Usage {
                uncached_in: 5,
                cache_read: 21,
                out_total: 7,
                service_tier: Some("flex".into()),
                ..Usage::default()
            }),
            delivered: DeliveredText {
                text_bytes: 8,
                cjk_chars: 0,
            },
        };
        assert_eq!(decode_unary(Dialect::Chat, CHAT.as_bytes()), Ok(chat));
        let messages = DecodedResponse {
            report: ReportedUsage::Complete(Usage {
                uncached_in: 5,
                cache_read: 21,
                out_total: 7,
                ..Usage::default()
            }),
            delivered: DeliveredText {
                text_bytes: 2 + 5 + 1 + 7 + 1,
                cjk_chars: 0,
            },
        };
        assert_eq!(
            decode_unary(Dialect::Messages, MESSAGES.as_bytes()),
            Ok(messages)
        );
    }

    #[test]
    fn what_is_not_a_whole_answer_is_none() {
        for (body, expected) in [
            ("", IncompleteResponse::Truncated),
            (
                r#"{"choices":[{"message":{"content":"He"#,
                IncompleteResponse::Truncated,
            ),
            ("<html>", IncompleteResponse::NotJson),
            (r#"{"choices":[]} trailing"#, IncompleteResponse::NotJson),
            (r#"{"choices":,}"#, IncompleteResponse::NotJson),
            ("[{}]", IncompleteResponse::NotAnObject),
            ("null", IncompleteResponse::NotAnObject),
        ] {
            for dialect in [Dialect::Chat, Dialect::Messages] {
                assert_eq!(
                    decode_unary(dialect, body.as_bytes()),
                    Err(expected.clone()),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn an_error_with_a_good_status_is_a_fault() {
        let fault = |kind: &str, status| UpstreamError {
            status,
            kind: kind.into(),
            ..UpstreamError::new("m")
        };
        for (dialect, body, expected) in [
            (
                Dialect::Chat,
                r#"{"error":{"message":"m","type":"t","code":500}}"#,
                fault("t", Some(500)),
            ),
            (
                Dialect::Messages,
                r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#,
                fault("api_error", Some(500)),
            ),
        ] {
            assert_eq!(
                decode_unary(dialect, body.as_bytes()),
                Err(IncompleteResponse::fault(expected, ReportedUsage::Missing))
            );
        }
        assert!(decode_unary(Dialect::Chat, br#"{"choices":[],"error":null}"#).is_ok());
    }

    #[test]
    fn an_answer_without_usage_is_missing_it_and_null_counts_are_lies() {
        let report = |dialect, body: &str| {
            decode_unary(dialect, body.as_bytes())
                .expect("an answer")
                .report
        };
        assert_eq!(report(Dialect::Chat, "{}"), ReportedUsage::Missing);
        assert_eq!(
            report(Dialect::Messages, r#"{"usage":null}"#),
            ReportedUsage::Missing
        );
        assert_eq!(
            report(
                Dialect::Messages,
                r#"{"usage":{"input_tokens":null,"output_tokens":1}}"#
            ),
            ReportedUsage::Invalid
        );
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_prefix_is_an_answer() {
        for (dialect, sample) in [
            (Dialect::Chat, CHAT.trim_end()),
            (Dialect::Messages, MESSAGES),
        ] {
            for end in 0..sample.len() {
                assert_eq!(
                    decode_unary(dialect, &sample.as_bytes()[..end]),
                    Err(IncompleteResponse::Truncated),
                    "{end}"
                );
            }
            for damaged in samples::damaged(sample.as_bytes(), 1_000) {
                let _ = decode_unary(dialect, &damaged);
            }
        }
    }
}
