//! Gemini's `generateContent`, as an upstream.

mod decode_response;
mod encode_request;
mod usage;

pub(super) use crate::dialect::gemini::decode_response::GeminiDecoder;
pub(super) use encode_request::write_request;
