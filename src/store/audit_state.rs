//! State of the audit log between two events: everything that an append needs to know of the events before it.

use crate::audit::tree::Frontier;

/// State of the log: the tree's frontier, the open segment, and the size at the newest checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct AuditState {
    pub tree: Frontier,
    /// sequence number of the first event of the open segment
    pub open_first: u64,
    pub open_bytes: u64,
    pub signed: u64,
}
