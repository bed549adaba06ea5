//! State of the audit log as a row. Rows are positional: the order of the fields is stored.

use serde::{Deserialize, Serialize};

use crate::audit::tree::{Frontier, Hash};
use crate::store::audit_state::AuditState;
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct AuditStateRow {
    size: u64,
    peaks: Vec<Hash>,
    open_first: u64,
    open_bytes: u64,
    signed: u64,
}

impl StoredValue for AuditState {
    const KIND: &'static str = "state of the audit log";
    type Row = AuditStateRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = (
            self.tree.size(),
            self.tree.peaks(),
            self.open_first,
            self.open_bytes,
            self.signed,
        );
        write_row(&row, into)
    }

    fn from_row(row: AuditStateRow) -> Result<AuditState, String> {
        let tree = Frontier::new(row.size, row.peaks)
            .ok_or_else(|| format!("{} events need another number of hashes", row.size))?;
        Ok(AuditState {
            tree,
            open_first: row.open_first,
            open_bytes: row.open_bytes,
            signed: row.signed,
        })
    }
}
