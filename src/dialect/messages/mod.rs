//! Anthropic's Messages, both sides: a client's requests and answers, and an upstream's.

mod event;
mod family;
mod foreign;
mod read_answer;
mod read_request;
mod read_turns;
mod schema;
mod shape;
mod write_answer;
mod write_request;

pub(super) use event::{MessagesEventKind, Message, MessagesEvent, MessagesUsage};
pub use foreign::without_foreign_reasoning;
pub(super) use read_answer::MessagesDecoder;
pub(super) use decode_request::read_request;
pub(super) use schema::{closed as closed_schema, object as object_schema};
pub(super) use write_answer::MessagesEncoder;
pub(super) use encode_request::write_request;

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
