//! Networks: an IP address, or a range in CIDR notation. Compared in canonical form, so that an IPv4 address mapped into IPv6 is
//! the IPv4 address.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

/// `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let own = u128::from(own.to_bits()) << 96;
                is_same(own, u128::from(other.to_bits()) << 96, self.prefix_bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                is_same(own.to_bits(), other.to_bits(), self.prefix_bits)
            }
            _ => false,
        }
    }
}

/// Compares the leading bits.
fn is_same(own: u128, other: u128, bits: u8) -> bool {
    bits == 0 || (own ^ other) >> (128 - u32::from(bits)) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let invalid =
            || format!("invalid address `{text}`; use an IP address or a range such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let address = address.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            "" if text.contains('/') => return Err(invalid()),
            "" => longest,
            digits => digits.parse().map_err(|_| invalid())?,
        };
        if prefix_bits > longest {
            return Err(invalid());
        }
        Ok(Network {
            address,
            prefix_bits,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.prefix_bits) {
            (IpAddr::V4(address), 32) => write!(f, "{address}"),
            (IpAddr::V6(address), 128) => write!(f, "{address}"),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// True for `localhost` and loopback addresses, with a port or without.
pub fn is_loopback_host(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let address: Option<IpAddr> = host.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_contains_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            let network: Network = network.parse().expect("a network");
            assert!(
                network.contains(inside.parse().expect("an address")),
                "{inside}"
            );
            assert!(
                !network.contains(outside.parse().expect("an address")),
                "{outside}"
            );
        }
    }

    #[test]
    fn loopback_host_is_recognized_with_and_without_a_port() {
        for (authority, loopback) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(authority), loopback, "{authority}");
        }
    }

    #[test]
    fn network_invalid_is_refused() {
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/x",
            "::1/129",
            "/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
