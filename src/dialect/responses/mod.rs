//! OpenAI's Responses, both sides, without anything that a vendor would have to store between calls. Upstreams of the dialect receive
//! everything of a client that speaks it too.

mod decode_request;
mod decode_response;
mod echo;
mod encode_request;
mod encode_response;
mod error;
mod event;
mod hosted_tools;
mod input_bound;
mod items;
mod output;
mod output_item;
mod request;
mod sealed_item;
mod stream;
mod tools;
mod unary;
mod usage;

use bytes::Bytes;

use crate::conversation::{ChatRequest, FieldNames, StateSealer};
use crate::dialect::chat;
use crate::dialect::client::ClientDialect;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseEncoder, ResponseMeta};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::request::{Request, RequestBody, RequestFields};
use crate::dialect::responses::decode_response::ResponsesDecoder;
use crate::dialect::responses::encode_response::ResponsesEncoder;
use crate::dialect::responses::stream::ResponsesTap;
use crate::dialect::tap::PassthroughTap;
use crate::dialect::upstream::UpstreamDialect;
use crate::domain::api_error::ApiError;

/// The dialect.
pub(super) struct Responses;

/// Names of the fields that a translation may have to drop.
const FIELD_NAMES: FieldNames = FieldNames {
    messages: "input",
    stop: "stop",
    reasoning: "reasoning",
    format: "text.format",
    parallel_tools: "parallel_tool_calls",
    user: "user",
};

impl ClientDialect for Responses {
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
        Box::new(ResponsesEncoder::new(request, meta))
    }

    fn tap(&self, _hide_usage_chunk: bool) -> Box<dyn PassthroughTap> {
        Box::new(ResponsesTap::default())
    }

    fn decode_unary(&self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        unary::decode_unary(body)
    }

    fn error_body(&self, error: &ApiError, _request_id: &str) -> String {
        chat::error::error_body(error)
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        chat::error::is_error_body(body)
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(chat::error::PING)
    }
}

impl UpstreamDialect for Responses {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(ResponsesDecoder::new(meta))
    }
}
