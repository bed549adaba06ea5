//! Write-ahead log of the ledger, `ledger/NNNNNN.log`: `handle` appends and reports positions, `file` and `segment` know the bytes,
//! `recovery` reads them after a start, `sync_thread` calls fsync as `sync_policy` says. Records are never changed once written,
//! and a sequence number is never assigned twice.

pub(in crate::store) mod error;
pub(in crate::store) mod file;
pub(in crate::store) mod handle;
mod open_subjects;
pub(in crate::store) mod recovery;
pub(in crate::store) mod segment;
mod segment_window;
pub(in crate::store) mod state;
pub(in crate::store) mod stats;
mod sync_policy;
pub(in crate::store) mod sync_thread;
mod sync_work;
#[cfg(test)]
mod tests;
mod watermark;
pub(in crate::store) mod writer_work;
