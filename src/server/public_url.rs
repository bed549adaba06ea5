//! Address under which browsers reach the control plane. `public_url` alone decides, else the listen address: never the header `Host`,
//! which the client writes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Path to which an issuer sends the browser back.
pub const OIDC_CALLBACK: &str = "/sign-in/oidc/callback";

/// Base of links, and the origin of pages that may change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    base: Arc<str>,
    /// `false`: the listen address stands in, which other names may lead to
    is_configured: bool,
}

impl PublicUrl {
    /// `configured`: without a trailing slash; `listen`: address of the control plane.
    pub fn new(configured: Option<&str>, listen: SocketAddr, tls: bool) -> PublicUrl {
        let base = match configured {
            Some(url) => url.to_owned(),
            None => {
                let scheme = if tls { "https" } else { "http" };
                format!("{scheme}://{}", reachable(listen))
            }
        };
        PublicUrl {
            base: base.into(),
            is_configured: configured.is_some(),
        }
    }

    /// A link to a path that begins with a slash.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// True if the header `Origin` names pages of this address.
    pub fn is_origin(&self, origin: &str) -> bool {
        self.base
            .strip_prefix(origin)
            .is_some_and(|path| path.is_empty() || path.starts_with('/'))
            && origin.contains("://")
    }
}

/// A server that listens on all addresses is reached at loopback from the machine itself.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(configured: Option<&str>, listen: &str, tls: bool) -> PublicUrl {
        PublicUrl::new(configured, listen.parse().expect("an address"), tls)
    }

    #[test]
    fn links_name_the_public_url_or_the_address_that_is_reachable() {
        let configured = Some("https://gate.example.com");
        for (configured, listen, tls, link) in [
            (
                configured,
                "0.0.0.0:4000",
                false,
                "https://gate.example.com/ui/",
            ),
            (None, "127.0.0.1:4000", false, "http://127.0.0.1:4000/ui/"),
            (None, "0.0.0.0:4000", false, "http://127.0.0.1:4000/ui/"),
            (None, "[::]:443", true, "https://[::1]:443/ui/"),
            (None, "10.0.0.5:443", true, "https://10.0.0.5:443/ui/"),
        ] {
            assert_eq!(url(configured, listen, tls).link("/ui/"), link);
        }
    }

    #[test]
    fn origin_is_that_of_the_base_and_no_prefix_of_it() {
        let public = url(
            Some("https://gate.example.com:8443/x"),
            "127.0.0.1:1",
            false,
        );
        assert!(public.is_origin("https://gate.example.com:8443"));
        for other in [
            "https://gate.example.com",
            "https://gate.example.co",
            "http://gate.example.com:8443",
            "https://gate.example.com:844",
            "https://evil.example.com",
            "null",
            "https:",
            "",
        ] {
            assert!(!public.is_origin(other), "{other}");
        }
    }
}
