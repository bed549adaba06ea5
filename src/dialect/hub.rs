//! From a client's request to another dialect's: read into the hub's neutral ask, written as the upstream reads it.

use crate::conversation::{Capabilities, ChatRequest, FieldNames, StateSealer, ToolNames};
use crate::dialect::{
    Dialect, Request, chat, cohere, converse, gemini, messages, ollama, responses,
};
use crate::domain::api_error::ApiError;

/// How a request is to be written for one deployment.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions<'a> {
    /// the model's name upstream
    pub model: &'a str,
    pub capabilities: &'a Capabilities,
    /// the names that the tools have upstream
    pub names: &'a ToolNames,
    /// the most output, where anybody named or chose it
    pub output_cap: Option<u64>,
    /// what the model can write at most, for dialects that insist on a cap
    pub output_max: u64,
    /// the member that caps the output of a chat call
    pub output_cap_member: &'static str,
    /// whether a chat stream has to be asked for its usage
    pub stream_usage_opt_in: bool,
}

/// Reads what a client asks. `envelope` opens what a client carried for a vendor. What the hub has no place for is named in
/// the ask's `dropped`; what cannot be had in another dialect at all is refused.
pub fn decode_request(request: &Request, envelope: &StateSealer) -> Result<ChatRequest, ApiError> {
    let mut ask = match request.dialect {
        Dialect::Chat => chat::decode_request(request, envelope)?,
        Dialect::Responses => responses::decode_request(request, envelope)?,
        Dialect::Messages => messages::decode_request(request, envelope)?,
        _ => {
            return Err(ApiError::invalid(
                "a request of this kind cannot be translated for another vendor",
            ));
        }
    };
    ask.order_turns();
    Ok(ask)
}

/// What a client's dialect calls things.
pub const fn words(client: Dialect) -> &'static FieldNames {
    match client {
        Dialect::Responses => &responses::WORDS,
        Dialect::Messages => &messages::WORDS,
        _ => &chat::WORDS,
    }
}

/// Writes an ask that was fitted as the body of an upstream's request.
pub fn encode_request(
    upstream: Dialect,
    ask: &ChatRequest,
    sending: &EncodeOptions<'_>,
) -> Option<String> {
    Some(match upstream {
        Dialect::Chat => chat::encode_request(ask, sending),
        Dialect::Gemini => gemini::encode_request(ask, sending),
        Dialect::Cohere => cohere::encode_request(ask, sending),
        Dialect::Ollama => ollama::encode_request(ask, sending),
        Dialect::Messages => messages::encode_request(ask, sending),
        Dialect::Converse => converse::encode_request(ask, sending),
        _ => return None,
    })
}
