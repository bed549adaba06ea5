//! The text of a key: makes new ones, tells a typo from an unknown key, and hashes. Never keeps a secret: only its hash
//! and its last four letters go further.

use sha2::{Digest, Sha256};

use crate::domain::secret::Secret;
use crate::domain::tenant::SecretHash;

/// Every key of a gateway begins so.
pub const PREFIX: &str = "sk-gk-";

const ADMINISTRATIVE_SLUG: &str = "master";
/// A slug that begins so would make a virtual key look like an administrative one.
const RESERVED: [&str; 2] = ["master", "admin"];
const SLUG_CHARS_MAX: usize = 24;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 28 letters of 62 are 166 bits.
const RANDOM_CHARS: usize = 28;
/// six letters of 62 hold a CRC-32
const CHECKSUM_CHARS: usize = 6;

/// A fresh key. The secret is shown once; the rest is stored.
#[derive(Debug)]
pub struct GeneratedKey {
    pub secret: Secret,
    pub hash: SecretHash,
    pub hint: String,
}

/// A virtual key, its slug taken from what people call it.
pub fn generate(name: &str) -> Result<GeneratedKey, getrandom::Error> {
    minted(&slug(name))
}

/// An administrative key.
pub fn generate_admin() -> Result<GeneratedKey, getrandom::Error> {
    minted(ADMINISTRATIVE_SLUG)
}

/// SHA-256 of the whole text. The text has 166 random bits, so that nothing slower is needed.
pub fn hash(text: &str) -> SecretHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether the checksum fits: a text that fails this was never a key of any gateway.
pub fn has_valid_checksum(text: &str) -> bool {
    let Some((head, random)) = text
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.rsplit_once('-'))
    else {
        return false;
    };
    let letters = random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if head.is_empty() || !letters || random.len() != RANDOM_CHARS + CHECKSUM_CHARS {
        return false;
    }
    let (body, written) = text.split_at(text.len() - CHECKSUM_CHARS);
    checksum(body) == written
}

fn minted(slug: &str) -> Result<GeneratedKey, getrandom::Error> {
    let mut text = format!("{PREFIX}{slug}-{}", random_letters()?);
    text.push_str(&checksum(&text));
    Ok(GeneratedKey {
        hash: hash(&text),
        hint: text[text.len() - 4..].to_owned(),
        secret: Secret::new(text),
    })
}

fn random_letters() -> Result<String, getrandom::Error> {
    /// bytes from here on would make the first letters of the alphabet likelier
    const FAIR: u8 = 62 * 4;
    let mut letters = String::with_capacity(RANDOM_CHARS);
    while letters.len() < RANDOM_CHARS {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes)?;
        let wanted = RANDOM_CHARS - letters.len();
        letters.extend(
            bytes
                .iter()
                .filter(|byte| **byte < FAIR)
                .take(wanted)
                .map(|byte| char::from(BASE62[usize::from(byte % 62)])),
        );
    }
    Ok(letters)
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut letters = [0u8; CHECKSUM_CHARS];
    for letter in letters.iter_mut().rev() {
        *letter = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    letters.iter().map(|letter| char::from(*letter)).collect()
}

/// `[a-z0-9-]`, at most 24 letters, at least one, not the look of an administrative key.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    if RESERVED.iter().any(|word| slug.starts_with(word)) {
        slug.insert_str(0, "key-");
    }
    slug.truncate(SLUG_CHARS_MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "key".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_slug_is_plain_short_and_never_looks_administrative() {
        for (name, expected) in [
            ("CI pipeline", "ci-pipeline"),
            ("--Ünïcode--", "n-code"),
            ("日本", "key"),
            ("master", "key-master"),
            ("Admin!", "key-admin"),
            (
                "a-very-long-name-that-goes-on-and-on",
                "a-very-long-name-that-go",
            ),
            ("abcdefghijklmnopqrstuvw--x", "abcdefghijklmnopqrstuvw"),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
    }

    #[test]
    fn a_minted_key_looks_right_and_one_changed_letter_does_not() {
        let minted = generate("engineering / CI").expect("randomness");
        let text = minted.secret.expose();
        assert!(
            text.starts_with("sk-gk-engineering-ci-") && has_valid_checksum(text),
            "{text}"
        );
        assert_eq!(minted.hash, hash(text));
        assert!(text.ends_with(&minted.hint));
        for at in 0..text.len() {
            let letter = if &text[at..=at] == "x" { "y" } else { "x" };
            let mistyped = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            assert!(!has_valid_checksum(&mistyped), "{mistyped}");
            assert!(!has_valid_checksum(&text[..at]), "cut at {at}");
        }
    }

    #[test]
    fn an_administrative_key_says_so() {
        let minted = generate_admin().expect("randomness");
        assert!(
            minted.secret.expose().starts_with("sk-gk-master-")
                && has_valid_checksum(minted.secret.expose())
        );
    }

    #[test]
    fn no_two_keys_are_the_same_and_every_letter_occurs() {
        let keys: Vec<String> = (0..500)
            .map(|_| random_letters().expect("randomness"))
            .collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(
            keys.iter()
                .flat_map(|key| key.chars())
                .collect::<HashSet<_>>()
                .len(),
            62
        );
    }
}
