//! Statuses of Gemini's errors.

use crate::dialect::error::{self, API_KEY_INVALID, UpstreamError};

/// Google answers an invalid credential with 400.
pub(super) fn effective_status(status: u16, error: &UpstreamError) -> u16 {
    if status == 400 && error.kind == API_KEY_INVALID {
        401
    } else {
        error::effective_status(status)
    }
}
