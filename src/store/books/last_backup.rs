//! Last backup of these books: instant and actor. Absent before the first.

use redb::ReadableDatabase;

use crate::store::books::store::Store;
use crate::store::books::tables::{BACKUP_BY, BACKUP_MS, META, WORDS};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::error::StoreError;

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastBackup {
    pub at_ms: u64,
    /// in the form of the audit log
    pub actor: String,
}

impl Store {
    pub fn last_backup(&self) -> Result<Option<LastBackup>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let at_ms = read.open_table(META)?.get(BACKUP_MS)?.map(|at| at.value());
        let words = read.open_table(WORDS)?;
        let actor = words.get(BACKUP_BY)?.map(|by| by.value().to_owned());
        Ok(at_ms
            .zip(actor)
            .map(|(at_ms, actor)| LastBackup { at_ms, actor }))
    }
}

impl ChangeTransaction<'_> {
    /// Stores a backup that is about to be copied, so that the copy names itself.
    pub fn note_backup(&mut self, backup: &LastBackup) -> Result<(), StoreError> {
        self.meta()?.insert(BACKUP_MS, backup.at_ms)?;
        let mut words = self.transaction.open_table(WORDS)?;
        words.insert(BACKUP_BY, backup.actor.as_str())?;
        Ok(())
    }
}
