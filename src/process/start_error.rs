//! Reasons why the process cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::control::PricesError;
use crate::domain::api_error::ApiError;
use crate::process::seal_key::SealKeyError;
use crate::server::CertificateError;
use crate::store::{AppendError, StoreError};
use crate::upstream::TlsFileError;

/// Reasons why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("failed to write the ledger's log: {0}")]
    Ledger(#[from] AppendError),
    #[error("data folder {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error(
        "failed to listen on {address}: {error}; stop the process that uses it, or choose another address with --listen"
    )]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("failed to create the admin socket {}: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    #[error("invalid timezone `{0}`; use an IANA name such as Europe/Berlin")]
    Timezone(String),
    #[error("{0}")]
    Setup(#[from] ApiError),
    #[error("{0}")]
    SealKey(#[from] SealKeyError),
    #[error("{0}")]
    Prices(#[from] PricesError),
    #[error("unusable certificate {0}")]
    Certificate(#[from] CertificateError),
    #[error("unusable certificates {0}")]
    TlsFile(#[from] TlsFileError),
    #[error("no random numbers from the system: {0}")]
    Random(#[from] getrandom::Error),
    #[error("failed to run the server: {0}")]
    Server(#[from] io::Error),
}
