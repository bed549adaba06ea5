//! Egress: the `[egress]` section with outbound proxy and certificate bundle, and the connection keys of one destination. Takes the
//! keys as written, returns valid settings or reports errors. Must never repeat a password.

use std::path::{Path, PathBuf};

use super::file::{ConfigErrors, Section, Spanned};
use super::secret::{Environment, SecretSource};
use crate::domain::egress::{ConnectionConfig, DirectHost, EgressConfig, Proxy};
use crate::domain::network::Network;
use crate::domain::secret::Secret;

/// Resolves the `[egress]` section. Without an environment the password is not read.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    path: &Path,
    errors: &mut ConfigErrors,
) -> EgressConfig {
    let proxy = section.string("proxy", errors);
    let user = section.string("proxy_user", errors);
    let password = section.string("proxy_password", errors);
    let direct = section.strings("no_proxy", errors);
    let ca_file = section.string("ca_file", errors);
    section.finish(errors);
    for written in [&user, &password].into_iter().flatten() {
        if proxy.is_none() {
            written.report(errors, "no effect without a proxy; remove it");
        }
    }
    let credential = match (user, password, environment) {
        (Some(user), Some(password), Some(environment)) => {
            credential(user, password, environment, errors)
        }
        (Some(written), None, _) | (None, Some(written), _) => {
            written.report(
                errors,
                "proxy_user and proxy_password belong together; write both",
            );
            None
        }
        _ => None,
    };
    let direct = direct
        .into_iter()
        .filter_map(|written| written.parse(errors, |text| parse_direct(text)));
    let direct = direct.collect();
    EgressConfig {
        proxy: proxy
            .and_then(|written| written.parse(errors, |url| parse_proxy(url)))
            .map(|authority| Proxy {
                authority,
                credential,
                direct,
            }),
        ca_file: ca_file.map(|written| beside(path, &written.value)),
    }
}

/// Takes the connection keys of a provider's section.
pub(super) fn connection(
    section: &mut Section<'_>,
    path: &Path,
    errors: &mut ConfigErrors,
) -> ConnectionConfig {
    let private_hosts = networks(section, errors);
    let ca_file = section.string("ca_file", errors);
    let certificate = section.string("client_cert", errors);
    let key = section.string("client_key", errors);
    let client_pair = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some((beside(path, &certificate.value), beside(path, &key.value)))
        }
        (Some(written), None) | (None, Some(written)) => {
            written.report(
                errors,
                "client_cert and client_key belong together; write both",
            );
            None
        }
        (None, None) => None,
    };
    ConnectionConfig {
        private_hosts,
        ca_file: ca_file.map(|written| beside(path, &written.value)),
        client_pair,
        connect_timeout_ms: None,
    }
}

/// Takes `private_hosts`.
pub(super) fn networks(section: &mut Section<'_>, errors: &mut ConfigErrors) -> Vec<Network> {
    let written = section.strings("private_hosts", errors);
    let parsed = written
        .into_iter()
        .filter_map(|text| text.parse(errors, |text| text.parse()));
    parsed.collect()
}

/// Relative paths are resolved against the folder of the configuration file.
fn beside(path: &Path, written: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(written)
}

fn credential(
    user: Spanned<String>,
    password: Spanned<String>,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Secret> {
    let password = password.parse(errors, |source| {
        SecretSource::parse(source)?.read(environment)
    })?;
    if user.value.is_empty() || user.value.contains(':') {
        user.report(
            errors,
            "invalid user; it must not be empty or contain a colon",
        );
        return None;
    }
    Some(Secret::new(format!("{}:{}", user.value, password.expose())))
}

fn parse_proxy(url: &str) -> Result<String, String> {
    let syntax = "write the proxy as http://host:port, and its user as proxy_user";
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|authority| !authority.contains(['/', '@', '?', '#']))
        .ok_or_else(|| format!("invalid proxy; {syntax}"))?;
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none_or(|port| port == 0) || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("invalid proxy port; {syntax}"));
    }
    Ok(authority.to_owned())
}

fn parse_direct(text: &str) -> Result<DirectHost, String> {
    if let Ok(network) = text.parse() {
        return Ok(DirectHost::Network(network));
    }
    let name = text.strip_prefix('*').unwrap_or(text).to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match !name.trim_matches('.').is_empty() && name.bytes().all(plain) {
        true => Ok(DirectHost::Name(name)),
        false => Err(format!(
            "invalid entry `{text}`; use an address, a range, a host, or .domain"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn resolved(text: &str) -> Result<EgressConfig, String> {
        let text = format!("[egress]\n{text}");
        let environment = |_: &str| Some("hunter2".to_owned());
        parse(
            Path::new("/etc/gatekeeper/gatekeeper.toml"),
            &text,
            &Overrides::default(),
            &environment,
        )
        .map(|config| config.egress)
        .map_err(|errors| errors.to_string())
    }

    #[test]
    fn egress_proxy_is_bypassed_for_listed_hosts() {
        let text = "proxy = \"http://proxy:3128\"\nno_proxy = [\"10.0.0.0/8\", \"models.lan\", \".internal\", \"*.corp\", \"localhost\"]";
        let proxy = resolved(text).expect("valid").proxy.expect("a proxy");
        assert_eq!(proxy.authority, "proxy:3128");
        for (host, direct) in [
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("models.lan", true),
            ("x.models.lan", false),
            ("a.internal", true),
            ("internal", true),
            ("a.CORP", true),
            ("localhost", true),
            ("api.example.com", false),
        ] {
            assert_eq!(proxy.bypasses(host), direct, "{host}");
        }
    }

    #[test]
    fn egress_invalid_setting_is_reported_without_the_password() {
        for (text, expected) in [
            ("proxy = \"https://proxy:1\"", "http://host:port"),
            ("proxy = \"http://hunter2@proxy:1\"", "proxy_user"),
            ("proxy = \"http://proxy\"", "port"),
            (
                "proxy_user = \"a\"\nproxy_password = \"env:P\"",
                "no effect",
            ),
            (
                "proxy = \"http://p:1\"\nproxy_user = \"a\"",
                "belong together",
            ),
            ("proxy = \"http://p:1\"\nno_proxy = [\"a b\"]", ".domain"),
        ] {
            let message = resolved(text).expect_err(text);
            assert!(
                message.contains(expected) && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
