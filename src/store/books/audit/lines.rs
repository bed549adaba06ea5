//! Lines of the audit log by sequence number, forwards and backwards, over sealed segments and the open one. Reads the rows that it
//! visits and nothing else.

use std::ops::ControlFlow;

use redb::ReadTransaction;

use crate::store::books::tables::{AUDIT, AUDIT_SEGMENTS};
use crate::store::error::StoreError;

/// Visits the lines from a sequence number on, in order.
pub(in crate::store) fn forwards(
    read: &ReadTransaction,
    from: u64,
    mut visit: impl FnMut(u64, &str) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let segments = read.open_table(AUDIT_SEGMENTS)?;
    let holding = segments.range(..=from)?.next_back().transpose()?;
    let start = holding.map_or(0, |(first, _)| first.value());
    for row in segments.range(start..)? {
        let (first, bytes) = row?;
        for (index, line) in segment(bytes.value())?.lines().enumerate() {
            let seq = first.value() + index as u64;
            if seq >= from && visit(seq, line).is_break() {
                return Ok(());
            }
        }
    }
    for row in read.open_table(AUDIT)?.range(from..)? {
        let (seq, line) = row?;
        if visit(seq.value(), line.value()).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Visits the lines before a sequence number, newest first.
pub(in crate::store) fn backwards(
    read: &ReadTransaction,
    before: u64,
    mut visit: impl FnMut(u64, &str) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for row in read.open_table(AUDIT)?.range(..before)?.rev() {
        let (seq, line) = row?;
        if visit(seq.value(), line.value()).is_break() {
            return Ok(());
        }
    }
    for row in read.open_table(AUDIT_SEGMENTS)?.range(..before)?.rev() {
        let (first, bytes) = row?;
        let lines: Vec<&str> = segment(bytes.value())?.lines().collect();
        for (index, line) in lines.iter().enumerate().rev() {
            let seq = first.value() + index as u64;
            if seq < before && visit(seq, line).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn segment(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(|error| StoreError::Record {
        kind: "audit segment",
        reason: error.to_string(),
    })
}
