//! Attribution of a call as stated by the client: end user (stored only as a pseudonym) and tag. Used to read and filter
//! records; it never influences a decision, and the gateway never vouches for it upstream.

use std::fmt;

use ring::hmac;

const TAG_BYTES_MAX: usize = 64;

/// Attribution of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// pseudonym of `user` or `metadata.user_id` in the request
    pub user: Option<UserHash>,
    /// header `x-gatekeeper-tag`
    pub tag: Option<Tag>,
}

/// Pseudonym of an end user: the first 64 bits of HMAC-SHA-256 keyed with the instance id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserHash(pub u64);

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Pseudonym generator: stable within an instance, different between instances.
#[derive(Clone, Debug)]
pub struct Pseudonyms(hmac::Key);

impl Pseudonyms {
    pub fn new(instance: [u8; 16]) -> Pseudonyms {
        Pseudonyms(hmac::Key::new(hmac::HMAC_SHA256, &instance))
    }

    pub fn user(&self, user: &str) -> UserHash {
        let digest = hmac::sign(&self.0, user.as_bytes());
        UserHash(
            digest
                .as_ref()
                .iter()
                .take(8)
                .fold(0, |hash, byte| (hash << 8) | u64::from(*byte)),
        )
    }
}

/// Tag chosen by the caller: 1 to 64 bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// Parses a tag; `None` if it is empty, too long or not visible ASCII.
    pub fn parse(bytes: &[u8]) -> Option<Tag> {
        let is_valid =
            (1..=TAG_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        is_valid.then(|| Tag(bytes.iter().map(|byte| char::from(*byte)).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonym_is_stable_per_instance_and_differs_between_instances() {
        let [here, there] = [[7; 16], [8; 16]].map(Pseudonyms::new);
        assert_eq!(here.user("ann@example.com"), here.user("ann@example.com"));
        assert_ne!(here.user("ann@example.com"), here.user("bob@example.com"));
        assert_ne!(here.user("ann@example.com"), there.user("ann@example.com"));
        assert_eq!(UserHash(0xab).to_string(), "00000000000000ab");
    }

    #[test]
    fn tag_parse_accepts_only_short_visible_ascii() {
        for text in ["a", "team=x/build:42", &"x".repeat(64)] {
            assert_eq!(
                Tag::parse(text.as_bytes()).as_ref().map(Tag::as_str),
                Some(text)
            );
        }
        for text in ["", "a b", "a\n", "é", "\u{7f}", &"x".repeat(65)] {
            assert_eq!(Tag::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
