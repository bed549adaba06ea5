//! Secrets of one sign-in through an issuer. One random secret in the browser's cookie gives the state, the nonce and the PKCE verifier,
//! so that the server keeps nothing of a sign-in that has not ended, and an answer belongs to the browser that asked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::auth::session::generate_token;
use crate::domain::secret::Secret;

/// Time from the redirect to the answer at most.
pub const ATTEMPT_MS: u64 = 10 * 60_000;

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Attempt {
    /// `MILLISECONDS.HEX`
    secret: Secret,
}

impl Attempt {
    pub fn begin(now_ms: u64) -> Result<Attempt, getrandom::Error> {
        let random = generate_token()?;
        Ok(Attempt {
            secret: Secret::new(format!("{now_ms}.{}", random.expose())),
        })
    }

    /// Reads a cookie; `None` if it is malformed or too old.
    pub fn of_cookie(value: &str, now_ms: u64) -> Option<Attempt> {
        let (begun, random) = value.split_once('.')?;
        let begun_ms: u64 = begun.parse().ok()?;
        let is_fresh = begun_ms <= now_ms && now_ms - begun_ms < ATTEMPT_MS;
        let is_whole = random.len() == 64 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_fresh && is_whole).then(|| Attempt {
            secret: Secret::new(value),
        })
    }

    /// Value of the cookie.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    pub fn state(&self) -> String {
        self.derived("state")
    }

    pub fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// `code_verifier` of RFC 7636.
    pub fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// `code_challenge` for the method `S256`.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier().as_bytes()))
    }

    fn derived(&self, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, purpose.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_is_the_same_in_its_cookie_until_it_ends() {
        let attempt = Attempt::begin(5_000).expect("random bytes");
        let cookie = attempt.secret().expose().to_owned();
        let read = Attempt::of_cookie(&cookie, 5_000 + ATTEMPT_MS - 1).expect("fresh");
        assert_eq!(
            (read.state(), read.nonce(), read.verifier()),
            (attempt.state(), attempt.nonce(), attempt.verifier())
        );
        assert_ne!(attempt.state(), attempt.nonce());
        assert!(attempt.verifier().len() >= 43, "RFC 7636, section 4.1");
        assert!(Attempt::of_cookie(&cookie, 5_000 + ATTEMPT_MS).is_none());
        assert!(Attempt::of_cookie(&cookie, 4_999).is_none());
        assert!(Attempt::of_cookie(&cookie[..40], 5_000).is_none());
        assert!(Attempt::of_cookie("", 5_000).is_none());
    }
}
