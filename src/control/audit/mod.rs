//! The audit log of the control plane: `events` makes every event, `queries` lists and follows them, `export` hands out what an outsider
//! needs to check the log, `checkpoints` signs it.

pub(super) mod checkpoints;
pub(super) mod denials;
pub mod events;
pub mod export;
pub mod forward;
pub(super) mod process_events;
pub mod queries;
pub mod verification;
