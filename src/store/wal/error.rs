//! Errors of the write-ahead log: `AppendError` for a record that was not taken, `WalError` for a log that cannot be opened.
//! Each names the file or the state and the remedy. A `WalError` returned by `open` means that nothing was written.

use std::io;

use crate::store::error::StoreError;

/// Reason why a record was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("failed to write the ledger log: {0}")]
    Failed(String),
    #[error("disk space low; free some space, requests resume once it is freed")]
    DiskLow,
    #[error(
        "the books are {0} records behind the ledger log; requests resume once they have caught up"
    )]
    Behind(usize),
    #[error("the data folder was deleted or replaced; put it back and start the gateway again")]
    FolderLost,
    #[error("the ledger is closing")]
    Closing,
}

/// Reason why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("ledger log: {0}")]
    Io(#[from] io::Error),
    #[error(
        "{segment} is damaged at byte {offset}: record {sequence} was on disk and is unreadable; restore a backup, or accept the loss of \
         all records of this segment and of later ones that are not in gatekeeper.redb; in the data folder: {repair}"
    )]
    Corrupt {
        segment: String,
        offset: u64,
        sequence: u64,
        repair: String,
    },
    #[error(
        "{segment} belongs to another data folder or to the time before a restore; move it away, in the data folder: \
         mv {segment} {segment}.foreign"
    )]
    Foreign { segment: String },
    #[error(
        "the ledger log begins at record {found}, but gatekeeper.redb ends at {applied}: a segment is missing; put it back"
    )]
    Gap { applied: u64, found: u64 },
    #[error("unreadable record {sequence} in {segment}: {reason}")]
    Unreadable {
        segment: String,
        sequence: u64,
        reason: String,
    },
}

impl From<WalError> for StoreError {
    fn from(error: WalError) -> StoreError {
        StoreError::Log(error.to_string())
    }
}
