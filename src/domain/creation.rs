//! Creation of an object with an idempotency key, as it is kept for repetitions of the call.

/// A repetition within this time returns the object; later it creates another one.
pub const CREATION_MS: u64 = 24 * 3_600_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// SHA-256 of path and body of the call
    pub call_hash: [u8; 32],
    /// id of the created object
    pub id: String,
    pub at_ms: u64,
}

impl Creation {
    pub fn has_ended(&self, now_ms: u64) -> bool {
        now_ms >= self.at_ms.saturating_add(CREATION_MS)
    }
}
