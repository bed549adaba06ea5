//! Verification of the stored audit log: every event, segment, node and checkpoint is read in one transaction and compared with the tree
//! that the events give. Changes nothing.

use std::ops::ControlFlow;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::PublicKey;
use crate::audit::tree::Frontier;
use crate::audit::verify::{Finding, FindingKind, Provenance, Verification, Verifier};
use crate::store::books::audit::append::{NODE_HEIGHT, state};
use crate::store::books::audit::lines;
use crate::store::books::store::Store;
use crate::store::books::tables::{
    AUDIT, AUDIT_CHECKPOINTS, AUDIT_NODES, AUDIT_SEGMENTS, AUDIT_STATE,
};
use crate::store::error::StoreError;

impl Store {
    /// Verifies the log with its own checkpoints, and with those that the caller kept; `is_wanted` is asked now and then.
    pub fn verify_audit(
        &self,
        saved: &[String],
        is_wanted: impl Fn() -> bool,
    ) -> Result<Verification, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let keys = self.audit_public_keys()?;
        let keys = keys
            .iter()
            .filter_map(|key| PublicKey::parse(key))
            .collect();
        let mut verifier = Verifier::new(keys, Frontier::default(), 1);
        for row in read.open_table(AUDIT_CHECKPOINTS)?.iter()? {
            verifier.add_checkpoint(Provenance::Own, row?.1.value());
        }
        for note in saved {
            verifier.add_checkpoint(Provenance::Saved, note);
        }
        let state = state(&read.open_table(AUDIT_STATE)?)?;
        // events after the newest checkpoint are covered by the head of the books alone
        verifier.add_head(
            Provenance::Own,
            Checkpoint {
                origin: String::new(),
                size: state.tree.size(),
                root: state.tree.root(),
            },
        );
        let mut nodes = NodeCheck::of(&read)?;
        let mut wanted = true;
        lines::forwards(&read, 0, |seq, line| {
            verifier.event(line.as_bytes(), |height, index, node| {
                nodes.compare(height, index, node);
            });
            wanted = !seq.is_multiple_of(1_024) || is_wanted();
            if wanted {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if !wanted {
            return Err(StoreError::NotVerified("the client disconnected".into()));
        }
        let mut result = verifier.finish();
        nodes.finish(&mut result)?;
        check_places(&read, state.open_first, &mut result)?;
        Ok(result)
    }
}

/// Compares the stored nodes with those that the events give.
struct NodeCheck {
    stored: redb::ReadOnlyTable<(u8, u64), &'static [u8]>,
    compared: u64,
    differing: Vec<(u32, u64)>,
}

impl NodeCheck {
    fn of(read: &ReadTransaction) -> Result<NodeCheck, StoreError> {
        Ok(NodeCheck {
            stored: read.open_table(AUDIT_NODES)?,
            compared: 0,
            differing: Vec::new(),
        })
    }

    fn compare(&mut self, height: u32, index: u64, node: &[u8; 32]) {
        if !height.is_multiple_of(NODE_HEIGHT) {
            return;
        }
        self.compared += 1;
        let stored = self.stored.get((height as u8, index));
        let is_equal = stored.is_ok_and(|row| row.is_some_and(|row| row.value() == node));
        if !is_equal {
            self.differing.push((height, index));
        }
    }

    fn finish(self, result: &mut Verification) -> Result<(), StoreError> {
        for (height, index) in &self.differing {
            let (first, last) = ((index << height) + 1, (index + 1) << height);
            let says = format!("events {first} to {last}: the stored tree is not theirs");
            add(result, FindingKind::Content, first, last, says);
        }
        let stored = redb::ReadableTableMetadata::len(&self.stored)?;
        if stored != self.compared {
            let says = format!(
                "{stored} nodes of the tree are stored; its events have {}",
                self.compared
            );
            add(result, FindingKind::Content, 1, result.size, says);
        }
        Ok(())
    }
}

/// Segments and rows stand where their events are.
fn check_places(
    read: &ReadTransaction,
    open_first: u64,
    result: &mut Verification,
) -> Result<(), StoreError> {
    let mut expected = 1;
    for row in read.open_table(AUDIT_SEGMENTS)?.iter()? {
        let (first, bytes) = row?;
        let first = first.value();
        if first != expected {
            let says = format!("segment of event {first} in the place of event {expected}");
            add(result, FindingKind::Order, expected, first, says);
        }
        expected = first + bytes.value().iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    for row in read.open_table(AUDIT)?.iter()? {
        let seq = row?.0.value();
        if seq != expected {
            let says = format!("row of event {seq} in the place of event {expected}");
            add(result, FindingKind::Order, expected, seq, says);
        }
        expected = seq + 1;
    }
    if open_first > expected {
        let says = format!("open segment from event {open_first}: its rows are missing");
        add(result, FindingKind::Truncated, expected, open_first, says);
    }
    Ok(())
}

fn add(result: &mut Verification, kind: FindingKind, first: u64, last: u64, says: String) {
    result.findings.push(Finding {
        kind,
        first: first.min(last),
        last: first.max(last),
        says,
    });
}
