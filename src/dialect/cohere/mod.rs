//! Cohere's `/v2/chat`, as an upstream.

mod decode_response;
mod encode_request;
mod usage;

pub(super) use crate::dialect::cohere::decode_response::CohereDecoder;
pub(super) use encode_request::write_request;
