//! Sessions of the dashboard and one-time links. The secrets of both are known by their SHA-256 alone.

use crate::domain::id::UserId;
use crate::domain::tenant::SecretHash;

/// A session ends after so long without a call.
pub const SESSION_IDLE_MS: u64 = 12 * 3_600_000;
/// A session ends so long after its sign-in.
pub const SESSION_MS: u64 = 7 * 24 * 3_600_000;
/// A session that an issuer of another system vouched for ends so long after its sign-in.
pub const OIDC_SESSION_MS: u64 = 12 * 3_600_000;
/// Link that creates the first owner, or resets a password from the machine itself.
pub const SETUP_LINK_MS: u64 = 15 * 60_000;
/// Link that an administrator sends to a person.
pub const INVITATION_MS: u64 = 72 * 3_600_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub hash: SecretHash,
    pub user: UserId,
    pub created_ms: u64,
    /// time of a recent call; not stored more often than every few minutes
    pub seen_ms: u64,
    /// end, however much it is used
    pub until_ms: u64,
    /// address of the client at sign-in
    pub address: String,
}

impl Session {
    pub fn is_live(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms && now_ms < self.seen_ms.saturating_add(SESSION_IDLE_MS)
    }

    /// Id in lists and events: the first eight bytes of the hash.
    pub fn id(&self) -> String {
        let bytes = self.hash[..8].iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Link that lets a person set a password, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInLink {
    pub hash: SecretHash,
    /// `None`: the person becomes a new owner of the instance
    pub user: Option<UserId>,
    pub expires_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ends_when_idle_and_after_seven_days() {
        let session = |seen_ms| Session {
            hash: [7; 32],
            user: UserId(1),
            created_ms: 1_000,
            seen_ms,
            until_ms: 1_000 + SESSION_MS,
            address: String::new(),
        };
        assert!(session(1_000).is_live(1_000 + SESSION_IDLE_MS - 1));
        assert!(!session(1_000).is_live(1_000 + SESSION_IDLE_MS));
        let last = 1_000 + SESSION_MS;
        assert!(session(last - 1).is_live(last - 1) && !session(last - 1).is_live(last));
        assert_eq!(session(0).id(), "0707070707070707");
    }
}
