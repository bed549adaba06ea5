//! Decoding and encoding of translated calls: the traits between dialects and the canonical model, and what both sides are told
//! about a call. A decoder must survive any bytes; an encoder must never end a response before the upstream did.

use bytes::Bytes;

use crate::conversation::{
    Capabilities, ChatResponse, OutputEvent, StateSealer, StopReason, ToolNames,
};
use crate::dialect::decoded_response::IncompleteResponse;
use crate::dialect::error::UpstreamError;
use crate::dialect::wire::sse::Fields;
use crate::domain::api_error::ApiError;
use crate::domain::usage::{ReportedUsage, Usage};

/// Settings for encoding a request for one deployment.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions<'a> {
    /// name of the model upstream
    pub model: &'a str,
    pub capabilities: &'a Capabilities,
    /// names of the tools upstream
    pub names: &'a ToolNames,
    /// the client's or the gateway's cap
    pub output_cap: Option<u64>,
    /// maximum output of the model, for dialects that require a cap
    pub output_max: u64,
    /// field that caps the output of a chat call
    pub output_cap_field: &'static str,
    /// a chat stream reports its usage only on request
    pub stream_usage_opt_in: bool,
}

/// Head of a translated response.
#[derive(Clone, Debug)]
pub struct ResponseMeta {
    /// id of the gateway's request; ids of responses and calls derive from it and never repeat
    pub request_id: String,
    /// name of the model upstream
    pub model: String,
    pub created_s: u64,
    /// estimate of the input, for dialects that state it before the upstream does
    pub input_estimate: u64,
    /// seals reasoning that only the vendor can read
    pub sealer: StateSealer,
}

/// Decoder of one upstream response, stream or unary.
pub(super) trait ResponseDecoder {
    /// Decodes one event of a stream and appends its content to `events`. Frames of other kinds were turned into server-sent events.
    fn event(
        &mut self,
        event: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError>;

    /// Decodes a unary response and appends its content to `events`; the last one is the stop.
    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse>;

    /// Usage so far: the last value of each field.
    fn report(&self) -> ReportedUsage;

    /// The reported output is final and not to be replaced by an estimate.
    fn output_is_final(&self) -> bool;

    /// The response is complete if the body ends here, for dialects whose streams have no terminal event.
    fn is_complete(&self) -> bool {
        false
    }
}

/// State of a stream after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    More,
    /// terminal event of a complete response
    End,
    /// terminal event of an incomplete response
    Truncated,
}

/// Encoder of one response in a client's dialect.
pub(super) trait ResponseEncoder {
    /// Appends one event to `out`. Stops are withheld until `end`.
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>);

    /// Appends the last events of a stream: closes open blocks, then stop and usage.
    fn end(&mut self, stop: &StopReason, usage: &Usage, out: &mut Vec<u8>);

    /// Events that end a stream with an error.
    fn error_events(&mut self, error: &ApiError, request_id: &str) -> Bytes;

    /// Encodes a unary response.
    fn encode_unary(&self, response: &ChatResponse, usage: &Usage) -> String;
}
