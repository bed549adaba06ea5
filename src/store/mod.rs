//! State on disk, and the only folder that knows redb: the books (`gatekeeper.redb`) with their writer thread, the write-ahead log
//! (`ledger/`) with its sync thread, and the disposable files of the reasoning memory (`memory.redb`), the captured calls
//! (`capture.redb`) and the cache (`cache.redb`). Accepts and returns types of `domain`; it never decides about access, budgets or
//! prices. Inside this folder paths name the file that has the item, never this list.

pub mod answer_cache;
mod applied_sheet;
mod audit_state;
mod backend;
pub mod backup;
mod books;
pub mod captures;
mod ceilings_file;
mod codec;
pub mod disk;
mod error;
mod identity;
mod linked_files;
mod log_throttle;
pub mod mapping;
mod migrate;
mod open;
mod options;
pub mod reasoning_memory;
mod refusals;
mod retention_cutoffs;
mod rollup;
pub mod seal;
#[cfg(test)]
mod tests;
mod wal;

pub use applied_sheet::{AppliedSheet, SheetName, sha256};
pub use books::alerts::UndeliveredAlert;
pub use books::audit::append::AuditEvent;
pub use books::audit::read::{AuditPage, AuditScan};
pub use books::clock::KnownWindows;
pub use books::feed::FeedCursor;
pub use books::last_backup::LastBackup;
pub use books::records::{
    EntryHead, FeedPage, Record, RecordIndex, RequestLogEntry, Scan, ScanPage,
};
pub use books::recovery::RecoveredState;
pub use books::store::Store;
pub use books::tenants::{ChangeTransaction, RowChange, Tenants};
pub use books::verify::report::{Difference, Part, VerifyReport};
pub use books::verify::verification::Verification;
pub use ceilings_file::ceilings_in;
pub use error::StoreError;
pub use options::{Options, SealKeyCheck};
pub use refusals::Refusals;
pub use retention_cutoffs::RetentionCutoffs;
pub use rollup::{RollupKey, RollupPeriod, RollupSums, StatedKey, StatedKind};
pub use wal::error::AppendError;
pub use wal::handle::Wal;
pub use wal::stats::WalStats;
