//! The audit log of the control plane: `events` makes every event, `queries` lists and follows them, `export` hands out what an outsider
//! needs to check the log, `checkpoints` signs it.

pub(super) mod checkpoints;
pub mod events;
pub mod export;
pub mod queries;
