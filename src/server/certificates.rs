//! Certificate of the listener: reads a pair of PEM files, or makes a self-signed one, and hands the pair in force to each
//! handshake. A pair that cannot be used never replaces a usable one, and open connections keep theirs.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::TlsSource;

/// Files of a self-signed pair in the data folder.
const SELF_SIGNED: (&str, &str) = ("tls-self-signed.pem", "tls-self-signed.key");

/// The pair in force and the files that it came from.
#[derive(Debug)]
pub struct Certificates {
    files: (PathBuf, PathBuf),
    in_force: ArcSwap<CertifiedKey>,
    /// state of the files at the last attempt to read them
    seen: Mutex<FileTimes>,
}

/// Result of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    Unchanged,
    Replaced,
    /// the old pair stays in force
    Refused(CertificateError),
}

/// Reason why a pair cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {cause}", file.display())]
pub struct CertificateError {
    file: PathBuf,
    cause: String,
}

/// Inode and time of change, seconds and nanoseconds; `None` for a file that is absent.
type FileTimes = [Option<(u64, i64, i64)>; 2];

impl Certificates {
    /// Reads the pair; makes the self-signed one if it is absent.
    pub fn open(source: &TlsSource, data: &Path) -> Result<Arc<Certificates>, CertificateError> {
        let files = match source {
            TlsSource::Files { certificate, key } => (certificate.clone(), key.clone()),
            TlsSource::SelfSigned => {
                let files = (data.join(SELF_SIGNED.0), data.join(SELF_SIGNED.1));
                if !files.0.exists() || !files.1.exists() {
                    make_self_signed(&files)?;
                }
                files
            }
        };
        let seen = file_times(&files);
        let pair = read(&files)?;
        Ok(Arc::new(Certificates {
            files,
            in_force: ArcSwap::from_pointee(pair),
            seen: Mutex::new(seen),
        }))
    }

    /// Reads the files again if they have changed since the last attempt.
    pub fn reload_if_changed(&self) -> Reload {
        let times = file_times(&self.files);
        if *self.seen.lock().unwrap_or_else(|error| error.into_inner()) == times {
            return Reload::Unchanged;
        }
        self.reload()
    }

    /// Reads the files again.
    pub fn reload(&self) -> Reload {
        let times = file_times(&self.files);
        *self.seen.lock().unwrap_or_else(|error| error.into_inner()) = times;
        match read(&self.files) {
            Ok(pair) if pair.cert == self.in_force.load().cert => Reload::Unchanged,
            Ok(pair) => {
                self.in_force.store(Arc::new(pair));
                Reload::Replaced
            }
            Err(error) => Reload::Refused(error),
        }
    }

    /// Instant at which the certificate in force ends, in milliseconds since 1970; `None` if it cannot be read.
    pub fn not_after_ms(&self) -> Option<u64> {
        let pair = self.in_force.load();
        not_after_ms(pair.cert.first()?)
    }

    /// TLS 1.2 and 1.3 with HTTP/1.1 as the only protocol offered.
    pub(super) fn server_config(self: &Arc<Certificates>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(InForce(self.clone())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Gives each handshake the pair that is in force then.
#[derive(Debug)]
struct InForce(Arc<Certificates>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.in_force.load_full())
    }
}

/// End of a certificate. The TLS library parses it and has no accessor; a verification for an instant after every end names it.
fn not_after_ms(certificate: &CertificateDer<'_>) -> Option<u64> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = verifier.build().ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let after = UnixTime::since_unix_epoch(Duration::from_secs(u64::from(u32::MAX) * 64));
    let refused = verifier.verify_server_cert(certificate, &[], &name, &[], after);
    match refused.err()? {
        rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext {
            not_after,
            ..
        }) => Some(not_after.as_secs() * 1_000),
        _ => None,
    }
}

fn file_times(files: &(PathBuf, PathBuf)) -> FileTimes {
    [&files.0, &files.1].map(|file| {
        let found = fs::metadata(file).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    })
}

