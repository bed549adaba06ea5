//! OpenAI's Responses as its clients speak it, without anything that a vendor would have to keep between calls; towards OpenAI
//! itself and those who speak alike, everything passes.

mod decode_request;
mod echo;
mod encode_response;
mod event;
mod failure;
mod items;
mod output;
mod tee;
mod tools;

pub(super) use crate::dialect::responses::encode_response::ResponsesEncoder;
pub(super) use decode_request::read_request;
pub(super) use tee::{ResponsesTap, whole};

use crate::conversation::FieldNames;

/// What this dialect calls what may have to be left out.
pub(super) const WORDS: FieldNames = FieldNames {
    messages: "input",
    stop: "stop",
    reasoning: "reasoning",
    format: "text.format",
    parallel_tools: "parallel_tool_calls",
    user: "user",
};
