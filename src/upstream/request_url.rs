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
        let starts_with = |scheme: &str| {
            let start = url.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let is_tls = starts_with("https://");
        if !is_tls && !starts_with("http://") {
            return None;
        }
        let scheme_end = if is_tls { 8 } else { 7 };
        let rest = &url[scheme_end..];
        let end = rest.bytes().position(|byte| b"/?#".contains(&byte));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let fragment = memchr::memchr(b'#', path.as_bytes());
        let path = &path[..fragment.unwrap_or(path.len())];
        // a user and a password are not sent
        let host_start = memchr::memrchr(b'@', authority.as_bytes()).map_or(0, |at| at + 1);
        let (host, port) = split_port(&authority[host_start..])?;
        let is_printable = path
            .bytes()
            .fold(true, |so_far, byte| so_far & (0x21..=0x7e).contains(&byte));
        (is_host(host) && is_printable).then_some(RequestUrl {
            origin: &url[..scheme_end + authority.len()],
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
    let bracket = memchr::memrchr(b']', named.as_bytes()).map_or(0, |at| at + 1);
    let Some(colon) = memchr::memchr(b':', &named.as_bytes()[bracket..]) else {
        return Some((named, None));
    };
    let (host, digits) = (&named[..bracket + colon], &named[bracket + colon + 1..]);
    if digits.is_empty() {
        return Some((host, None));
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| is_number)?;
    Some((host, Some(port)))
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
            ("http://h:/#x", "http://h:", "h", None, "/"),
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
