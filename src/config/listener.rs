//! Listeners: addresses, TLS, the public URL and the proxies whose forwarded addresses are believed. Takes the top-level keys,
//! returns valid settings or reports errors. Certificates are read by the server, not here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::base_url::parse_base_url;
use super::file::{ConfigErrors, Section, Spanned};
use crate::domain::network::Network;

/// Settings of the listeners, beside the main address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerConfig {
    pub tls: Option<TlsSource>,
    /// address of the control plane; it is then absent from the main one
    pub admin: Option<SocketAddr>,
    /// base of the links that the gateway makes, without a trailing slash
    pub public_url: Option<String>,
    /// peers whose `x-forwarded-for` is believed
    pub trusted_proxies: Vec<Network>,
}

/// Origin of the listener's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files, which are read again when they change
    Files { certificate: PathBuf, key: PathBuf },
    /// made at the first start and kept in the data folder
    SelfSigned,
}

pub(super) fn resolve(
    top: &mut Section<'_>,
    path: &Path,
    errors: &mut ConfigErrors,
) -> ListenerConfig {
    let self_signed = top.choice(
        "tls",
        None,
        &[("off", Some(false)), ("self-signed", Some(true))],
        errors,
    );
    let certificate = top.string("tls_cert", errors);
    let key = top.string("tls_key", errors);
    let admin = top.string("admin_listen", errors);
    let public_url = top.string("public_url", errors);
    let proxies = top.strings("trusted_proxies", errors);
    ListenerConfig {
        tls: tls(self_signed, certificate, key, path, errors),
        admin: admin.and_then(|written| written.parse(errors, |text| parse_listen(text))),
        public_url: public_url.and_then(|written| written.parse(errors, |url| parse_base_url(url))),
        trusted_proxies: proxies
            .into_iter()
            .filter_map(|written| written.parse(errors, |text| text.parse()))
            .collect(),
    }
}

/// Parses a listen address. `localhost` is replaced here, because a static binary cannot resolve it.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let parsed = numeric.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_| {
        format!("invalid listen address `{text}`; use IP:PORT, e.g. 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000")
    })
}

/// The two files decide; `tls = "off"` turns them off without removing them.
fn tls(
    self_signed: Option<bool>,
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    path: &Path,
    errors: &mut ConfigErrors,
) -> Option<TlsSource> {
    let base = path.parent().unwrap_or(Path::new(""));
    match (self_signed, certificate, key) {
        (Some(false), _, _) | (None, None, None) => None,
        (Some(true), None, None) => Some(TlsSource::SelfSigned),
        (Some(true), Some(written), _) | (Some(true), None, Some(written)) => {
            written.report(
                errors,
                "no effect with tls = \"self-signed\"; remove one of them",
            );
            None
        }
        (None, Some(certificate), Some(key)) => Some(TlsSource::Files {
            certificate: base.join(certificate.value),
            key: base.join(key.value),
        }),
        (None, Some(written), None) => {
            written.report(errors, "no tls_key; name the file of its private key");
            None
        }
        (None, None, Some(written)) => {
            written.report(
                errors,
                "no tls_cert; name the file of the certificate chain",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn resolved(text: &str) -> Result<ListenerConfig, String> {
        let path = Path::new("/etc/gatekeeper/gatekeeper.toml");
        parse(path, text, &Overrides::default(), &|_| None)
            .map(|config| config.listener)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn listener_default_is_plain_and_trusts_no_proxy() {
        assert_eq!(resolved(""), Ok(ListenerConfig::default()));
    }

    #[test]
    fn listener_tls_files_resolve_against_the_folder_of_the_file() {
        let config =
            resolved("tls_cert = \"cert.pem\"\ntls_key = \"/run/key.pem\"\n").expect("a pair");
        let expected = TlsSource::Files {
            certificate: "/etc/gatekeeper/cert.pem".into(),
            key: "/run/key.pem".into(),
        };
        assert_eq!(config.tls, Some(expected));
        assert_eq!(
            resolved("tls = \"self-signed\"").expect("valid").tls,
            Some(TlsSource::SelfSigned)
        );
        let off = "tls = \"off\"\ntls_cert = \"c\"\ntls_key = \"k\"\n";
        assert_eq!(resolved(off).expect("valid").tls, None);
    }

    #[test]
    fn listener_contradiction_is_reported_with_its_remedy() {
        for (text, expected) in [
            ("tls_cert = \"c\"", "no tls_key"),
            ("tls_key = \"k\"", "no tls_cert"),
            ("tls = \"self-signed\"\ntls_cert = \"c\"", "no effect"),
            ("admin_listen = \"host:1\"", "invalid listen address"),
            ("public_url = \"gatekeeper.example\"", "https://"),
            ("trusted_proxies = [\"proxy\"]", "10.0.0.0/8"),
        ] {
            let message = resolved(text).expect_err(text);
            assert!(message.contains(expected), "{message}");
        }
    }
}
