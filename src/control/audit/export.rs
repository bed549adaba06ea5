//! Evidence for outsiders: signed checkpoints, inclusion proofs, and the pages of an export. An export is itself an event, and the
//! checkpoint that it ends with covers that event.

use serde_json::json;

use crate::audit::checkpoint::Checkpoint;
use crate::audit::proof::InclusionProof;
use crate::audit::tree::Frontier;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::error::not_found;
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::store::AuditScan;

/// Bytes of events after which a page of an export ends.
const PAGE_BYTES: usize = 4 << 20;
/// Checkpoints of a page.
const CHECKPOINTS_MAX: usize = 20_000;

/// Page of an export: events `after < seq <= to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportQuery {
    pub after: u64,
    /// begin with the first event at or after this instant instead
    pub since_ms: Option<u64>,
    /// end of the export, as its first page says; `None` for the first page
    pub to: Option<u64>,
}

/// A page of an export.
#[derive(Clone, Debug)]
pub struct ExportPage {
    pub after: u64,
    pub to: u64,
    pub lines: Vec<String>,
    /// in its range, ascending
    pub checkpoints: Vec<String>,
    pub public_keys: Vec<String>,
    /// tree over the events before the page
    pub tree: Frontier,
    /// `after` of the next page
    pub next: Option<u64>,
}

impl Control {
    /// A signed checkpoint that covers every event until now.
    pub async fn audit_checkpoint(
        &self,
        _grant: &Grant<may::ReadAudit>,
    ) -> Result<String, ApiError> {
        let note = self.sign_audit().await?;
        note.ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                "no checkpoint yet: the audit log has no event",
            )
        })
    }

    /// Public keys that sign the log, the present one last.
    pub async fn audit_public_keys(
        &self,
        _grant: &Grant<may::ReadAudit>,
    ) -> Result<Vec<String>, ApiError> {
        self.read(|store| store.audit_public_keys()).await
    }

    /// Proof that an event is in the log, with a checkpoint of now.
    pub async fn prove_audit(
        &self,
        grant: &Grant<may::ReadAudit>,
        seq: u64,
    ) -> Result<InclusionProof, ApiError> {
        let checkpoint = self.audit_checkpoint(grant).await?;
        let proof = self
            .read(move |store| store.prove_audit(seq, checkpoint))
            .await?;
        proof.ok_or_else(|| not_found("audit event", seq))
    }

    /// A page of an export. The first page records the export and fixes its end.
    pub async fn export_audit(
        &self,
        grant: &Grant<may::ReadAudit>,
        query: ExportQuery,
    ) -> Result<ExportPage, ApiError> {
        let after = match query.since_ms {
            Some(since_ms) => self.last_before(since_ms).await?,
            None => query.after,
        };
        let to = match query.to {
            Some(to) => to,
            None => self.begin_export(grant, after).await?,
        };
        let page = self
            .read(move |store| {
                let scan = AuditScan {
                    from: after.saturating_add(1),
                    to: to.saturating_add(1),
                    newest_first: false,
                    limit: usize::MAX,
                    lines_max: usize::MAX,
                    bytes_max: PAGE_BYTES,
                };
                let page = store.audit_page(&scan, |_| true)?;
                let last = page.stopped_at.unwrap_or(to);
                Ok(ExportPage {
                    after,
                    to,
                    checkpoints: store.audit_checkpoints(after, last, CHECKPOINTS_MAX)?,
                    public_keys: store.audit_public_keys()?,
                    tree: store.audit_tree_at(after)?,
                    next: page.stopped_at.filter(|last| *last < to),
                    lines: page.lines.into_iter().map(|(_, line)| line).collect(),
                })
            })
            .await?;
        Ok(page)
    }

    async fn begin_export(
        &self,
        grant: &Grant<may::ReadAudit>,
        after: u64,
    ) -> Result<u64, ApiError> {
        let end = *self.store.audit_end().borrow();
        if after > end {
            let message = format!("`after` must be at most {end}, the last event of the log");
            return Err(ApiError::invalid(message).with_param("after"));
        }
        let detail = json!({ "after": after });
        self.record(grant.actor(), "audit.export", "audit", detail)
            .await?;
        let note = self.audit_checkpoint(grant).await?;
        Ok(Checkpoint::read(&note).map_or(end, |head| head.size))
    }

    /// The last event before an instant, by bisection; 0 if there is none.
    async fn last_before(&self, at_ms: u64) -> Result<u64, ApiError> {
        self.read(move |store| {
            let (mut before, mut end) = (0, store.audit_size()?);
            while before < end {
                let middle = before + (end - before).div_ceil(2);
                let line = store.audit(middle - 1, 1)?.pop().unwrap_or_default();
                let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if event["at_ms"].as_u64().is_some_and(|found| found < at_ms) {
                    before = middle;
                } else {
                    end = middle - 1;
                }
            }
            Ok(before)
        })
        .await
    }
}
