//! Passwords: Argon2id with the parameters of OWASP's recommendation (19 MiB, 2 passes, 1 lane), which take some 15 ms of one core.
//! Blocking; the caller runs it on a pool. An unknown user costs as much as a known one.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::domain::secret::Secret;

pub const MEMORY_KIB: u32 = 19 * 1024;
pub const PASSES: u32 = 2;
const LANES: u32 = 1;
pub const CHARS_MIN: usize = 12;
pub const CHARS_MAX: usize = 256;
/// Hash that no password has; verified in place of the hash of an unknown user.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hash in PHC format with a random salt; `None` if the system gives no random bytes.
pub fn hash(password: &Secret) -> Option<String> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    let hash = argon2()?.hash_password(password.expose().as_bytes(), &salt);
    hash.ok().map(|hash| hash.to_string())
}

/// True if the password belongs to the hash. Without a hash the same work is done for nothing.
pub fn verify(password: &Secret, hash: Option<&str>) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else {
        return false;
    };
    let matches = argon2().is_some_and(|argon2| {
        argon2
            .verify_password(password.expose().as_bytes(), &parsed)
            .is_ok()
    });
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_verified_against_its_own_hash_only() {
        let password = Secret::new("correct horse battery");
        let stored = hash(&password).expect("random bytes");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(&password, Some(&stored)));
        assert!(!verify(
            &Secret::new("correct horse batterz"),
            Some(&stored)
        ));
        assert!(!verify(&password, None));
        assert_ne!(
            hash(&password),
            Some(stored),
            "each hash has a salt of its own"
        );
    }

    #[test]
    fn hash_of_nobody_is_well_formed() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
