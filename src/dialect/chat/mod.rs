//! OpenAI's Chat Completions, both sides: a client's requests and answers, and an upstream's.

mod chunk;
mod decode_request;
mod decode_response;
mod encode_request;
mod encode_response;

pub(super) use crate::dialect::chat::decode_response::ChatDecoder;
pub(super) use crate::dialect::chat::encode_response::ChatEncoder;
pub(super) use chunk::{Chunk, StreamedUsage, choice_failed};
pub(super) use decode_request::read_request;
pub(super) use encode_request::write_request;

use crate::conversation::FieldNames;

/// What this dialect calls what may have to be left out.
pub(super) const WORDS: FieldNames = FieldNames {
    messages: "messages",
    stop: "stop",
    reasoning: "reasoning_effort",
    format: "response_format",
    parallel_tools: "parallel_tool_calls",
    user: "user",
};
