//! Anthropic's Messages, both sides: a client's requests and answers, and an upstream's.

mod decode_request;
mod decode_response;
mod decode_turns;
mod encode_request;
mod encode_response;
mod event;
mod family;
mod foreign;
mod schema;
mod shape;

pub(super) use crate::dialect::messages::decode_response::MessagesDecoder;
pub(super) use crate::dialect::messages::encode_response::MessagesEncoder;
pub(super) use decode_request::read_request;
pub(super) use encode_request::write_request;
pub(super) use event::{Message, MessagesEvent, MessagesEventKind, MessagesUsage};
pub use foreign::without_foreign_reasoning;
pub(super) use schema::{closed as closed_schema, object as object_schema};

use crate::conversation::FieldNames;

/// What this dialect calls what may have to be left out.
pub(super) const WORDS: FieldNames = FieldNames {
    messages: "messages",
    stop: "stop_sequences",
    reasoning: "thinking",
    format: "output_config.format",
    parallel_tools: "tool_choice.disable_parallel_tool_use",
    user: "metadata.user_id",
};
