//! Live sessions of the dashboard in memory. A call is authenticated without a read of the store; the time of the last call is kept
//! here and stored now and then by `control`.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::auth::key;
use crate::domain::id::UserId;
use crate::domain::secret::Secret;
use crate::domain::sign_in::Session;
use crate::domain::tenant::SecretHash;

/// 32 random bytes in hex: the secret of a session or link.
pub fn generate_token() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    ))
}

/// Hash of a token, under which its session or link is stored.
pub fn hash(token: &str) -> SecretHash {
    key::hash(token)
}

#[derive(Debug, Default)]
pub struct SessionTable(RwLock<HashMap<SecretHash, Entry>>);

#[derive(Debug)]
struct Entry {
    session: Session,
    /// time of the last call; `session.seen_ms` is the stored one
    seen_ms: AtomicU64,
}

impl Entry {
    fn current(&self) -> Session {
        Session {
            seen_ms: self.seen_ms.load(Ordering::Relaxed),
            ..self.session.clone()
        }
    }
}

impl SessionTable {
    pub fn new(sessions: Vec<Session>) -> SessionTable {
        let table = SessionTable::default();
        sessions.into_iter().for_each(|session| table.put(session));
        table
    }

    pub fn put(&self, session: Session) {
        let entry = Entry {
            seen_ms: AtomicU64::new(session.seen_ms),
            session,
        };
        self.write().insert(entry.session.hash, entry);
    }

    /// Live session of a token, which is used by that.
    pub fn find(&self, token: &str, now_ms: u64) -> Option<Session> {
        let sessions = self.read();
        let entry = sessions.get(&hash(token))?;
        let session = entry.current();
        if !session.is_live(now_ms) {
            return None;
        }
        entry.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
        Some(session)
    }

    pub fn remove(&self, hash: &SecretHash) {
        self.write().remove(hash);
    }

    /// Live sessions, latest sign-in first.
    pub fn all(&self, now_ms: u64) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.read().values().map(Entry::current).collect();
        sessions.retain(|session| session.is_live(now_ms));
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_ms));
        sessions
    }

    /// Hashes of the sessions of a user.
    pub fn of_user(&self, user: UserId) -> Vec<SecretHash> {
        let sessions = self.read();
        let of_user = sessions.values().filter(|entry| entry.session.user == user);
        of_user.map(|entry| entry.session.hash).collect()
    }

    /// Sessions whose stored time is older than the last call by at least this, and those that ended.
    pub fn unstored(&self, now_ms: u64, stale_ms: u64) -> Vec<Session> {
        let sessions = self.read();
        let unstored = sessions.values().filter(|entry| {
            let current = entry.current();
            !current.is_live(now_ms) || current.seen_ms >= entry.session.seen_ms + stale_ms
        });
        unstored.map(Entry::current).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<SecretHash, Entry>> {
        self.0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<SecretHash, Entry>> {
        self.0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sign_in::{SESSION_IDLE_MS, SESSION_MS};

    #[test]
    fn session_is_prolonged_by_calls_and_gone_once_removed() {
        let token = generate_token().expect("random bytes");
        let session = Session {
            hash: hash(token.expose()),
            user: UserId(3),
            created_ms: 0,
            seen_ms: 0,
            until_ms: SESSION_MS,
            address: "127.0.0.1".into(),
        };
        let table = SessionTable::new(vec![session.clone()]);
        let half = SESSION_IDLE_MS / 2;
        for calls in 1..4 {
            assert!(table.find(token.expose(), half * calls).is_some());
        }
        assert_eq!(table.unstored(half * 3, half).len(), 1);
        assert!(
            table
                .find(token.expose(), half * 3 + SESSION_IDLE_MS)
                .is_none()
        );
        assert_eq!(table.of_user(UserId(3)), [session.hash]);
        table.remove(&session.hash);
        assert!(table.find(token.expose(), half).is_none());
    }
}
