//! Ollama's own `/api/chat`, as an upstream.

mod read_answer;
mod write_request;

pub(super) use read_answer::OllamaDecoder;
pub(super) use encode_request::write_request;
