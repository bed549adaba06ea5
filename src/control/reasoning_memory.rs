//! The reasoning memory as its owner sees it: it can be emptied, and who did it is written down.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::owner_limits::AffectedLimits;
use crate::control::{ChangeOutcome, Control, beside};
use crate::domain::api_error::ApiError;
use crate::store::ChangeTransaction;

impl Control {
    /// Throws away everything that models' thoughts are kept of, and says how many entries that were.
    pub async fn purge_memory(&self, grant: &Grant<may::PurgeMemory>) -> Result<u64, ApiError> {
        let Some(memory) = self.memory.clone() else {
            return Ok(0);
        };
        let entries = blocking(move || memory.purge()).await?;
        let note = move |_: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let (subject, detail) = ("reasoning_memory".to_owned(), json!({ "entries": entries }));
            Ok(ChangeOutcome {
                answer: entries,
                subject,
                detail,
                touched: AffectedLimits::default(),
            })
        };
        self.apply(grant.actor(), "reasoning_memory.purge", note)
            .await
    }
}
