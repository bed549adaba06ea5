//! Failures of an upstream call, without URLs or credentials.

use std::io::{self, ErrorKind};

use awc::error::{ConnectError, PayloadError, SendRequestError};

/// Failure of a call before its response was complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("failed to connect: {text}")]
    Connect { cause: ConnectCause, text: String },
    #[error("no response within {0} ms")]
    HeadTimeout(u64),
    #[error("no data for {0} ms")]
    IdleTimeout(u64),
    #[error("response incomplete after {0} ms")]
    CallTimeout(u64),
    /// reset or closed by the upstream
    #[error("exchange failed: {0}")]
    ConnectionLost(String),
    #[error("exchange failed: {0}")]
    Exchange(String),
    #[error("response larger than {0} bytes")]
    TooLarge(usize),
    #[error("invalid request: {0}")]
    Malformed(String),
}

/// Cause of a connection that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectCause {
    Refused,
    Unreachable,
    Dns,
    Tls,
    Timeout,
    Other,
}

impl ConnectCause {
    fn of(error: &ConnectError) -> ConnectCause {
        match error {
            ConnectError::Resolver(_) | ConnectError::NoRecords | ConnectError::Unresolved => {
                ConnectCause::Dns
            }
            ConnectError::Timeout => ConnectCause::Timeout,
            ConnectError::Io(error) => ConnectCause::of_io(error),
            _ => ConnectCause::Other,
        }
    }

    fn of_io(error: &io::Error) -> ConnectCause {
        match error.kind() {
            ErrorKind::ConnectionRefused => ConnectCause::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ConnectCause::Unreachable,
            ErrorKind::TimedOut => ConnectCause::Timeout,
            // rustls reports a failed handshake as invalid data, a name without a certificate as invalid input
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                ConnectCause::Tls
            }
            _ => ConnectCause::Other,
        }
    }
}

impl TransportError {
    pub(super) fn from_send(error: &SendRequestError, head_timeout_ms: u64) -> TransportError {
        match error {
            SendRequestError::Timeout => TransportError::HeadTimeout(head_timeout_ms),
            // awc reports a connection closed after the request was sent, so the upstream may have read the request
            SendRequestError::Connect(ConnectError::Disconnected) => {
                TransportError::ConnectionLost("connection closed before the response".into())
            }
            SendRequestError::Connect(error) => TransportError::Connect {
                cause: ConnectCause::of(error),
                text: match error {
                    ConnectError::Timeout => "connect timeout exceeded".to_owned(),
                    error => error.to_string(),
                },
            },
            SendRequestError::Url(error) => TransportError::Malformed(error.to_string()),
            SendRequestError::Send(error) => TransportError::ConnectionLost(error.to_string()),
            error => TransportError::Exchange(error.to_string()),
        }
    }

    pub(super) fn from_payload(error: &PayloadError) -> TransportError {
        match error {
            PayloadError::Incomplete(_) | PayloadError::Io(_) => {
                TransportError::ConnectionLost(error.to_string())
            }
            error => TransportError::Exchange(error.to_string()),
        }
    }

    /// The failure in one word, for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            TransportError::Connect { cause, .. } => match cause {
                ConnectCause::Refused => "connection_refused",
                ConnectCause::Unreachable => "unreachable",
                ConnectCause::Dns => "dns",
                ConnectCause::Tls => "tls",
                ConnectCause::Timeout => "connect_timeout",
                ConnectCause::Other => "connect_failed",
            },
            TransportError::HeadTimeout(_) => "head_timeout",
            TransportError::IdleTimeout(_) => "idle_timeout",
            TransportError::CallTimeout(_) => "call_timeout",
            TransportError::ConnectionLost(_) => "connection_lost",
            TransportError::Exchange(_) => "invalid_http",
            TransportError::TooLarge(_) => "response_too_large",
            TransportError::Malformed(_) => "invalid_request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_error_reason_tells_refused_dns_tls_and_timeout_apart() {
        let tls = io::Error::new(ErrorKind::InvalidData, "invalid peer certificate");
        for (error, reason) in [
            (
                ConnectError::Io(ErrorKind::ConnectionRefused.into()),
                "connection_refused",
            ),
            (
                ConnectError::Io(ErrorKind::HostUnreachable.into()),
                "unreachable",
            ),
            (ConnectError::Io(tls), "tls"),
            (ConnectError::Resolver("no such host".into()), "dns"),
            (ConnectError::NoRecords, "dns"),
            (ConnectError::Timeout, "connect_timeout"),
            (ConnectError::Disconnected, "connection_lost"),
        ] {
            let error = TransportError::from_send(&SendRequestError::Connect(error), 1_000);
            assert_eq!(error.reason(), reason, "{error}");
        }
        let reset = SendRequestError::Send(ErrorKind::ConnectionReset.into());
        let reset = TransportError::from_send(&reset, 1_000);
        assert_eq!(reset.reason(), "connection_lost");
        let timeout = TransportError::from_send(&SendRequestError::Timeout, 1_000);
        assert_eq!(timeout.reason(), "head_timeout");
    }
}
