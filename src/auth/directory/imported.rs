//! Callers with secrets of another gateway. That gateway stored the plain SHA-256 of a secret; here only a keyed hash of it is stored,
//! so that neither the books nor a copy of the other gateway's table leads to the other. The look-up is asked only while it has
//! entries. The key of the hash is derived from the seal key and is never stored or shown.

use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::auth::directory::caller::Caller;
use crate::auth::directory::sharded_map::ShardedMap;
use crate::domain::tenant::SecretHash;

/// Imported secrets by their keyed hash.
#[derive(Clone, Default)]
pub struct ImportedSecrets {
    callers: ShardedMap<SecretHash, Arc<Caller>>,
    count: usize,
    /// absent before the seal key is read: no secret is found
    key: Option<Arc<hmac::Key>>,
}

impl fmt::Debug for ImportedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedSecrets")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl ImportedSecrets {
    /// Caller of the secret with this SHA-256.
    pub(super) fn caller(&self, sha256: &SecretHash) -> Option<&Arc<Caller>> {
        if self.count == 0 {
            return None;
        }
        self.callers.get(&self.keyed(sha256)?)
    }

    /// HMAC-SHA-256 of the SHA-256 of a secret; `None` without a key.
    pub(super) fn keyed(&self, sha256: &SecretHash) -> Option<SecretHash> {
        let key = self.key.as_ref()?;
        let mut keyed = [0; 32];
        keyed.copy_from_slice(hmac::sign(key, sha256).as_ref());
        Some(keyed)
    }

    pub(super) fn with_key(mut self, key: &[u8; 32]) -> ImportedSecrets {
        self.key = Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
        self
    }

    pub(super) fn insert(&mut self, keyed: SecretHash, caller: Arc<Caller>) {
        if self.callers.get(&keyed).is_none() {
            self.count += 1;
        }
        self.callers.insert(keyed, caller);
    }

    pub(super) fn remove(&mut self, keyed: &SecretHash) {
        if self.callers.remove(keyed).is_some() {
            self.count -= 1;
        }
    }
}
