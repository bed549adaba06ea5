//! Client side of a dialect: the shallow read of a request, the decoder and encoder of a translation, the pass-through of
//! responses, and the gateway's own errors and pings. Implementations are stateless.

use bytes::Bytes;

use crate::conversation::{ChatRequest, FieldNames, StateSealer};
use crate::dialect::codec::{ResponseEncoder, ResponseMeta};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::request::{Request, RequestBody, RequestFields};
use crate::dialect::tap::PassthroughTap;
use crate::domain::api_error::ApiError;

/// A dialect that clients speak.
pub(super) trait ClientDialect: Sync {
    /// Reads the fields that policy, routing and the ceiling need; `model` was read before.
    fn read_request(&self, body: &RequestBody<'_>) -> Result<RequestFields, ApiError>;

    /// Decodes a request for translation. `sealer` opens reasoning that the client carried for a vendor.
    fn decode_request(
        &self,
        request: &Request,
        sealer: &StateSealer,
    ) -> Result<ChatRequest, ApiError>;

    /// Names of the fields that a translation may have to drop.
    fn field_names(&self) -> &'static FieldNames;

    /// Encoder of one translated response.
    fn encoder(&self, request: &Request, meta: ResponseMeta) -> Box<dyn ResponseEncoder>;

    /// Tap on one stream that is passed through. `hide_usage_chunk`: the client did not ask for the usage chunk that the gateway
    /// asked for.
    fn tap(&self, hide_usage_chunk: bool) -> Box<dyn PassthroughTap>;

    /// Reads a unary response that is passed through.
    fn decode_unary(&self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse>;

    /// The gateway's own error as a response body.
    fn error_body(&self, error: &ApiError, request_id: &str) -> String;

    /// An upstream's error body has the shape that clients of this dialect expect.
    fn is_error_body(&self, body: &[u8]) -> bool;

    /// Keeps an idle stream alive.
    fn ping(&self) -> Bytes;
}

#[cfg(test)]
mod tests;
