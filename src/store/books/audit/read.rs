//! Pages of the audit log and its checkpoints, as of the last commit. A page reads a bounded number of lines and says where the next
//! one begins.

use std::ops::ControlFlow;

use redb::ReadableDatabase;

use crate::audit::tree::Frontier;
use crate::store::audit_state::AuditState;
use crate::store::books::audit::append::state;
use crate::store::books::audit::lines;
use crate::store::books::audit::prove::Nodes;
use crate::store::books::store::Store;
use crate::store::books::tables::{AUDIT_CHECKPOINTS, AUDIT_STATE, META};
use crate::store::error::StoreError;

/// Lines to read: `from..to`, by sequence number.
#[derive(Clone, Copy, Debug)]
pub struct AuditScan {
    pub from: u64,
    pub to: u64,
    pub newest_first: bool,
    /// accepted lines at most
    pub limit: usize,
    /// lines that are read at most
    pub lines_max: usize,
    /// bytes of accepted lines after which the page ends
    pub bytes_max: usize,
}

/// Accepted lines with their sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    pub lines: Vec<(u64, String)>,
    /// the last line that was read, if the scan ended before its range did
    pub stopped_at: Option<u64>,
}

impl Store {
    /// Audit events after a sequence number, oldest first, as JSON lines.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<String>, StoreError> {
        let scan = AuditScan {
            from: after.saturating_add(1),
            to: u64::MAX,
            newest_first: false,
            limit,
            lines_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let page = self.audit_page(&scan, |_| true)?;
        Ok(page.lines.into_iter().map(|(_, line)| line).collect())
    }

    /// A page of the lines that `accepts` takes.
    pub fn audit_page(
        &self,
        scan: &AuditScan,
        accepts: impl Fn(&str) -> bool,
    ) -> Result<AuditPage, StoreError> {
        let transaction = self.database.open()?.begin_read()?;
        let (mut page, mut read, mut bytes) = (AuditPage::default(), 0, 0);
        let visit = |seq: u64, line: &str| {
            if !(scan.from..scan.to).contains(&seq) {
                return ControlFlow::Break(());
            }
            read += 1;
            if accepts(line) {
                bytes += line.len();
                page.lines.push((seq, line.to_owned()));
            }
            let is_full = page.lines.len() >= scan.limit || bytes >= scan.bytes_max;
            if is_full || read >= scan.lines_max {
                page.stopped_at = Some(seq);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        if scan.limit == 0 {
            return Ok(page);
        }
        if scan.newest_first {
            lines::backwards(&transaction, scan.to, visit)?;
        } else {
            lines::forwards(&transaction, scan.from, visit)?;
        }
        Ok(page)
    }

    /// Last event that a copy of the audit log has; 0 before the first.
    pub fn audit_cursor(&self, name: &'static str) -> Result<u64, StoreError> {
        let transaction = self.database.open()?.begin_read()?;
        let row = transaction.open_table(META)?.get(name)?;
        Ok(row.map_or(0, |seq| seq.value()))
    }

    /// Number of events of the audit log.
    pub fn audit_size(&self) -> Result<u64, StoreError> {
        Ok(self.audit_state()?.tree.size())
    }

    /// Signed checkpoints of sizes in `after..=to`, ascending.
    pub fn audit_checkpoints(
        &self,
        after: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let transaction = self.database.open()?.begin_read()?;
        let rows = transaction.open_table(AUDIT_CHECKPOINTS)?;
        let mut notes = Vec::new();
        for row in rows.range(after.saturating_add(1)..=to)?.take(limit) {
            notes.push(row?.1.value().to_owned());
        }
        Ok(notes)
    }

    /// Tree over the first `size` events, so that later ones can be verified without them.
    pub fn audit_tree_at(&self, size: u64) -> Result<Frontier, StoreError> {
        let transaction = self.database.open()?.begin_read()?;
        let nodes = Nodes::of(&transaction)?;
        let (mut peaks, mut start) = (Vec::new(), 0);
        for height in (0..u64::BITS)
            .rev()
            .filter(|height| size >> height & 1 == 1)
        {
            peaks.push(nodes.node(height, start >> height)?);
            start += 1 << height;
        }
        Frontier::new(size, peaks).ok_or_else(|| StoreError::Record {
            kind: "audit tree",
            reason: "its size does not fit its nodes".into(),
        })
    }

    pub(in crate::store) fn audit_state(&self) -> Result<AuditState, StoreError> {
        let transaction = self.database.open()?.begin_read()?;
        state(&transaction.open_table(AUDIT_STATE)?)
    }
}
