//! Anthropic's Messages, both sides.

mod decode_request;
mod decode_response;
mod decode_turns;
mod encode_request;
mod encode_response;
mod error;
mod event;
mod foreign;
pub(super) mod input_bound;
mod request;
mod request_body;
mod response_body;
mod same_model;
pub(super) mod schema;
mod shape;
mod stream;
mod unary;
mod usage;

pub use foreign::without_foreign_reasoning;
pub(super) use request::read_token_count;

use bytes::Bytes;

use crate::conversation::{ChatRequest, FieldNames, StateSealer};
use crate::dialect::client::ClientDialect;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseEncoder, ResponseMeta};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::error::{KindField, UpstreamError, read_error_body};
use crate::dialect::messages::decode_response::MessagesDecoder;
use crate::dialect::messages::encode_response::MessagesEncoder;
use crate::dialect::messages::stream::MessagesTap;
use crate::dialect::request::{Request, RequestBody, RequestFields};
use crate::dialect::tap::PassthroughTap;
use crate::dialect::upstream::UpstreamDialect;
use crate::domain::api_error::ApiError;

/// The dialect.
pub(super) struct Messages;

/// Names of the fields that a translation may have to drop.
const FIELD_NAMES: FieldNames = FieldNames {
    messages: "messages",
    stop: "stop_sequences",
    reasoning: "thinking",
    format: "output_config.format",
    parallel_tools: "tool_choice.disable_parallel_tool_use",
    user: "metadata.user_id",
};

impl ClientDialect for Messages {
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

    fn encoder(&self, _request: &Request, meta: ResponseMeta) -> Box<dyn ResponseEncoder> {
        Box::new(MessagesEncoder::new(meta))
    }

    fn tap(&self, _hide_usage_chunk: bool) -> Box<dyn PassthroughTap> {
        Box::new(MessagesTap::default())
    }

    fn decode_unary(&self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        unary::decode_unary(body)
    }

    fn error_body(&self, error: &ApiError, request_id: &str) -> String {
        error::error_body(error, request_id)
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        error::is_error_body(body)
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(error::PING)
    }
}

impl UpstreamDialect for Messages {
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String {
        encode_request::encode_request(request, options)
    }

    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder> {
        Box::new(MessagesDecoder::new(meta))
    }

    fn error(&self, body: &[u8]) -> UpstreamError {
        read_error_body(body, KindField::Type)
    }
}
