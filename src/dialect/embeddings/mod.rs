//! Embeddings: the shallow read of a request, with a count of its prompts, and of a response. Requests and responses have the shape of
//! chat's, but those of vendors with a format of their own (`native`). An input that is neither text nor tokens (an image's address) is refused: nothing would bound it.

mod native;

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::chat;
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::request::{OutputCap, RequestBody, RequestFields, invalid_field};
use crate::domain::api_error::ApiError;
use crate::domain::input_bound::InputBound;
use crate::domain::usage::{ReportedUsage, Side};

pub use native::{EmbeddedBatch, EmbeddingFormat, EmbeddingRequest};

/// An embeddings response has no output tokens, so its cap is zero.
const NO_OUTPUT: OutputCap = OutputCap {
    member: "",
    tokens: 0,
};

pub(super) fn read_request(body: &RequestBody<'_>) -> Result<RequestFields, ApiError> {
    let prompts = count_prompts(body)?;
    Ok(RequestFields {
        streamed: false,
        usage_asked: true,
        output_cap: Some(NO_OUTPUT),
        output_cap_fields: &[],
        thinking_budget: None,
        choices: 1,
        service_tier: body.service_tier()?,
        user: body.text("user"),
        audio_output: false,
        input: InputBound {
            text_bytes: body.text.len() as u64,
            prompts,
            ..InputBound::default()
        },
    })
}

/// Reads a response: vectors are no tokens, so its usage is complete without an output count.
pub(super) fn decode_unary(body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    match chat::decode_unary(body) {
        Ok(response) => Ok(DecodedResponse {
            report: input_only(response.report),
            ..response
        }),
        Err(IncompleteResponse::Fault { fault, report }) => {
            Err(IncompleteResponse::fault(fault, input_only(*report)))
        }
        Err(incomplete) => Err(incomplete),
    }
}

fn input_only(report: ReportedUsage) -> ReportedUsage {
    match report {
        ReportedUsage::Partial {
            usage,
            missing: Side::Output,
        } => ReportedUsage::Complete(usage),
        report => report,
    }
}

fn count_prompts(body: &RequestBody<'_>) -> Result<u64, ApiError> {
    let Some(input) = body.raw("input") else {
        return Err(invalid_field(
            "input",
            "is missing; send a text, or an array of texts",
        ));
    };
    prompts(input).ok_or_else(|| {
        invalid_field("input", "is neither a text, nor tokens, nor an array of either; send a text, or an array of texts")
    })
}

/// A text or an array of tokens is one prompt; an array of texts or of token arrays has one per element.
fn prompts(input: &str) -> Option<u64> {
    match input.as_bytes().first()? {
        b'"' => Some(1),
        b'[' => serde_json::Deserializer::from_str(input)
            .deserialize_seq(Prompts)
            .ok(),
        _ => None,
    }
}

struct Prompts;

impl<'de> Visitor<'de> for Prompts {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts or tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let (mut prompts, mut tokens) = (0, 0);
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            match item.get().as_bytes() {
                [b'"', ..] => prompts += 1,
                [b'[', inner @ .., b']'] if are_tokens(inner) => prompts += 1,
                token if are_tokens(token) => tokens += 1,
                _ => return Err(A::Error::custom("neither a text nor tokens")),
            }
        }
        match (prompts, tokens) {
            (0, 1..) => Ok(1),
            (1.., 0) => Ok(prompts),
            _ => Err(A::Error::custom("nothing, or a mixture")),
        }
    }
}

/// Whole numbers and separators.
fn are_tokens(json: &[u8]) -> bool {
    !json.is_empty()
        && json
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b',' || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_counted_and_other_inputs_are_refused() {
        for (input, expected) in [
            (r#""hello""#, Some(1)),
            (r#""""#, Some(1)),
            (r#"["a", "b" ,"\ud83d"]"#, Some(3)),
            ("[1, 2,3]", Some(1)),
            ("[[1, 2],[3]]", Some(2)),
            ("[]", None),
            ("[[]]", None),
            (r#"["a",1]"#, None),
            (r#"[[1],"a",[2]]"#, Some(3)),
            ("[1.5]", None),
            ("[-1]", None),
            (r#"[["a"]]"#, None),
            ("[[[1]]]", None),
            (
                r#"[{"type":"image_url","image_url":{"url":"https://x.y"}}]"#,
                None,
            ),
            (r#"{"text":"a"}"#, None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(prompts(input), expected, "{input}");
        }
    }
}
