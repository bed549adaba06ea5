//! OpenAI's Chat Completions, both sides.

mod chunk;
mod decode_request;
mod decode_response;
mod encode_request;
mod encode_response;
pub(super) mod error;
pub(super) mod input_bound;
mod request;
mod request_body;
mod returned_reasoning;
mod stream;
mod unary;
mod usage;

pub use returned_reasoning::with_returned_reasoning;
pub(super) use unary::decode_unary;

use bytes::Bytes;

use crate::conversation::{ChatRequest, FieldNames, StateSealer};
use crate::dialect::chat::decode_response::ChatDecoder;
use crate::dialect::chat::encode_response::ChatEncoder;
use crate::dialect::chat::stream::ChatTap;
use crate::dialect::client::ClientDialect;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseEncoder, ResponseMeta};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::request::{Request, RequestBody, RequestFields};
use crate::dialect::tap::PassthroughTap;
use crate::dialect::upstream::UpstreamDialect;
use crate::domain::api_error::ApiError;

/// The dialect.
pub(super) struct Chat;

/// Names of the fields that a translation may have to drop.
pub(super) const FIELD_NAMES: FieldNames = FieldNames {
    messages: "messages",
    stop: "stop",
    reasoning: "reasoning_effort",
    format: "response_format",
    parallel_tools: "parallel_tool_calls",
    user: "user",
};

impl ClientDialect for Chat {
    fn read_request(&self, body: &RequestBody<'_>) -> Result<RequestFields, ApiError> {
        request::read_request(body)
    }

    fn decode_request(
        &self,
        request: &Request,
        sealer: &StateSealer,
    ) -> Result<ChatRequest, ApiError> {
        decode_request::decode_request(request, sealer)
    }

    fn field_names(&self) -> &'static FieldNames {
        &FIELD_NAMES
    }

    fn encoder(&self, request: &Request, meta: ResponseMeta) -> Box<dyn ResponseEncoder> {
        Box::new(ChatEncoder::new(request, meta))
    }

    fn tap(&self, hide_usage_chunk: bool) -> Box<dyn PassthroughTap> {
        Box::new(ChatTap::new(hide_usage_chunk))
    }

    fn decode_unary(&self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        unary::decode_unary(body)
    }

    fn error_body(&self, error: &ApiError, _request_id: &str) -> String {
        error::error_body(error)
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        error::is_error_body(body)
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(error::PING)
    }
}

impl UpstreamDialect for Chat {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(ChatDecoder::new(meta))
    }
}
