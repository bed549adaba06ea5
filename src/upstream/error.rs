//! Failures of an upstream call, without URLs or credentials.

use std::io::{self, ErrorKind};

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
    /// the upstream closed the connection within the body
    #[error("exchange failed: {0}")]
    Truncated(&'static str),
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
    /// No address for a host.
    pub(super) fn unresolved(cause: String) -> TransportError {
        TransportError::Connect {
            cause: ConnectCause::Dns,
            text: format!("failed to resolve the host: {cause}"),
        }
    }

    /// A connection or its handshake that failed.
    pub(super) fn unconnected(error: &io::Error) -> TransportError {
        TransportError::Connect {
            cause: ConnectCause::of_io(error),
            text: error.to_string(),
        }
    }

    pub(super) fn connect_timeout() -> TransportError {
        TransportError::Connect {
            cause: ConnectCause::Timeout,
            text: "connect timeout exceeded".to_owned(),
        }
    }

    pub(super) fn malformed(cause: &str) -> TransportError {
        TransportError::Malformed(cause.to_owned())
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
            TransportError::ConnectionLost(_) | TransportError::Truncated(_) => "connection_lost",
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
        let io = |error: io::Error| TransportError::unconnected(&error);
        for (error, reason) in [
            (
                io(ErrorKind::ConnectionRefused.into()),
                "connection_refused",
            ),
            (io(ErrorKind::HostUnreachable.into()), "unreachable"),
            (io(tls), "tls"),
            (TransportError::unresolved("no such host".into()), "dns"),
            (TransportError::connect_timeout(), "connect_timeout"),
            (io(ErrorKind::TimedOut.into()), "connect_timeout"),
        ] {
            assert_eq!(error.reason(), reason, "{error}");
        }
    }
}
