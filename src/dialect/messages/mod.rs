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

pub(super) use event::{EventKind, Message, MessagesEvent, MessagesUsage};
pub use foreign::without_foreign_thoughts;
pub(super) use read_answer::MessagesReader;
pub(super) use read_request::read_request;
pub(super) use schema::{closed as closed_schema, object as object_schema};
pub(super) use write_answer::MessagesWriter;
pub(super) use write_request::write_request;

use crate::conversation::Words;

/// What this dialect calls what may have to be left out.
pub(super) const WORDS: Words = Words {
    messages: "messages",
    stop: "stop_sequences",
    reasoning: "thinking",
    format: "output_config.format",
    parallel_tools: "tool_choice.disable_parallel_tool_use",
    user: "metadata.user_id",
};
