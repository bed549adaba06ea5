//! Cohere's `/v2/chat`, as an upstream.

mod read_answer;
mod usage;
mod write_request;

pub(super) use read_answer::CohereDecoder;
pub(super) use encode_request::write_request;
