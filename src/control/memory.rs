//! The reasoning memory as its owner sees it: it can be emptied, and who did it is written down.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::owned::Touched;
use crate::control::{Control, Done, beside};
use crate::domain::problem::Problem;
use crate::store::Change;

impl Control {
    /// Throws away everything that models' thoughts are kept of, and says how many entries that were.
    pub async fn purge_memory(&self, grant: &Grant<may::PurgeMemory>) -> Result<u64, Problem> {
        let Some(memory) = self.memory.clone() else {
            return Ok(0);
        };
        let entries = beside(move || memory.purge()).await?;
        let note = move |_: &mut Change<'_>, _at_ms: u64| {
            let (subject, detail) = ("reasoning_memory".to_owned(), json!({ "entries": entries }));
            Ok(Done {
                answer: entries,
                subject,
                detail,
                touched: Touched::default(),
            })
        };
        self.carry_out(grant.actor(), "reasoning_memory.purge", note)
            .await
    }
}
