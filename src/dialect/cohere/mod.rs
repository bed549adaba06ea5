//! Upstream side of Cohere's `/v2/chat`: request encoder, response decoder, usage. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod error;
mod usage;

use crate::conversation::ChatRequest;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseMeta};
use crate::dialect::cohere::decode_response::CohereDecoder;
use crate::dialect::error::UpstreamError;
use crate::dialect::upstream::UpstreamDialect;

/// The dialect.
pub(super) struct Cohere;

impl UpstreamDialect for Cohere {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(CohereDecoder::new(meta))
    }

    fn effective_status(&self, status: u16, _error: &UpstreamError) -> u16 {
        error::effective_status(status)
    }
}
