//! Signed notes of C2SP (`c2sp.org/signed-note`): text, an empty line, and signature lines; with Ed25519 keys and their text form
//! `NAME+ID+BASE64`, which Go's `sumdb/note` and other tools read.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// First byte of a public key in its text form, and of the hash that its id is taken from.
const ALGORITHM_ED25519: u8 = 1;
const SIGNATURE_LINE: &str = "— ";
const NOTE_BYTES_MAX: usize = 64 * 1024;
const SIGNATURES_MAX: usize = 100;

/// Reason why a note is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    Malformed,
    /// no signature is of a known key
    UnknownKey,
    /// the signature of a known key is wrong
    InvalidSignature,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoteError::Malformed => "malformed note",
            NoteError::UnknownKey => "signed by another key",
            NoteError::InvalidSignature => "invalid signature",
        })
    }
}

/// Public key under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    /// `None`: the name is empty or has a space or a `+`.
    pub fn new(name: &str, key: [u8; 32]) -> Option<PublicKey> {
        let is_name = !name.is_empty()
            && !name.contains(|letter: char| {
                letter.is_whitespace() || letter.is_control() || letter == '+'
            });
        is_name.then(|| PublicKey {
            name: name.to_owned(),
            key,
        })
    }

    /// Parses the text form; its id must be that of name and key.
    pub fn parse(text: &str) -> Option<PublicKey> {
        let (name, rest) = text.split_once('+')?;
        let (id, encoded) = rest.split_once('+')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (algorithm, key) = bytes.split_first()?;
        let key = PublicKey::new(name, key.try_into().ok()?)?;
        (*algorithm == ALGORITHM_ED25519 && hex(&key.id()) == id).then_some(key)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under another name.
    pub fn named(&self, name: &str) -> Option<PublicKey> {
        PublicKey::new(name, self.key)
    }

    fn id(&self) -> [u8; 4] {
        let hashed = [
            self.name.as_bytes(),
            b"\n",
            &[ALGORITHM_ED25519],
            &self.key[..],
        ]
        .concat();
        let hash = digest(&SHA256, &hashed);
        let mut id = [0; 4];
        id.copy_from_slice(&hash.as_ref()[..4]);
        id
    }
}

/// Text form.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&[ALGORITHM_ED25519], &self.key[..]].concat());
        write!(f, "{}+{}+{encoded}", self.name, hex(&self.id()))
    }
}

/// Private key under a name.
pub struct Signer {
    public: PublicKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl Signer {
    /// `None`: the name is invalid, or the seed has not 32 bytes.
    pub fn new(name: &str, seed: &[u8]) -> Option<Signer> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        let public = PublicKey::new(name, key)?;
        Some(Signer { public, pair })
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a text, which must end with a line feed.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let encoded = STANDARD.encode([&self.public.id()[..], signature.as_ref()].concat());
        format!("{text}\n{SIGNATURE_LINE}{} {encoded}\n", self.public.name)
    }
}

/// The text of a note that one of the keys has signed. Signatures of other keys are ignored.
pub fn open<'n>(note: &'n str, keys: &[PublicKey]) -> Result<&'n str, NoteError> {
    let (text, signatures) = split(note).ok_or(NoteError::Malformed)?;
    let mut error = NoteError::UnknownKey;
    let mut is_signed = false;
    for signature in signatures {
        let (name, id, bytes) = signature.ok_or(NoteError::Malformed)?;
        let known = keys.iter().find(|key| key.name == name && key.id() == id);
        let Some(key) = known else {
            continue;
        };
        let verified = UnparsedPublicKey::new(&ED25519, key.key).verify(text.as_bytes(), &bytes);
        is_signed |= verified.is_ok();
        if verified.is_err() {
            error = NoteError::InvalidSignature;
        }
    }
    if is_signed && error != NoteError::InvalidSignature {
        Ok(text)
    } else {
        Err(error)
    }
}

