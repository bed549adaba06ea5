//! Fetcher of images by URL. Because the client chooses the URL, it connects only to public addresses and to hosts that
//! the operator allows. Must never follow a redirect, send a credential or read beyond the size limit.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use awc::Connector;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::address;
use super::connection::{ClientTls, build_client};
use super::destination;
use super::error::TransportError;
use super::response::IncomingResponse;
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
pub struct Fetcher {
    client: awc::Client,
    bytes_max: usize,
    timeout_ms: u64,
    /// fetches at once on this worker
    slots: Rc<Semaphore>,
}

/// Fetches at once on one worker.
const AT_ONCE: usize = 8;

impl Fetcher {
    pub(super) fn new(tls: &ClientTls, connect_timeout: Duration, rules: &FetchRules) -> Fetcher {
        // the client chooses the host, so an address that it writes is no permission
        let private: Rc<[Network]> = rules.private_hosts.as_slice().into();
        let guard = move |_: &str, address: IpAddr| address::is_permitted(address, &private);
        let connector = Connector::new().connector(destination::connector(Rc::new(guard), None));
        let client = build_client(connector, tls, connect_timeout);
        Fetcher {
            client,
            bytes_max: rules.bytes_max,
            timeout_ms: rules.timeout_ms,
            slots: Rc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Deadline of all fetches for one request together.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// Returns the complete body of a 200 response.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, TransportError> {
        // the semaphore is never closed
        let _slot = self.slots.acquire().await.ok();
        let timeout = Duration::from_millis(self.timeout_ms);
        let body = async {
            // one connection per fetch: late bytes of a host cannot be read as another response
            let request = self
                .client
                .get(url)
                .no_decompress()
                .force_close()
                .timeout(timeout);
            let response = request
                .send()
                .await
                .map_err(|error| TransportError::from_send(&error, self.timeout_ms))?;
            let incoming = IncomingResponse::new(response, |_| false);
            if incoming.status != 200 {
                return Err(TransportError::Exchange(format!(
                    "response status {}",
                    incoming.status
                )));
            }
            incoming
                .read_body(self.bytes_max, self.timeout_ms, |_| {})
                .await
        };
        tokio::time::timeout(timeout, body)
            .await
            .unwrap_or(Err(TransportError::HeadTimeout(self.timeout_ms)))
    }
}
