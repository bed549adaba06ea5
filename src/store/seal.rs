//! The instance's own key, kept beside the books and never in them, the keys that are made of it, and the sealing of content that
//! must not lie in clear on the disk. Must never show a key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ring::hmac;

use crate::domain::secret::Secret;

/// The file of the key, below the data folder.
pub const KEY_FILE: &str = "seal.key";
/// A shorter secret can be guessed.
const SECRET_LETTERS_MIN: usize = 32;
const SECRET_BYTES_MAX: u64 = 4_096;
const NONCE_BYTES: usize = 24;

/// What all seals of this instance are made of.
#[derive(Clone)]
pub struct SealKey(hmac::Key);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Of a secret that an operator keeps elsewhere. Whether it is long enough for a key is checked where it is read.
    pub fn of_secret(secret: &Secret) -> SealKey {
        SealKey(hmac::Key::new(
            hmac::HMAC_SHA256,
            secret.expose().as_bytes(),
        ))
    }

    /// The key of a data folder; a folder without one gets one, which only its owner can read.
    pub fn in_folder(folder: &Path) -> io::Result<SealKey> {
        let path = folder.join(KEY_FILE);
        let mut written = String::new();
        match File::open(&path) {
            Ok(file) => file
                .take(SECRET_BYTES_MAX)
                .read_to_string(&mut written)
                .map(drop)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                written = create(folder, &path)?
            }
            Err(error) => return Err(error),
        }
        let letters = written.trim();
        if letters.len() < SECRET_LETTERS_MIN {
            let message = format!(
                "holds no key of at least {SECRET_LETTERS_MIN} letters; remove it, and a new one is made"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(SealKey::of_secret(&Secret::new(letters)))
    }

    /// A key for one purpose: from it nobody finds this one or that of another purpose.
    pub fn for_purpose(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.0, purpose.as_bytes()).as_ref());
        key
    }
}

/// Whole or not at all: a kill leaves no half of a key.
fn create(folder: &Path, path: &Path) -> io::Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&new)?;
    file.write_all(format!("{hex}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()?;
    Ok(hex)
}

/// Seals for one purpose.
pub struct Seal(XChaCha20Poly1305);

impl Seal {
    pub fn new(key: [u8; 32]) -> Seal {
        Seal(XChaCha20Poly1305::new(&key.into()))
    }

    /// What only `open` with the same key and the same `about` gives back.
    pub fn seal(&self, about: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let sealed = self
            .0
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: about,
                },
            )
            .ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// `None` for what was not sealed with this key about the same, or is damaged.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.0
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: about,
                },
            )
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_key_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = SealKey::in_folder(folder.path()).expect("a key");
        let again = SealKey::in_folder(folder.path()).expect("the key");
        assert_eq!(key.for_purpose("a"), again.for_purpose("a"));
        assert_ne!(key.for_purpose("a"), key.for_purpose("b"));
        let path = folder.path().join(KEY_FILE);
        assert_eq!(
            fs::metadata(&path).expect("the file").permissions().mode() & 0o777,
            0o400
        );
        assert!(!format!("{key:?}").contains(fs::read_to_string(&path).expect("the file").trim()));
        let other = tempfile::tempdir().expect("a temporary folder");
        assert_ne!(
            SealKey::in_folder(other.path())
                .expect("a key")
                .for_purpose("a"),
            key.for_purpose("a")
        );
    }

    #[test]
    fn a_file_that_holds_no_key_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(KEY_FILE), "short\n").expect("written");
        assert!(
            SealKey::in_folder(folder.path())
                .expect_err("no key")
                .to_string()
                .contains("at least 32 letters")
        );
    }

    #[test]
    fn what_is_sealed_opens_only_whole_with_its_key_and_about_the_same() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.seal(b"about", b"a thought").expect("sealed");
        assert_ne!(
            sealed,
            seal.seal(b"about", b"a thought").expect("sealed"),
            "never the same bytes"
        );
        assert!(!sealed.windows(7).any(|window| window == b"thought"));
        assert_eq!(
            seal.open(b"about", &sealed).as_deref(),
            Some(&b"a thought"[..])
        );
        assert_eq!(seal.open(b"another", &sealed), None);
        assert_eq!(Seal::new([8; 32]).open(b"about", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(b"about", &changed), None, "at {at}");
            assert_eq!(seal.open(b"about", &sealed[..at]), None, "cut at {at}");
        }
    }
}
