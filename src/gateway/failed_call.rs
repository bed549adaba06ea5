//! A call that ended without a reply.

use crate::dialect::Dialect;
use crate::domain::api_error::ApiError;
use crate::domain::header_list::HeaderList;
use crate::domain::id::RequestId;
use crate::gateway::capture;
use crate::gateway::reply::Reply;
use crate::store::captures::CaptureDraft;

/// A call that ended without a reply: its error, and the headers of the attempt if there was one.
pub(super) struct FailedCall {
    pub error: ApiError,
    headers: HeaderList,
    /// of a captured call with a record
    draft: Option<Box<CaptureDraft>>,
}

impl FailedCall {
    pub fn with_draft(
        error: ApiError,
        headers: HeaderList,
        draft: Option<Box<CaptureDraft>>,
    ) -> Box<FailedCall> {
        Box::new(FailedCall {
            error,
            headers,
            draft,
        })
    }

    /// The error in the client's dialect.
    pub fn into_reply(self, dialect: Dialect, id: RequestId) -> Reply {
        let mut reply = Reply::refusal(dialect, &self.error, id);
        reply.headers.append(&self.headers);
        capture::finish(self.draft, reply)
    }
}

impl From<ApiError> for Box<FailedCall> {
    fn from(error: ApiError) -> Box<FailedCall> {
        FailedCall::with_draft(error, HeaderList::default(), None)
    }
}
