//! Upstream side of a dialect: the encoder of requests, the decoder of responses, the meaning of errors. Implementations are
//! stateless.

use crate::conversation::ChatRequest;
use crate::dialect::codec::{EncodeOptions, ResponseDecoder, ResponseMeta};
use crate::dialect::error::{self, KindField, UpstreamError};

/// A dialect that requests are translated into.
pub(super) trait UpstreamDialect: Sync {
    /// Encodes the body of an upstream request.
    fn encode_request(&self, request: &ChatRequest, options: &EncodeOptions<'_>) -> String;

    /// Decoder of one response.
    fn decoder(&self, meta: &ResponseMeta) -> Box<dyn ResponseDecoder>;

    /// Reads the body of an error response.
    fn error(&self, body: &[u8]) -> UpstreamError {
        error::read_error_body(body, KindField::Code)
    }

    /// The status that a rejection stands for, where the vendor's number is its own.
    fn effective_status(&self, status: u16, _error: &UpstreamError) -> u16 {
        error::effective_status(status)
    }
}
