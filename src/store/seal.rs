//! Seal key of the instance, stored beside the books and never in them; keys derived from it by purpose; and authenticated encryption
//! of content that must not lie in clear text on the disk. It must never print a key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ring::hmac;
use zeroize::Zeroizing;

use crate::domain::secret::Secret;

/// File of the seal key, below the data folder.
pub const KEY_FILE: &str = "seal.key";
/// A shorter secret could be guessed.
const SECRET_LETTERS_MIN: usize = 32;
const SECRET_BYTES_MAX: u64 = 4_096;
const NONCE_BYTES: usize = 24;

/// Key-encryption key; all other keys are derived from it.
#[derive(Clone)]
pub struct SealKey(hmac::Key);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Makes the key of a secret that the operator stores elsewhere; the configuration checks its length.
    pub fn of_secret(secret: &Secret) -> SealKey {
        SealKey(hmac::Key::new(
            hmac::HMAC_SHA256,
            secret.expose().as_bytes(),
        ))
    }

    /// Reads the key of a data folder, or creates one that only its owner can read.
    pub fn in_folder(folder: &Path) -> io::Result<SealKey> {
        match SealKey::present_in(folder)? {
            Some(key) => Ok(key),
            None => SealKey::of_text(&create(folder, &folder.join(KEY_FILE))?),
        }
    }

    /// Reads the key of a data folder; `None` if there is none.
    pub fn present_in(folder: &Path) -> io::Result<Option<SealKey>> {
        let file = match File::open(folder.join(KEY_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut written = String::new();
        file.take(SECRET_BYTES_MAX).read_to_string(&mut written)?;
        SealKey::of_text(&written).map(Some)
    }

    fn of_text(written: &str) -> io::Result<SealKey> {
        let letters = written.trim();
        if letters.len() < SECRET_LETTERS_MIN {
            let message = format!(
                "invalid seal key; it needs at least {SECRET_LETTERS_MIN} letters, remove the file to create a new one"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(SealKey::of_secret(&Secret::new(letters)))
    }

    /// Name of the key, which reveals nothing of it: tells an operator which key a backup needs.
    pub fn id(&self) -> String {
        let derived = self.for_purpose("name of the seal key");
        derived[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Derives the key for one purpose; it reveals neither this key nor that of another purpose.
    pub fn for_purpose(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.0, purpose.as_bytes()).as_ref());
        key
    }
}

/// Content sealed with a data key of its own.
pub struct SealedRecord {
    pub data_key: Vec<u8>,
    pub content: Vec<u8>,
}

impl SealKey {
    /// Seals a record with a new data key; `None` without random numbers. `about` names the record.
    pub fn seal_record(&self, purpose: &str, about: &[u8], plain: &[u8]) -> Option<SealedRecord> {
        let mut data_key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *data_key).ok()?;
        Some(SealedRecord {
            content: Seal::new(*data_key).seal(about, plain)?,
            data_key: Seal::new(self.for_purpose(purpose)).seal(about, &*data_key)?,
        })
    }

    /// Opens a record; `None` if the key or `about` differ, or the bytes are damaged.
    pub fn open_record(
        &self,
        purpose: &str,
        about: &[u8],
        (data_key, content): (&[u8], &[u8]),
    ) -> Option<Zeroizing<Vec<u8>>> {
        let opened = Seal::new(self.for_purpose(purpose)).open(about, data_key)?;
        let data_key: Zeroizing<[u8; 32]> = Zeroizing::new(opened.try_into().ok()?);
        Seal::new(*data_key)
            .open(about, content)
            .map(Zeroizing::new)
    }
}

/// Creates the key atomically: a kill leaves no partial file.
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

/// Authenticated encryption for one purpose.
pub struct Seal(XChaCha20Poly1305);

impl Seal {
    pub fn new(key: [u8; 32]) -> Seal {
        Seal(XChaCha20Poly1305::new(&key.into()))
    }

    /// Encrypts `plain`; `open` needs the same key and the same associated data `about`.
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

    /// Decrypts; `None` if key or associated data differ, or the bytes are damaged.
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
    fn seal_key_in_folder_is_created_once_and_readable_by_its_owner_only() {
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
    fn seal_key_file_too_short_is_refused() {
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
    fn record_has_a_data_key_of_its_own_and_opens_for_its_name_and_purpose_only() {
        let key = SealKey::of_secret(&Secret::new("k".repeat(32)));
        let seal = |about: &[u8]| {
            let sealed = key.seal_record("credentials", about, b"sk-secret");
            sealed.expect("random numbers")
        };
        let (sealed, again) = (seal(b"openai"), seal(b"openai"));
        assert_ne!(sealed.data_key, again.data_key);
        let parts = (&sealed.data_key[..], &sealed.content[..]);
        let open = |key: &SealKey, purpose: &str, about: &[u8], parts| {
            let opened = key.open_record(purpose, about, parts);
            opened.map(|plain| plain.to_vec())
        };
        let plain = Some(b"sk-secret".to_vec());
        assert_eq!(open(&key, "credentials", b"openai", parts), plain);
        assert_eq!(open(&key, "credentials", b"other", parts), None);
        assert_eq!(open(&key, "captures", b"openai", parts), None);
        let other = SealKey::of_secret(&Secret::new("o".repeat(32)));
        assert_eq!(open(&other, "credentials", b"openai", parts), None);
        let swapped = (&again.data_key[..], &sealed.content[..]);
        assert_eq!(open(&key, "credentials", b"openai", swapped), None);
    }

    #[test]
    fn sealed_bytes_open_only_with_same_key_and_associated_data() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.seal(b"about", b"reasoning").expect("sealed");
        assert_ne!(
            sealed,
            seal.seal(b"about", b"reasoning").expect("sealed"),
            "each nonce differs"
        );
        assert!(!sealed.windows(6).any(|window| window == b"reason"));
        assert_eq!(
            seal.open(b"about", &sealed).as_deref(),
            Some(&b"reasoning"[..])
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
