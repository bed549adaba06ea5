//! Unary responses of the Messages dialect that are passed through.

use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse, read_object};
use crate::dialect::error::KindField;
use crate::dialect::messages::event::Message;

/// Reads usage and text of a unary response.
pub(super) fn decode_unary(body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    let message = read_object(&Message::new(), body)?;
    let report = message.usage.report();
    DecodedResponse::unless_error(
        message.error,
        KindField::Type,
        report,
        &message.block.output,
    )
}
