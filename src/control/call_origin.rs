//! Origin of a call of the control plane, which its audit events name.

use crate::domain::id::RequestId;

/// Peer and id of a call; the default for a background task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOrigin {
    /// address of the peer; `None` on the local socket
    pub address: Option<String>,
    pub request: Option<RequestId>,
}
