//! TLS of outgoing connections: roots, client certificates, HTTP/1.1 only, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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

    /// Handshake with a host as written in a URL, an IPv6 address in brackets.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.0.clone())
            .connect(name, stream)
            .await
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
    let stream = destination::connect_any(&addresses).await?;
    tls.secure(stream, host).await
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