fn read(files: &(PathBuf, PathBuf)) -> Result<CertifiedKey, CertificateError> {
    let (certificate, key) = files;
    let failed = |file: &Path, cause: String| CertificateError {
        file: file.to_owned(),
        cause,
    };
    let text = read_file(certificate)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| failed(certificate, format!("invalid PEM: {error}")))?;
    if chain.is_empty() {
        return Err(failed(certificate, "no certificate in the file".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?)
        // the library's message may not repeat the key, but it need not be trusted to
        .map_err(|_| failed(key, "no private key in PEM in the file".to_owned()))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider)
        .map_err(|error| failed(key, format!("unusable with its certificate: {error}")))
}

fn read_file(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|error| CertificateError {
        file: file.to_owned(),
        cause: format!("failed to read the file ({error}); check its path and owner"),
    })
}

/// Certificate for the host's names, for clients that are told to trust it.
fn make_self_signed(files: &(PathBuf, PathBuf)) -> Result<(), CertificateError> {
    let failed = |cause: String| CertificateError {
        file: files.0.clone(),
        cause: format!("failed to make a self-signed certificate: {cause}"),
    };
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend((!host.trim().is_empty()).then(|| host.trim().to_owned()));
    let made =
        rcgen::generate_simple_self_signed(names).map_err(|error| failed(error.to_string()))?;
    write(&files.1, 0o600, &made.signing_key.serialize_pem())
        .and_then(|()| write(&files.0, 0o644, &made.cert.pem()))
        .map_err(|error| failed(error.to_string()))
}

fn write(file: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    io::Write::write_all(&mut options.open(file)?, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::zone::Zone;

    fn self_signed() -> (tempfile::TempDir, Arc<Certificates>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let opened = Certificates::open(&TlsSource::SelfSigned, folder.path()).expect("a pair");
        (folder, opened)
    }

    #[test]
    fn certificate_self_signed_is_made_once_with_a_private_key_of_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, opened) = self_signed();
        let key = folder.path().join(SELF_SIGNED.1);
        let mode = fs::metadata(&key).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Certificates::open(&TlsSource::SelfSigned, folder.path()).expect("a pair");
        assert_eq!(again.in_force.load().cert, opened.in_force.load().cert);
    }

    #[test]
    fn certificate_end_is_read() {
        let (_folder, opened) = self_signed();
        let end_ms = opened.not_after_ms().expect("an end");
        // rcgen's default
        assert_eq!(Zone::utc().rfc3339(end_ms), "4096-01-01T00:00:00Z");
    }

    #[test]
    fn certificate_bad_pair_leaves_the_old_one_in_force() {
        let (folder, opened) = self_signed();
        let (other_folder, other) = self_signed();
        let before = opened.in_force.load().cert.clone();
        assert_eq!(opened.reload_if_changed(), Reload::Unchanged);
        fs::copy(
            other_folder.path().join(SELF_SIGNED.0),
            folder.path().join(SELF_SIGNED.0),
        )
        .expect("copied");
        let Reload::Refused(error) = opened.reload() else {
            panic!("a certificate of another key")
        };
        assert!(error.to_string().contains(SELF_SIGNED.1), "{error}");
        assert_eq!(opened.in_force.load().cert, before);
        fs::copy(
            other_folder.path().join(SELF_SIGNED.1),
            folder.path().join(SELF_SIGNED.1),
        )
        .expect("copied");
        assert_eq!(opened.reload(), Reload::Replaced);
        assert_eq!(opened.in_force.load().cert, other.in_force.load().cert);
    }

    #[test]
    fn certificate_unreadable_file_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("cert.pem");
        for (text, expected) in [
            ("", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nnonsense", "invalid PEM"),
        ] {
            fs::write(&file, text).expect("written");
            let source = TlsSource::Files {
                certificate: file.clone(),
                key: file.clone(),
            };
            let error = Certificates::open(&source, folder.path()).expect_err(text);
            assert!(error.to_string().contains("cert.pem"), "{error} {expected}");
        }
    }
}