type SignatureParts<'n> = Option<(&'n str, [u8; 4], Vec<u8>)>;

/// Text, and the signatures that follow the last empty line.
fn split(note: &str) -> Option<(&str, impl Iterator<Item = SignatureParts<'_>>)> {
    let is_control = |byte: u8| byte < b' ' && byte != b'\n';
    if note.len() > NOTE_BYTES_MAX || note.bytes().any(is_control) {
        return None;
    }
    let (before, signatures) = note.rsplit_once("\n\n")?;
    let text = note.get(..before.len() + 1)?;
    let lines = signatures.strip_suffix('\n')?;
    if lines.is_empty() || lines.split('\n').count() > SIGNATURES_MAX {
        return None;
    }
    Some((text, lines.split('\n').map(parse_signature)))
}

fn parse_signature(line: &str) -> SignatureParts<'_> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_LINE)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    (!name.is_empty() && !signature.is_empty()).then(|| (name, *id, signature.to_vec()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Go's package `sumdb/note` documents this key and note
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PRIVATE: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNED: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(name: &str) -> Signer {
        let private = STANDARD.decode(PRIVATE).expect("base64");
        Signer::new(name, &private[1..]).expect("a signer")
    }

    #[test]
    fn note_and_key_equal_the_vectors_of_sumdb_note() {
        let key = PublicKey::parse(KEY).expect("a key");
        assert_eq!(key.to_string(), KEY);
        let signer = signer("PeterNeumann");
        assert_eq!(signer.public_key(), &key);
        let note = signer.sign(TEXT);
        assert_eq!(note, format!("{TEXT}\n{SIGNED}"));
        assert_eq!(open(&note, &[key]), Ok(TEXT));
    }

    #[test]
    fn key_with_any_part_missing_or_changed_is_rejected() {
        for from in 0..KEY.len() {
            for to in from + 1..=KEY.len() {
                if (from, to) != (0, KEY.len()) {
                    assert_eq!(PublicKey::parse(&KEY[from..to]), None);
                }
            }
        }
        for at in 0..KEY.len() {
            let mut bytes = KEY.as_bytes().to_vec();
            bytes[at] += 1;
            let text = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(PublicKey::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn note_changed_anywhere_is_rejected() {
        let key = PublicKey::parse(KEY).expect("a key");
        let note = format!("{TEXT}\n{SIGNED}");
        for (at, letter) in note.char_indices().filter(|(_, letter)| letter.is_ascii()) {
            let other = if letter == 'A' { "B" } else { "A" };
            let changed = [&note[..at], other, &note[at + 1..]].concat();
            assert!(
                open(&changed, std::slice::from_ref(&key)).is_err(),
                "at {at}"
            );
        }
        for malformed in [
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            format!("{TEXT}{SIGNED}"),
            note.trim_end().to_owned(),
            format!("{note}\n"),
            format!("{TEXT}\n— PeterNeumann\n"),
            format!("{TEXT}\r\n{SIGNED}"),
        ] {
            let error = open(&malformed, std::slice::from_ref(&key));
            assert_eq!(error, Err(NoteError::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn note_needs_a_valid_signature_of_a_known_key() {
        let key = PublicKey::parse(KEY).expect("a key");
        let keys = std::slice::from_ref(&key);
        let other = signer("Enoch");
        assert_eq!(open(&other.sign(TEXT), keys), Err(NoteError::UnknownKey));
        let both = format!("{}{SIGNED}", other.sign(TEXT));
        assert_eq!(
            open(&both, keys),
            Ok(TEXT),
            "unknown signatures are ignored"
        );
        let wrong = format!("{}\n{SIGNED}", TEXT.to_uppercase());
        assert_eq!(open(&wrong, keys), Err(NoteError::InvalidSignature));
        assert_eq!(PublicKey::new("a b", [0; 32]), None);
        assert_eq!(PublicKey::new("a+b", [0; 32]), None);
    }
}
