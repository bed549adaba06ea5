//! Backups and restored books: an audited hot copy, and the acceptance of books that come from a backup.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::store::LastBackup;
use crate::store::backup::create::{BackupReader, BackupRequest};

impl Control {
    /// Copies the books as of now; the audit event is inside the copy. One backup is copied at a time.
    pub async fn backup(
        &self,
        grant: &Grant<may::TakeBackup>,
        version: &'static str,
    ) -> Result<BackupReader, ApiError> {
        let Ok(_lock) = self.backup_lock.clone().try_lock_owned() else {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                "another backup is being copied; try again in a moment",
            ));
        };
        let actor = grant.actor().to_string();
        let note = move |change: &mut Change<'_, '_>| {
            change.books.note_backup(&LastBackup {
                at_ms: change.at_ms,
                actor,
            })?;
            change.audit("backup.taken", "instance", &json!({}))
        };
        self.apply(grant.actor(), note).await?;
        let request = BackupRequest {
            version,
            taken_ms: self.now_ms(),
            seal_key_id: self.seal_key_id.to_string(),
        };
        Ok(self.store.backup(request).await?)
    }

    /// Instant of the backup that the books come from, until an operator accepts it.
    pub fn restored_ms(&self) -> Option<u64> {
        self.store.restored_ms().ok().flatten()
    }

    /// Ends the degraded state after a restore.
    pub async fn accept_restore(&self, grant: &Grant<may::AcceptRestore>) -> Result<u64, ApiError> {
        let accept = |change: &mut Change<'_, '_>| {
            let Some(restored_ms) = change.books.accept_restore()? else {
                return Err(ApiError::new(
                    ErrorCode::Conflict,
                    "no restore to accept; the books come from no backup, or it was accepted already",
                ));
            };
            let detail = json!({ "backup_ms": restored_ms });
            change.audit("restore.accepted", "instance", &detail)?;
            Ok(restored_ms)
        };
        self.apply(grant.actor(), accept).await
    }
}
