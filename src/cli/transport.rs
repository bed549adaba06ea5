//! Connection to the server: the admin socket, TCP, or TLS with a verified certificate. Must never send a key before it knows the
//! server by its socket, its address or its certificate.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cli::http::CallError;
use crate::domain::secret::Secret;
use crate::upstream::connect_tls;

/// Time for a connection to the server, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HTTPS_PORT: u16 = 443;

/// Way to the server.
#[derive(Debug)]
pub enum Transport {
    /// authenticates by the user id of the peer
    Socket(PathBuf),
    Tcp {
        address: SocketAddr,
        host: String,
        key: Secret,
    },
    Tls {
        host: String,
        /// authority to trust beside the built-in ones
        ca_file: Option<PathBuf>,
        key: Secret,
    },
}

/// Open connection to the server.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Transport {
    /// Opens a connection, within a time limit.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, CallError> {
        let at = match self {
            Transport::Socket(socket) => socket.display().to_string(),
            Transport::Tcp { address, .. } => address.to_string(),
            Transport::Tls { host, .. } => host.clone(),
        };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        opened.map_err(|error| connect_error(at, error))
    }

    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Transport::Socket(socket) => Box::new(UnixStream::connect(socket).await?),
            Transport::Tcp { address, .. } => Box::new(TcpStream::connect(address).await?),
            Transport::Tls { host, ca_file, .. } => {
                let (name, port) = name_and_port(host);
                Box::new(connect_tls(name, port, ca_file.as_deref()).await?)
            }
        })
    }

    /// Value of the `host` header.
    pub fn host(&self) -> &str {
        match self {
            Transport::Socket(_) => "localhost",
            Transport::Tcp { host, .. } | Transport::Tls { host, .. } => host,
        }
    }

    /// Administrative key to send.
    pub fn key(&self) -> Option<&Secret> {
        match self {
            Transport::Socket(_) => None,
            Transport::Tcp { key, .. } | Transport::Tls { key, .. } => Some(key),
        }
    }
}

/// Host without brackets, and port, of `HOST[:PORT]` after `https://`.
fn name_and_port(host: &str) -> (&str, u16) {
    let after_ip = host.rfind(']').map_or(0, |end| end + 1);
    let (name, port) = match host[after_ip..].rfind(':') {
        Some(at) => (
            &host[..after_ip + at],
            host[after_ip + at + 1..].parse().unwrap_or(HTTPS_PORT),
        ),
        None => (host, HTTPS_PORT),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

fn connect_error(at: String, error: std::io::Error) -> CallError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => CallError::PermissionDenied { at },
        _ => CallError::Unreachable { at, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_https_has_the_port_443_unless_it_names_one() {
        for (host, expected) in [
            ("gateway.lan", ("gateway.lan", 443)),
            ("gateway.lan:8443", ("gateway.lan", 8443)),
            ("[::1]", ("::1", 443)),
            ("[::1]:4000", ("::1", 4000)),
        ] {
            assert_eq!(name_and_port(host), expected, "{host}");
        }
    }
}
