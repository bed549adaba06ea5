//! Idempotency keys: a repeated creation changes nothing and names the object of the first one. Stored are the hash of actor and key, the
//! hash of path and body, and the id of the object.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::creation::Creation;
use crate::store::ChangeTransaction;

const KEY_CHARS_MAX: usize = 255;
/// Time between two deletions of creations that ended.
const SWEEP_MS: u64 = 3_600_000;

/// `Idempotency-Key` of a call that creates an object.
#[derive(Debug)]
pub struct IdempotencyKey {
    key: String,
    call_hash: [u8; 32],
    /// id of the object that an earlier call created
    earlier: OnceLock<String>,
}

impl IdempotencyKey {
    /// `path` and `body` must be the same in a repetition.
    pub fn parse(key: &str, path: &str, body: &[u8]) -> Result<Arc<IdempotencyKey>, ApiError> {
        let valid = (1..=KEY_CHARS_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !valid {
            return Err(ApiError::invalid(format!(
                "`Idempotency-Key` must have 1 to {KEY_CHARS_MAX} visible ASCII characters, such as a UUID"
            )));
        }
        Ok(Arc::new(IdempotencyKey {
            key: key.to_owned(),
            call_hash: hash(path.as_bytes(), body),
            earlier: OnceLock::new(),
        }))
    }

    /// Id of the object that an earlier call with the key created, once the change was tried.
    pub fn earlier(&self) -> Option<&str> {
        self.earlier.get().map(String::as_str)
    }

    /// Refuses a change that an earlier call made, and notes its object.
    pub(super) fn check(
        &self,
        actor: &str,
        at_ms: u64,
        books: &mut ChangeTransaction<'_>,
    ) -> Result<(), ApiError> {
        let creation = books.creation(&self.hash_of(actor))?;
        let Some(creation) = creation.filter(|creation| !creation.has_ended(at_ms)) else {
            return Ok(());
        };
        if creation.call_hash != self.call_hash {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                "`Idempotency-Key` was used with another body within 24 hours; use a new key for a new object",
            ));
        }
        let message = format!(
            "{} was created by an earlier call with this key",
            creation.id
        );
        let _ = self.earlier.set(creation.id);
        Err(ApiError::new(ErrorCode::Conflict, message))
    }

    /// Remembers the object that the change created.
    pub(super) fn remember(
        &self,
        actor: &str,
        at_ms: u64,
        id: String,
        books: &mut ChangeTransaction<'_>,
    ) -> Result<(), ApiError> {
        let creation = Creation {
            call_hash: self.call_hash,
            id,
            at_ms,
        };
        Ok(books.put_creation(self.hash_of(actor), &creation)?)
    }

    fn hash_of(&self, actor: &str) -> [u8; 32] {
        hash(actor.as_bytes(), self.key.as_bytes())
    }
}

/// SHA-256 of two texts and the length of the first, so that no other two texts give the same bytes.
fn hash(first: &[u8], second: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((first.len() as u64).to_le_bytes());
    digest.update(first);
    digest.update(second);
    digest.finalize().into()
}

/// Time of the last deletion of creations that ended.
#[derive(Debug, Default)]
pub(super) struct CreationSweep(AtomicU64);

impl CreationSweep {
    /// Deletes them once an hour, as a part of a change.
    pub fn run(&self, at_ms: u64, books: &mut ChangeTransaction<'_>) -> Result<(), ApiError> {
        let last_ms = self.0.load(Ordering::Relaxed);
        if at_ms < last_ms.saturating_add(SWEEP_MS) {
            return Ok(());
        }
        self.0.store(at_ms, Ordering::Relaxed);
        Ok(books.remove_ended_creations(at_ms)?)
    }
}
