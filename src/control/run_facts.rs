//! Facts of the process that become known after its start: hash of its file, certificate of the listener.

use std::sync::{Arc, OnceLock};

/// Reads the instant at which the certificate in force ends.
pub type CertificateEnd = dyn Fn() -> Option<u64> + Send + Sync;

#[derive(Default)]
pub(super) struct RunFacts {
    /// in hexadecimal
    pub binary_sha256: OnceLock<String>,
    pub certificate_end: OnceLock<Arc<CertificateEnd>>,
}
