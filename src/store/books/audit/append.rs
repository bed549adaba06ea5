//! Appending to the audit log: one line of canonical JSON, in the write transaction of the change that it records. A full segment is
//! sealed: its lines become one row, and its end is signed. An append touches a bounded number of rows, however long the log is.

use redb::{ReadableTable, WriteTransaction};
use serde_json::{Map, Value};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::jcs::canonical;
use crate::audit::note::Signer;
use crate::audit::tree::leaf_hash;
use crate::store::audit_state::AuditState;
use crate::store::books::tables::{
    AUDIT, AUDIT_CHECKPOINTS, AUDIT_NODES, AUDIT_SEGMENTS, AUDIT_STATE,
};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

/// Bytes of a sealed segment; with redb's header it fills eight pages.
pub(in crate::store) const SEGMENT_BYTES: u64 = 32_700;
/// Heights of the tree, as a multiple, whose nodes are stored; those between are computed from at most 256 below.
pub(in crate::store) const NODE_HEIGHT: u32 = 8;
/// Row of the state.
const STATE: &str = "log";

/// Audit event. It never contains a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    pub at_ms: u64,
    /// `local:uid=0`, `admin:adm_1`
    pub actor: String,
    /// address of the actor's peer, where there is one
    pub address: Option<String>,
    /// `req_…`
    pub request: Option<String>,
    /// `key.create`
    pub action: &'static str,
    /// id of the changed object
    pub subject: String,
    /// a JSON object
    pub detail: Value,
}

impl AuditEvent {
    /// The event as canonical JSON.
    fn line(&self, seq: u64) -> String {
        let mut members = Map::new();
        members.insert("seq".into(), seq.into());
        members.insert("at_ms".into(), self.at_ms.into());
        members.insert("actor".into(), self.actor.as_str().into());
        members.insert("action".into(), self.action.into());
        members.insert("subject".into(), self.subject.as_str().into());
        members.insert("detail".into(), self.detail.clone());
        for (name, value) in [("address", &self.address), ("request", &self.request)] {
            if let Some(value) = value {
                members.insert(name.into(), value.as_str().into());
            }
        }
        canonical(&members.into())
    }
}

/// Reads the state; the default before the first event.
pub(in crate::store) fn state(
    rows: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<AuditState, StoreError> {
    match rows.get(STATE)? {
        Some(row) => AuditState::decode(row.value()),
        None => Ok(AuditState::default()),
    }
}

/// Tables of the log in a write transaction.
pub(in crate::store) struct AuditLog<'t> {
    transaction: &'t WriteTransaction,
    signer: Option<&'t Signer>,
    pub state: AuditState,
}

impl<'t> AuditLog<'t> {
    pub fn open(
        transaction: &'t WriteTransaction,
        signer: Option<&'t Signer>,
    ) -> Result<AuditLog<'t>, StoreError> {
        let state = state(&transaction.open_table(AUDIT_STATE)?)?;
        Ok(AuditLog {
            transaction,
            signer,
            state,
        })
    }

    /// Appends an event; returns its sequence number.
    pub fn append(&mut self, event: &AuditEvent) -> Result<u64, StoreError> {
        let seq = self.state.tree.size() + 1;
        self.append_line(&event.line(seq))?;
        self.store()?;
        Ok(seq)
    }

    /// Appends a line without storing the state.
    pub fn append_line(&mut self, line: &str) -> Result<(), StoreError> {
        let bytes = line.len() as u64 + 1;
        if self.state.open_bytes > 0 && self.state.open_bytes + bytes > SEGMENT_BYTES {
            self.seal()?;
        }
        let seq = self.state.tree.size() + 1;
        if self.state.open_bytes == 0 {
            self.state.open_first = seq;
        }
        self.state.open_bytes += bytes;
        self.transaction.open_table(AUDIT)?.insert(seq, line)?;
        let mut nodes = Vec::new();
        let leaf = leaf_hash(line.as_bytes());
        self.state.tree.append(leaf, |height, index, node| {
            if height.is_multiple_of(NODE_HEIGHT) {
                nodes.push((height, index, *node));
            }
        });
        for (height, index, node) in nodes {
            let mut rows = self.transaction.open_table(AUDIT_NODES)?;
            rows.insert((height as u8, index), node.as_slice())?;
        }
        Ok(())
    }

    pub fn store(&self) -> Result<(), StoreError> {
        let mut rows = self.transaction.open_table(AUDIT_STATE)?;
        rows.insert(STATE, self.state.encode()?.as_slice())?;
        Ok(())
    }

    /// Signs the head of the log and stores the checkpoint; the newest one if the head is signed already. `None` without a key or an
    /// event.
    pub fn sign(&mut self) -> Result<Option<String>, StoreError> {
        let size = self.state.tree.size();
        let mut rows = self.transaction.open_table(AUDIT_CHECKPOINTS)?;
        if self.state.signed == size {
            let newest = rows.get(size)?;
            return Ok(newest.map(|note| note.value().to_owned()));
        }
        let Some(signer) = self.signer.filter(|_| size > 0) else {
            return Ok(None);
        };
        let head = Checkpoint {
            origin: signer.public_key().name().to_owned(),
            size,
            root: self.state.tree.root(),
        };
        let note = head.sign(signer);
        rows.insert(size, note.as_str())?;
        self.state.signed = size;
        Ok(Some(note))
    }

    /// Turns the rows of the open segment into one, and signs its end.
    fn seal(&mut self) -> Result<(), StoreError> {
        let mut lines = String::with_capacity(self.state.open_bytes as usize);
        {
            let open = self.transaction.open_table(AUDIT)?;
            for row in open.iter()? {
                lines.push_str(row?.1.value());
                lines.push('\n');
            }
        }
        self.transaction.delete_table(AUDIT)?;
        let mut segments = self.transaction.open_table(AUDIT_SEGMENTS)?;
        segments.insert(self.state.open_first, lines.as_bytes())?;
        self.state.open_bytes = 0;
        self.sign()?;
        Ok(())
    }
}

impl ChangeTransaction<'_> {
    /// Appends to the audit log; returns the sequence number.
    pub fn append_audit(&mut self, event: &AuditEvent) -> Result<u64, StoreError> {
        let seq = AuditLog::open(self.transaction, self.signer)?.append(event)?;
        self.appended = Some(seq);
        Ok(seq)
    }

    /// Moves the cursor of a copy of the audit log to the last event that was delivered.
    pub fn put_audit_cursor(&mut self, name: &'static str, seq: u64) -> Result<(), StoreError> {
        self.meta()?.insert(name, seq)?;
        Ok(())
    }

    /// Signs the head of the audit log.
    pub fn sign_audit(&mut self) -> Result<Option<String>, StoreError> {
        let mut log = AuditLog::open(self.transaction, self.signer)?;
        let note = log.sign()?;
        log.store()?;
        Ok(note)
    }
}
