//! Settings of outgoing connections: the proxy and the certificates of all, and what one destination may do.

use std::path::PathBuf;

use crate::domain::network::Network;
use crate::domain::secret::Secret;

/// Settings of all outgoing connections.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    pub proxy: Option<Proxy>,
    /// certificates that are trusted beside the built-in ones
    pub ca_file: Option<PathBuf>,
}

/// HTTP proxy through which connections are tunnelled with CONNECT.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// `host:port`
    pub authority: String,
    /// user and password, `user:password`
    pub credential: Option<Secret>,
    /// destinations that are reached directly
    pub direct: Vec<DirectHost>,
}

/// Entry of `no_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectHost {
    /// an address, or a range
    Network(Network),
    /// a host; with a leading dot also the hosts below it
    Name(String),
}

/// Connection settings of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionConfig {
    /// private addresses that a host name of this destination may resolve to
    pub private_hosts: Vec<Network>,
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client certificate and its key
    pub client_pair: Option<(PathBuf, PathBuf)>,
    /// instead of that of all connections
    pub connect_timeout_ms: Option<u64>,
}

impl Proxy {
    /// True for a destination that is reached without the proxy.
    pub fn bypasses(&self, host: &str) -> bool {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        let address = host.parse().ok();
        self.direct.iter().any(|entry| match entry {
            DirectHost::Network(network) => {
                address.is_some_and(|address| network.contains(address))
            }
            DirectHost::Name(name) => match name.strip_prefix('.') {
                Some(domain) => host == domain || host.ends_with(name.as_str()),
                None => host == *name,
            },
        })
    }
}
