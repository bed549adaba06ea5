//! Gemini's `generateContent`, as an upstream.

mod read_answer;
mod usage;
mod write_request;

pub(super) use read_answer::GeminiDecoder;
pub(super) use encode_request::write_request;
