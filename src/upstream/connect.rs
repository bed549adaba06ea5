//! New connections, within the time that a call may take for them.

use std::future::Future;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::destination::{AddressGuard, Dialer};
use super::error::TransportError;
use super::request_url::RequestUrl;
use super::socket::Socket;
use super::tls::ClientTls;

/// Longest wait, so that a sum of instants cannot overflow.
const WAIT_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Deadline of a response head, and the timeout that it results from.
#[derive(Clone, Copy)]
pub(super) struct HeadDeadline {
    pub at: Instant,
    pub timeout_ms: u64,
}

impl HeadDeadline {
    pub fn after(timeout_ms: u64) -> HeadDeadline {
        HeadDeadline {
            at: in_ms(timeout_ms),
            timeout_ms,
        }
    }
}

/// Instant after a wait from now on.
pub(super) fn in_ms(wait_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(wait_ms).min(WAIT_MAX)
}

/// Opens a connection to the host of a URL. Dialing and the TLS handshake may take the timeout each, and neither lasts beyond the
/// deadline.
pub(super) async fn connect(
    dialer: &Dialer,
    tls: &ClientTls,
    url: &RequestUrl<'_>,
    guard: AddressGuard<'_>,
    (timeout, deadline): (Duration, HeadDeadline),
) -> Result<Box<Connection>, TransportError> {
    let limits = (timeout, deadline);
    let stream = within(limits, dialer.dial(url, guard)).await?;
    if !url.is_tls {
        return Ok(Connection::new(Socket::Plain(stream)));
    }
    let secured = async {
        let secured = tls.secure(stream, url.host).await;
        secured.map_err(|error| TransportError::unconnected(&error))
    };
    let secured = within(limits, secured).await?;
    Ok(Connection::new(Socket::Tls(Box::new(secured))))
}

async fn within<T>(
    (timeout, deadline): (Duration, HeadDeadline),
    step: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let left = deadline.at.saturating_duration_since(Instant::now());
    let done = tokio::time::timeout(timeout.min(left), step);
    done.await
        .unwrap_or_else(|_| Err(TransportError::connect_timeout()))
}
