//! URL of a request, split into the parts that a connection and a request head need. Accepts http and https only, and no byte that
//! could end the head's first line.

/// Parts of a URL as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestUrl<'a> {
    /// scheme and authority, the key of a pool
    pub origin: &'a str,
    pub is_tls: bool,
    /// an IPv6 address in brackets
    pub host: &'a str,
    pub port: Option<u16>,
    /// path and query, without the fragment; it may lack the first slash
    pub path: &'a str,
}

impl<'a> RequestUrl<'a> {
    pub fn parse(url: &'a str) -> Option<RequestUrl<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let is_tls = scheme.eq_ignore_ascii_case("https");
        if !is_tls && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let end = rest.bytes().position(|byte| b"/?#".contains(&byte));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let path = path.split('#').next().unwrap_or_default();
        // a user and a password are not sent
        let named = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = split_port(named)?;
        let is_printable = path
            .bytes()
            .fold(true, |so_far, byte| so_far & (0x21..=0x7e).contains(&byte));
        (is_host(host) && is_printable).then_some(RequestUrl {
            origin: &url[..scheme.len() + 3 + authority.len()],
            is_tls,
            host,
            port,
            path,
        })
    }

    /// Port to connect to.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Port of the host header, which the default ports of both schemes are left out of.
    pub fn header_port(&self) -> Option<u16> {
        self.port.filter(|port| !matches!(port, 80 | 443))
    }
}

/// Host and port; the colons of an IPv6 address stand between brackets.
fn split_port(named: &str) -> Option<(&str, Option<u16>)> {
    let bracket = named.rfind(']').map_or(0, |at| at + 1);
    match named[bracket..].split_once(':') {
        None => Some((named, None)),
        Some((_, "")) => Some((&named[..named.len() - 1], None)),
        Some((between, digits)) => {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|_| is_number)?;
            Some((&named[..bracket + between.len()], Some(port)))
        }
    }
}

fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .map(|inside| inside.strip_suffix(']'))
    {
        Some(inside) => inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_split_into_origin_host_port_and_path() {
        for (url, origin, host, port, path) in [
            (
                "https://api.example.com/v1/chat?x=1#y",
                "https://api.example.com",
                "api.example.com",
                None,
                "/v1/chat?x=1",
            ),
            (
                "HTTP://127.0.0.1:8080?x",
                "HTTP://127.0.0.1:8080",
                "127.0.0.1",
                Some(8080),
                "?x",
            ),
            ("http://[::1]:9", "http://[::1]:9", "[::1]", Some(9), ""),
            ("http://[::1]/", "http://[::1]", "[::1]", None, "/"),
            (
                "http://u:p@h_1:80/a:b@c",
                "http://u:p@h_1:80",
                "h_1",
                Some(80),
                "/a:b@c",
            ),
        ] {
            let parsed = RequestUrl::parse(url).expect(url);
            assert_eq!(
                (parsed.origin, parsed.host, parsed.port, parsed.path),
                (origin, host, port, path)
            );
        }
        let secure = RequestUrl::parse("https://h/").expect("a URL");
        assert_eq!((secure.is_tls, secure.port_or_default()), (true, 443));
    }

    #[test]
    fn url_that_cannot_be_sent_is_refused() {
        for url in [
            "",
            "h/x",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:x/",
            "http://h:+1/",
            "http://h:65536/",
            "http://h/a b",
            "http://h/a\r\nb",
            "http://h/\u{e4}",
            "http://h\\x/",
            "http://[::1/",
            "http://[x]/",
        ] {
            assert_eq!(RequestUrl::parse(url), None, "{url:?}");
        }
    }
}
