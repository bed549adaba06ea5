//! Unary responses of the chat dialect that are passed through.

use crate::dialect::chat::chunk::{Chunk, ChunkHead, choice_error};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse, read_object};
use crate::dialect::error::KindField;

/// Reads usage and text of a unary response.
pub(in crate::dialect) fn decode_unary(body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    let response = read_object(&Chunk::default(), body)?;
    let ChunkHead { usage, error, .. } = response.head;
    let report = usage.report();
    if response.choice_failed && !error.seen {
        return Err(IncompleteResponse::fault(choice_error(), report));
    }
    DecodedResponse::unless_error(error, KindField::Code, report, &response.output)
}
