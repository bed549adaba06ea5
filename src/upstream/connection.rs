//! Connection settings that all upstream clients share: TLS roots, HTTP/1.1, no redirects, no implicit headers, no
//! implicit timeouts.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{self as awc_connect, ConnectInfo, Connection};
use awc::Connector;
use awc::http::Uri;

/// Certificates that upstreams are verified against, shared by all workers.
#[derive(Clone)]
pub struct TlsRoots(Arc<rustls::ClientConfig>);

impl TlsRoots {
    /// Returns the roots compiled into the binary; HTTP/1.1 only.
    pub fn built_in() -> Result<TlsRoots, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsRoots(Arc::new(config)))
    }
}

/// Builds a client on a connector.
pub(super) fn build_client<S>(
    connector: Connector<S>,
    roots: &TlsRoots,
    connect_timeout: Duration,
) -> awc::Client
where
    S: Service<
            ConnectInfo<Uri>,
            Response = Connection<Uri, TcpStream>,
            Error = awc_connect::ConnectError,
        > + Clone
        + 'static,
{
    let connector = connector
        .rustls_0_23(roots.0.clone())
        .timeout(connect_timeout)
        .handshake_timeout(connect_timeout)
        // no connection limit: admission control must be the only queue
        .limit(0);
    awc::Client::builder()
        .connector(connector)
        .max_http_version(awc::http::Version::HTTP_11)
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}
