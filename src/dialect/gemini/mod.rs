//! Upstream side of Gemini's `generateContent`: request encoder, response decoder, usage. Pure
//! bytes, no IO.

mod decode_response;
mod encode_request;
mod usage;

pub(super) use crate::dialect::gemini::decode_response::GeminiDecoder;
pub(super) use encode_request::encode_request;
