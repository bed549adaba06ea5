//! Upstream side of Ollama's `/api/chat`: request encoder, response decoder, usage. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod usage;

pub(super) use crate::dialect::ollama::decode_response::OllamaDecoder;
pub(super) use encode_request::encode_request;
