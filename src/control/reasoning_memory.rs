//! Purge of the reasoning memory, with its audit event.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::ApiError;

impl Control {
    /// Deletes all stored reasoning; returns the number of entries.
    pub async fn purge_memory(&self, grant: &Grant<may::PurgeMemory>) -> Result<u64, ApiError> {
        let Some(memory) = self.memory.clone() else {
            return Ok(0);
        };
        let entries = blocking(move || memory.purge()).await?;
        let purge = move |change: &mut Change<'_, '_>| {
            let detail = json!({ "entries": entries });
            change.audit("reasoning_memory.purge", "reasoning_memory", &detail)?;
            Ok(entries)
        };
        self.apply(grant.actor(), purge).await
    }
}
