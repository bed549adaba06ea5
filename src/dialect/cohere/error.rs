//! Statuses of Cohere's errors.

use crate::dialect::error;

/// Cohere answers an invalid credential with 498.
pub(super) fn effective_status(status: u16) -> u16 {
    if status == 498 {
        401
    } else {
        error::effective_status(status)
    }
}
