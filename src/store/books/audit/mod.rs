//! The audit log in the books: events as rows of the open segment, sealed segments, the tree over all events, and signed checkpoints.
//! `append` writes, in the transaction of the change; `signing` has the key, `read` the pages, `prove` the proofs, `check` the
//! verification of the stored log.

pub(in crate::store) mod append;
pub(in crate::store) mod check;
pub(in crate::store) mod lines;
pub(in crate::store) mod prove;
pub(in crate::store) mod read;
pub(in crate::store) mod signing;
pub(in crate::store) mod upgrade;
