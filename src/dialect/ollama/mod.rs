//! Upstream side of Ollama's `/api/chat`: request encoder, response decoder, usage. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod usage;

use crate::conversation::ChatRequest;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseMeta};
use crate::dialect::ollama::decode_response::OllamaDecoder;
use crate::dialect::upstream::UpstreamDialect;

/// The dialect.
pub(super) struct Ollama;

impl UpstreamDialect for Ollama {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(OllamaDecoder::new(meta))
    }
}
