//! Ollama's own `/api/chat`, as an upstream.

mod read_answer;
mod write_request;

pub(super) use read_answer::OllamaReader;
pub(super) use write_request::write_request;
