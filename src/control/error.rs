//! Errors that several resources share: not found, name taken, books unavailable.

use std::fmt::Display;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::store::StoreError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let message = format!("books unavailable: {error}");
        ApiError::new(ErrorCode::LedgerUnavailable, message).with_retry_after(1)
    }
}

pub(super) fn not_found(kind: &str, id: impl Display) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("unknown {kind} `{id}`; list them to see which exist"),
    )
}

/// Error for records that may be in the log, and not in the books yet.
pub(super) fn books_behind() -> ApiError {
    let message =
        "books behind the log: what is asked for may not be booked yet; repeat in a moment";
    ApiError::new(ErrorCode::LedgerUnavailable, message).with_retry_after(1)
}

pub(super) fn name_taken(kind: &str, name: &str, scope: impl Display) -> ApiError {
    let message = format!(
        "{kind} `{name}` already exists in {scope}; choose another name, or change the existing one"
    );
    ApiError::new(ErrorCode::Conflict, message).with_param("name")
}
