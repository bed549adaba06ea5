//! Ollama's own `/api/chat`, as an upstream.

mod decode_response;
mod encode_request;

pub(super) use crate::dialect::ollama::decode_response::OllamaDecoder;
pub(super) use encode_request::write_request;
