//! Classes of addresses, and the rules for the destination of a connection: which resolved addresses are permitted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::network::Network;

/// Address of a destination that the operator configured. An address written in the URL, and `localhost`, permit themselves; a name
/// that resolves to a private address needs an entry of `private_hosts`. Link-local addresses, among them the metadata services of
/// clouds, are never permitted.
pub(super) fn is_permitted_for(host: &str, address: IpAddr, private: &[Network]) -> bool {
    let literal = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let is_written = literal.is_ok_and(|written| written.to_canonical() == address.to_canonical());
    let is_local = host.eq_ignore_ascii_case("localhost") && address.to_canonical().is_loopback();
    !is_never_permitted(address) && (is_written || is_local || is_permitted(address, private))
}

/// Address of a host that a client chose.
pub(super) fn is_permitted(address: IpAddr, private: &[Network]) -> bool {
    let listed = private.iter().any(|network| network.contains(address));
    !is_never_permitted(address) && (is_public(address) || listed)
}

/// Link-local, unspecified and multicast addresses, and the metadata service of AWS in IPv6.
fn is_never_permitted(address: IpAddr) -> bool {
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6 == METADATA_V6
        }
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

    #[test]
    fn configured_destination_permits_what_was_written_and_no_metadata() {
        let private: Vec<Network> = vec![
            "10.0.0.0/8".parse().expect("a network"),
            "169.254.0.0/16".parse().expect("a network"),
        ];
        for (host, address, permitted) in [
            ("api.example.com", "8.8.8.8", true),
            ("api.example.com", "10.0.0.7", true),
            ("api.example.com", "192.168.0.7", false),
            ("api.example.com", "127.0.0.1", false),
            ("api.example.com", "::ffff:10.0.0.7", true),
            ("192.168.0.7", "192.168.0.7", true),
            ("192.168.0.7", "192.168.0.8", false),
            ("[fd00::7]", "fd00::7", true),
            ("localhost", "127.0.0.1", true),
            ("localhost", "::1", true),
            ("localhost", "192.168.0.7", false),
            ("169.254.169.254", "169.254.169.254", false),
            ("metadata.example", "169.254.169.254", false),
            ("fd00:ec2::254", "fd00:ec2::254", false),
            ("0.0.0.0", "0.0.0.0", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(
                is_permitted_for(host, address, &private),
                permitted,
                "{host} {address}"
            );
        }
    }
}
