//! Fetcher of images by URL. Because the client chooses the URL, it connects only to public addresses and to hosts that
//! the operator allows. Must never follow a redirect, send a credential or read beyond the size limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use awc::Connector;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::connection::{TlsRoots, build_client};
use super::destination;
use super::error::TransportError;
use super::response::IncomingResponse;

/// Limits of fetching.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// addresses outside the public Internet that may be contacted
    pub private_hosts: Vec<IpAddr>,
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
    pub fn new(roots: &TlsRoots, connect_timeout_ms: u64, rules: &FetchRules) -> Fetcher {
        let private: Rc<[IpAddr]> = rules.private_hosts.as_slice().into();
        let is_allowed =
            move |address: IpAddr| is_public(address) || private.contains(&address.to_canonical());
        let connector =
            Connector::new().connector(destination::guarded_connector(Rc::new(is_allowed)));
        let client = build_client(connector, roots, Duration::from_millis(connect_timeout_ms));
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

/// Returns true for addresses of the public Internet: not loopback, private, link-local, reserved or multicast.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !reserved
}

/// Returns true for global unicast, except reserved ranges and ranges that embed IPv4 addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let reserved =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_private_addresses_are_not_public() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.20.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.100.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                is_public(address.parse().expect(address)),
                public,
                "{address}"
            );
        }
    }
}
