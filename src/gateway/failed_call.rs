//! A call that ended without a reply.

use crate::domain::api_error::ApiError;

/// A call that ended without a reply: its error, and the headers of the attempt if there was one.
pub(super) struct FailedCall {
    pub error: ApiError,
    pub headers: Vec<(String, String)>,
}

impl From<ApiError> for Box<FailedCall> {
    fn from(error: ApiError) -> Box<FailedCall> {
        Box::new(FailedCall {
            error,
            headers: Vec::new(),
        })
    }
}
