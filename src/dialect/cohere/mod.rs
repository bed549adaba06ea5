//! Upstream side of Cohere's `/v2/chat`: request encoder, response decoder, usage. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod usage;

pub(super) use crate::dialect::cohere::decode_response::CohereDecoder;
pub(super) use encode_request::encode_request;
