//! Upgrade of an audit log without a tree: its rows become the first leaves, as canonical JSON, in one transaction.

use redb::{ReadableTable, WriteTransaction};
use serde_json::Value;

use crate::audit::jcs::canonical;
use crate::store::books::audit::append::AuditLog;
use crate::store::books::database::create_audit_tables;
use crate::store::books::tables::AUDIT;
use crate::store::error::StoreError;

/// Builds tree and segments over the rows of the table `audit`.
pub(in crate::store) fn add_tree(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut lines = Vec::new();
    for row in transaction.open_table(AUDIT)?.iter()? {
        lines.push(canonical_line(row?.1.value())?);
    }
    transaction.delete_table(AUDIT)?;
    create_audit_tables(transaction)?;
    let mut log = AuditLog::open(transaction, None)?;
    for line in lines {
        log.append_line(&line)?;
    }
    log.store()
}

fn canonical_line(line: &str) -> Result<String, StoreError> {
    let value: Value = serde_json::from_str(line).map_err(|error| StoreError::Record {
        kind: "audit event",
        reason: error.to_string(),
    })?;
    Ok(canonical(&value))
}
