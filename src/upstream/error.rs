//! Failures of an upstream call, without URLs or credentials.

use awc::error::{ConnectError, SendRequestError};

/// Failure of a call before its response was complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("failed to connect: {0}")]
    Connect(String),
    #[error("no response within {0} ms")]
    HeadTimeout(u64),
    #[error("no data for {0} ms")]
    IdleTimeout(u64),
    #[error("response incomplete after {0} ms")]
    CallTimeout(u64),
    #[error("exchange failed: {0}")]
    Exchange(String),
    #[error("response larger than {0} bytes")]
    TooLarge(usize),
    #[error("invalid request: {0}")]
    Malformed(String),
}

impl TransportError {
    pub(super) fn from_send(error: &SendRequestError, head_timeout_ms: u64) -> TransportError {
        match error {
            SendRequestError::Timeout => TransportError::HeadTimeout(head_timeout_ms),
            // awc reports a connection closed after the request was sent, so the upstream may have read the request
            SendRequestError::Connect(ConnectError::Disconnected) => {
                TransportError::Exchange("connection closed before the response".into())
            }
            SendRequestError::Connect(ConnectError::Timeout) => {
                TransportError::Connect("connect timeout exceeded".into())
            }
            SendRequestError::Connect(error) => TransportError::Connect(error.to_string()),
            SendRequestError::Url(error) => TransportError::Malformed(error.to_string()),
            error => TransportError::Exchange(error.to_string()),
        }
    }
}
