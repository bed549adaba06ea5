//! Inclusion proofs from the stored log: nodes at every eighth height are stored, those between are computed from the events of at most
//! one block of 256, or from the 256 stored nodes below.

use std::ops::ControlFlow;

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::proof::InclusionProof;
use crate::audit::tree::{Frontier, Hash, leaf_hash, node_hash, prove_inclusion};
use crate::store::books::audit::append::NODE_HEIGHT;
use crate::store::books::audit::lines;
use crate::store::books::store::Store;
use crate::store::books::tables::AUDIT_NODES;
use crate::store::error::StoreError;

/// Nodes of the tree.
pub(in crate::store) struct Nodes<'t> {
    read: &'t ReadTransaction,
    stored: ReadOnlyTable<(u8, u64), &'static [u8]>,
}

impl Nodes<'_> {
    pub fn of(read: &ReadTransaction) -> Result<Nodes<'_>, StoreError> {
        Ok(Nodes {
            read,
            stored: read.open_table(AUDIT_NODES)?,
        })
    }

    /// Root of the complete subtree at a height and index.
    pub fn node(&self, height: u32, index: u64) -> Result<Hash, StoreError> {
        if height < NODE_HEIGHT {
            return self.of_events(height, index);
        }
        if height.is_multiple_of(NODE_HEIGHT) {
            let row = self.stored.get((height as u8, index))?;
            let stored = row.and_then(|row| row.value().try_into().ok());
            return stored.ok_or_else(missing);
        }
        let left = self.node(height - 1, index * 2)?;
        let right = self.node(height - 1, index * 2 + 1)?;
        Ok(node_hash(&left, &right))
    }

    fn of_events(&self, height: u32, index: u64) -> Result<Hash, StoreError> {
        let (first, end) = ((index << height) + 1, ((index + 1) << height) + 1);
        let mut tree = Frontier::default();
        lines::forwards(self.read, first, |seq, line| {
            if seq >= end {
                return ControlFlow::Break(());
            }
            tree.append(leaf_hash(line.as_bytes()), |_, _, _| {});
            ControlFlow::Continue(())
        })?;
        if tree.size() == 1 << height {
            Ok(tree.root())
        } else {
            Err(missing())
        }
    }
}

fn missing() -> StoreError {
    StoreError::Record {
        kind: "audit tree",
        reason: "events or nodes are missing; run `gatekeeper audit export` and `audit verify`"
            .into(),
    }
}

impl Store {
    /// Proves that an event is in the log of a checkpoint; `None` if the checkpoint does not cover it.
    pub fn prove_audit(
        &self,
        seq: u64,
        checkpoint: String,
    ) -> Result<Option<InclusionProof>, StoreError> {
        let size = Checkpoint::read(&checkpoint).map_or(0, |head| head.size);
        if seq == 0 || seq > size {
            return Ok(None);
        }
        let read = self.database.open()?.begin_read()?;
        let nodes = Nodes::of(&read)?;
        let path = prove_inclusion(seq - 1, size, |height, index| nodes.node(height, index))?;
        let mut event = None;
        lines::forwards(&read, seq, |_, line| {
            event = Some(line.to_owned());
            ControlFlow::Break(())
        })?;
        Ok(Some(InclusionProof {
            index: seq - 1,
            event: event.ok_or_else(missing)?,
            path,
            checkpoint,
        }))
    }
}
