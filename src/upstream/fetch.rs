//! Fetches what a client only names: a resource at an address of the client's choosing, so the connection is made only to
//! addresses that everybody on the Internet could reach, and those that the operator named. Follows no redirect, sends nothing
//! of the client's or of ours, reads no more than it was told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use awc::Connector;
use bytes::Bytes;

use crate::upstream::client::{IncomingResponse, TlsRoots, TransportError, client_over};
use crate::upstream::destination;

/// What may be fetched, and from where.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// addresses of the operator's own network that may be asked too
    pub private_hosts: Vec<IpAddr>,
    pub bytes_max: usize,
    /// for the whole of it
    pub timeout_ms: u64,
}

/// One per worker.
#[derive(Clone)]
pub struct Fetcher {
    client: awc::Client,
    bytes_max: usize,
    timeout_ms: u64,
}

impl Fetcher {
    pub fn new(roots: &TlsRoots, connect_timeout_ms: u64, fetching: &FetchRules) -> Fetcher {
        let private: Rc<[IpAddr]> = fetching.private_hosts.as_slice().into();
        let guard =
            move |address: IpAddr| is_public(address) || private.contains(&address.to_canonical());
        let connector = Connector::new().connector(destination::guarded(Rc::new(guard)));
        let client = client_over(connector, roots, Duration::from_millis(connect_timeout_ms));
        Fetcher {
            client,
            bytes_max: fetching.bytes_max,
            timeout_ms: fetching.timeout_ms,
        }
    }

    /// The whole body of a good answer.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, TransportError> {
        let within = Duration::from_millis(self.timeout_ms);
        let whole = async {
            // a connection of its own: nothing that a host says late can be taken for another answer
            let request = self
                .client
                .get(url)
                .no_decompress()
                .force_close()
                .timeout(within);
            let response = request
                .send()
                .await
                .map_err(|error| TransportError::of(&error, self.timeout_ms))?;
            let incoming = IncomingResponse::new(response, |_| false);
            if incoming.status != 200 {
                return Err(TransportError::Broken(format!(
                    "it was answered with {}",
                    incoming.status
                )));
            }
            incoming
                .whole(self.bytes_max, self.timeout_ms, |_| {})
                .await
        };
        tokio::time::timeout(within, whole)
            .await
            .unwrap_or(Err(TransportError::HeadTimeout(self.timeout_ms)))
    }
}

/// Whether an address belongs to the Internet at large, and not to a machine, a network or a protocol of its own.
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

/// Global unicast, less what is set aside in it and what stands for an IPv4 address elsewhere.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let set_aside =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !set_aside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
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
