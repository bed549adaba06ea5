//! On whose behalf a call was made, as its client says: the end user, kept only as a pseudonym, and a tag. For reading and
//! filtering records; nothing is decided by it, and it never goes upstream with the gateway's word for it.

use std::fmt;

use ring::hmac;

const TAG_BYTES_MAX: usize = 64;

/// What a call says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// `user` or `metadata.user_id` of the request
    pub user: Option<UserHash>,
    /// the header `x-gatekeeper-tag`
    pub tag: Option<Tag>,
}

/// An end user, told apart from others and not to be told: the first 64 bits of HMAC-SHA-256 under the instance's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserHash(pub u64);

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Turns end users into pseudonyms: the same one always, another one at another instance.
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

/// A short word of the caller's choosing: 1 to 64 bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// `None` for what is no tag.
    pub fn parse(bytes: &[u8]) -> Option<Tag> {
        let fits =
            (1..=TAG_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        fits.then(|| Tag(bytes.iter().map(|byte| char::from(*byte)).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_pseudonym_at_an_instance_and_another_elsewhere() {
        let [here, there] = [[7; 16], [8; 16]].map(Pseudonyms::new);
        assert_eq!(here.user("ann@example.com"), here.user("ann@example.com"));
        assert_ne!(here.user("ann@example.com"), here.user("bob@example.com"));
        assert_ne!(here.user("ann@example.com"), there.user("ann@example.com"));
        assert_eq!(UserHash(0xab).to_string(), "00000000000000ab");
    }

    #[test]
    fn a_tag_is_short_visible_ascii() {
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
