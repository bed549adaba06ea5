//! Fetcher of images by URL. Because the client chooses the URL, it connects only to public addresses and to hosts that
//! the operator allows. Must never follow a redirect, send a credential or read beyond the size limit.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::address;
use super::body::BodyReader;
use super::connect::{HeadDeadline, connect};
use super::destination::Dialer;
use super::error::TransportError;
use super::exchange::{EncodedRequest, exchange};
use super::request_head::{Method, Persistence, encode};
use super::request_url::RequestUrl;
use super::response::IncomingResponse;
use super::tls::ClientTls;
use crate::domain::network::Network;

/// Limits of fetching.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// addresses outside the public Internet that may be contacted
    pub private_hosts: Vec<Network>,
    pub bytes_max: usize,
    /// of all fetches for one request together, connecting included
    pub timeout_ms: u64,
}

/// Fetcher of one worker thread.
#[derive(Clone)]
pub struct Fetcher(Rc<FetchParts>);

struct FetchParts {
    tls: ClientTls,
    dialer: Dialer,
    connect_timeout: Duration,
    rules: FetchRules,
    /// fetches at once on this worker
    slots: Semaphore,
}

/// Fetches at once on one worker.
const AT_ONCE: usize = 8;

impl Fetcher {
    pub(super) fn new(tls: ClientTls, connect_timeout: Duration, rules: &FetchRules) -> Fetcher {
        Fetcher(Rc::new(FetchParts {
            tls,
            // never through the proxy, which would resolve the name unchecked
            dialer: Dialer::new(None),
            connect_timeout,
            rules: rules.clone(),
            slots: Semaphore::new(AT_ONCE),
        }))
    }

    /// Deadline of all fetches for one request together.
    pub fn timeout_ms(&self) -> u64 {
        self.0.rules.timeout_ms
    }

    /// Returns the complete body of a 200 response.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, TransportError> {
        // the semaphore is never closed
        let _slot = self.0.slots.acquire().await.ok();
        let timeout_ms = self.timeout_ms();
        let timeout = Duration::from_millis(timeout_ms);
        tokio::time::timeout(timeout, self.0.fetch(url))
            .await
            .unwrap_or(Err(TransportError::HeadTimeout(timeout_ms)))
    }
}

impl FetchParts {
    async fn fetch(&self, url: &str) -> Result<Bytes, TransportError> {
        let url = RequestUrl::parse(url).ok_or_else(|| TransportError::malformed("invalid URL"))?;
        // the client chooses the host, so an address that it writes is no permission
        let guard = |_: &str, at: IpAddr| address::is_permitted(at, &self.rules.private_hosts);
        let deadline = HeadDeadline::after(self.rules.timeout_ms);
        let timeout = self.connect_timeout;
        let mut connection =
            connect(&self.dialer, &self.tls, &url, &guard, (timeout, deadline)).await?;
        // one connection per fetch: late bytes of a host cannot be read as another response
        let request = EncodedRequest {
            head: encode(Method::Get, &url, &[], 0, Persistence::Close)?,
            body: Bytes::new(),
        };
        let (head, unsent) = exchange(&mut connection, &request, deadline, &|_| false).await?;
        if head.status != 200 {
            let cause = format!("response status {}", head.status);
            return Err(TransportError::Exchange(cause));
        }
        let body = BodyReader::new(connection, head.length, None, unsent);
        let incoming = IncomingResponse::new(head, body);
        let (bytes_max, idle_ms) = (self.rules.bytes_max, self.rules.timeout_ms);
        incoming.read_body(bytes_max, idle_ms, |_| {}).await
    }
}
