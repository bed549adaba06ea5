//! Requests between dialects: decoded from the client's into the canonical model, encoded in the upstream's.

use crate::conversation::{ChatRequest, FieldNames, StateSealer};
use crate::dialect::chat;
use crate::dialect::codec::EncodeOptions;
use crate::dialect::name::{Dialect, Operation};
use crate::dialect::request::Request;
use crate::domain::api_error::ApiError;

/// Decodes a client's request. `sealer` opens reasoning that the client carried for a vendor. Fields without a place in the canonical
/// model are listed in `dropped`; fields that would change the answer are refused.
pub fn decode_request(request: &Request, sealer: &StateSealer) -> Result<ChatRequest, ApiError> {
    let client = request
        .dialect
        .client()
        .filter(|_| request.operation == Operation::Conversation)
        .ok_or_else(|| {
            ApiError::invalid("a request of this kind cannot be translated for another vendor")
        })?;
    let mut decoded = client.decode_request(request, sealer)?;
    decoded.order_turns();
    Ok(decoded)
}

/// Names of the fields of a client's dialect that a translation may have to drop.
pub fn field_names(client: Dialect) -> &'static FieldNames {
    client
        .client()
        .map_or(&chat::FIELD_NAMES, |client| client.field_names())
}

/// Encodes a request that fits the model as the body of an upstream request.
pub fn encode_request(
    upstream: Dialect,
    request: &ChatRequest,
    options: &EncodeOptions<'_>,
) -> String {
    upstream.upstream().encode_request(request, options)
}
