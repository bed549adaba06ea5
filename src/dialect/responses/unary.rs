//! Unary responses of the Responses dialect that are passed through.

use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse, read_object};
use crate::dialect::error::{KindField, UpstreamError};
use crate::dialect::responses::event::ResponseBody;

/// Reads usage and text of a unary response.
pub(super) fn decode_unary(body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
    let response = read_object(&ResponseBody::default(), body)?;
    let report = response.usage.report();
    if response.failed && !response.error.seen {
        let error = UpstreamError::new("the upstream says that its answer failed, and not why");
        return Err(IncompleteResponse::fault(error, report));
    }
    DecodedResponse::unless_error(
        response.error,
        KindField::Code,
        report,
        &response.items.output,
    )
}
