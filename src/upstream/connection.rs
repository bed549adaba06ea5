//! Connection settings of the upstream clients: TLS roots and client certificates, HTTP/1.1, no redirects, no implicit headers, no
//! implicit timeouts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::rustls_0_23::TlsConnector;
use actix_tls::connect::tcp::TcpConnectorService;
use actix_tls::connect::{self as awc_connect, ConnectInfo, Connection};
use awc::Connector;
use awc::http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::destination;
use crate::domain::egress::{ConnectionConfig, EgressConfig};

/// TLS settings of connections to one kind of destination.
#[derive(Clone)]
pub(super) struct ClientTls(Arc<rustls::ClientConfig>);

/// Reason why a file of certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {cause}", file.display())]
pub struct TlsFileError {
    file: PathBuf,
    cause: String,
}

impl ClientTls {
    /// The roots compiled into the binary and those of the files; HTTP/1.1 only.
    pub(super) fn load(
        egress: &EgressConfig,
        connection: &ConnectionConfig,
    ) -> Result<ClientTls, TlsFileError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for file in [&egress.ca_file, &connection.ca_file].into_iter().flatten() {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| failed(file, error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(Path::new("TLS"), error))?
            .with_root_certificates(roots);
        let mut config = match &connection.client_pair {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|_| failed(key, "no private key in PEM in the file"))?;
                config
                    .with_client_auth_cert(certificates(certificate)?, private)
                    .map_err(|error| failed(key, error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ClientTls(Arc::new(config)))
    }
}

/// TLS connection to a server of the operator, whose certificate the built-in roots or those of the file vouch for.
pub async fn connect_tls(
    host: &str,
    port: u16,
    ca_file: Option<&Path>,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let settings = EgressConfig {
        proxy: None,
        ca_file: ca_file.map(Path::to_owned),
    };
    let tls = ClientTls::load(&settings, &ConnectionConfig::default()).map_err(io::Error::other)?;
    let found = destination::look_up(host, port).await;
    let addresses = found.map_err(io::Error::other)?;
    let target = ConnectInfo::new(host.to_owned()).set_addrs(addresses);
    let connection = TcpConnectorService::default().call(target).await;
    let connection = connection.map_err(io_error)?;
    let secured = TlsConnector::service(tls.0).call(connection).await?;
    Ok(secured.into_parts().0)
}

fn io_error(error: awc_connect::ConnectError) -> io::Error {
    match error {
        awc_connect::ConnectError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

/// Certificates of a PEM file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<CertificateDer<'static>> = read.map_err(|error| failed(file, error))?;
    match found.is_empty() {
        true => Err(failed(file, "no certificate in the file")),
        false => Ok(found),
    }
}

fn failed(file: &Path, cause: impl ToString) -> TlsFileError {
    TlsFileError {
        file: file.to_owned(),
        cause: cause.to_string(),
    }
}

/// Builds a client on a connector.
pub(super) fn build_client<S>(
    connector: Connector<S>,
    tls: &ClientTls,
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
        .rustls_0_23(tls.0.clone())
        .timeout(connect_timeout)
        .handshake_timeout(connect_timeout)
        // no connection limit: admission control must be the only queue
        .limit(0);
    // HTTP/1.1 by the ALPN of the TLS settings; `max_http_version` would replace these settings by none
    awc::Client::builder()
        .connector(connector)
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}
