//! Base URLs of providers, webhooks and servers: parses scheme, host, port and path. Must never repeat an invalid URL in
//! a message, because it may hold a password.

/// Parses a base URL and removes its trailing slash.
pub fn parse_base_url(url: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or("invalid scheme; start it with http:// or https://")?;
    if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("invalid character; percent-encode it".to_owned());
    }
    if url.contains(['?', '#']) {
        return Err(
            "unexpected query or fragment; write scheme, host, port and path only".to_owned(),
        );
    }
    let (authority, _path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(
            "unexpected user or password; write the key as api_key = \"env:NAME\"".to_owned(),
        );
    }
    check_authority(authority)?;
    Ok(url.trim_end_matches('/').to_owned())
}

fn check_authority(authority: &str) -> Result<(), String> {
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((ip, after)) => {
            ip.parse::<std::net::Ipv6Addr>()
                .map_err(|_| "invalid IPv6 address; write it like http://[::1]:8000")?;
            (ip, after)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(plain) {
        return Err("invalid host; write it like http://10.0.0.5:8000/v1".to_owned());
    }
    let is_port = |port: &str| {
        port.strip_prefix(':')
            .and_then(|port| port.parse::<u16>().ok())
            .is_some_and(|port| port > 0)
    };
    if !port.is_empty() && !is_port(port) {
        return Err("invalid port; use a number from 1 to 65535".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_base_url;

    #[test]
    fn base_url_trailing_slash_is_removed() {
        for (written, expected) in [
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
            ("http://[::1]:11434/", "http://[::1]:11434"),
            ("http://localhost:11434", "http://localhost:11434"),
        ] {
            assert_eq!(parse_base_url(written).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn base_url_invalid_is_rejected_without_repeating_it() {
        for written in [
            "api.openai.com/v1",
            "ftp://host",
            "https://",
            "https:///v1",
            "https://user:hunter2@host/v1",
            "https://host/v1?key=hunter2",
            "https://host/#hunter2",
            "http://host:0/",
            "http://host:99999",
            "http://ho st/",
            "http://[::1",
            "http://[nonsense]/",
            "http://[::1]8000",
        ] {
            let message = parse_base_url(written).expect_err(written);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
