//! Creations with an idempotency key, by the hash of actor and key.

use redb::ReadableTable;

use crate::domain::creation::Creation;
use crate::store::books::tables::CREATIONS;
use crate::store::books::tenants::ChangeTransaction;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

impl ChangeTransaction<'_> {
    pub fn creation(&mut self, key_hash: &[u8; 32]) -> Result<Option<Creation>, StoreError> {
        let creations = self.transaction.open_table(CREATIONS)?;
        let row = creations.get(key_hash)?;
        row.map(|row| Creation::decode(row.value())).transpose()
    }

    pub fn put_creation(
        &mut self,
        key_hash: [u8; 32],
        creation: &Creation,
    ) -> Result<(), StoreError> {
        let mut creations = self.transaction.open_table(CREATIONS)?;
        creations.insert(key_hash, creation.encode()?.as_slice())?;
        Ok(())
    }

    /// Deletes creations that need not be repeatable any more.
    pub fn remove_ended_creations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let mut creations = self.transaction.open_table(CREATIONS)?;
        let ended = |bytes: &[u8]| Creation::decode(bytes).is_ok_and(|row| row.has_ended(now_ms));
        creations.retain(|_, bytes| !ended(bytes))?;
        Ok(())
    }
}
