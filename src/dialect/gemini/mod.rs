//! Gemini's `generateContent`, as an upstream.

mod read_answer;
mod usage;
mod write_request;

pub(super) use read_answer::GeminiReader;
pub(super) use write_request::write_request;
