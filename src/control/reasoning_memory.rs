//! Purge of the reasoning memory, with its audit event.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::ApiError;

impl Control {
    /// Deletes all stored reasoning, once the purge is recorded; returns the number of entries.
    pub async fn purge_memory(&self, grant: &Grant<may::PurgeMemory>) -> Result<u64, ApiError> {
        let Some(memory) = self.memory.clone() else {
            return Ok(0);
        };
        let detail = json!({});
        self.record(
            grant.actor(),
            "reasoning_memory.purge",
            "reasoning_memory",
            detail,
        )
        .await?;
        blocking(move || memory.purge()).await
    }
}
