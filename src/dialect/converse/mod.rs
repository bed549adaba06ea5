//! Upstream side of Bedrock's Converse: request encoder, response decoder, usage. Converse has one
//! format for many model families; fields specific to a family go to `model_fields`. Pure bytes, no
//! IO.

mod decode_response;
mod encode_request;
mod media;
mod model_family;
mod model_fields;
mod response_body;
mod tools;
mod usage;

pub use model_family::{ModelFamily, base_model_id};

use crate::conversation::ChatRequest;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseMeta};
use crate::dialect::converse::decode_response::ConverseDecoder;
use crate::dialect::upstream::UpstreamDialect;

/// The dialect.
pub(super) struct Converse;

impl UpstreamDialect for Converse {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(ConverseDecoder::new(meta))
    }
}
