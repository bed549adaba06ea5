//! Purge of the reasoning memory, with its audit event.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::{AffectedLimits, ChangeOutcome};
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::ApiError;
use crate::store::ChangeTransaction;

impl Control {
    /// Deletes all stored reasoning; returns the number of entries.
    pub async fn purge_memory(&self, grant: &Grant<may::PurgeMemory>) -> Result<u64, ApiError> {
        let Some(memory) = self.memory.clone() else {
            return Ok(0);
        };
        let entries = blocking(move || memory.purge()).await?;
        let purge = move |_: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let (subject, detail) = ("reasoning_memory".to_owned(), json!({ "entries": entries }));
            Ok(ChangeOutcome {
                answer: entries,
                subject,
                detail,
                affected: AffectedLimits::default(),
            })
        };
        self.apply(grant.actor(), "reasoning_memory.purge", purge)
            .await
    }
}
