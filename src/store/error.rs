//! `StoreError`: failures of the store, each with the state of the data folder and the remedy. Errors of redb and of the file
//! system convert into it. A message never contains a key or a prompt.

/// State of the books between an I/O error and the writer's reopening, at most a second later.
pub(in crate::store) const REOPENING: &str =
    "I/O error, the database is being reopened; try again in a second";

/// Failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("data folder not initialized; run `gatekeeper init --data FOLDER` first")]
    NotInitialised,
    #[error(
        "gatekeeper.redb is empty, but this data folder was initialized: the books are damaged; nothing was written; restore a backup"
    )]
    Emptied,
    #[error("data folder already initialized; remove it to start anew")]
    AlreadyInitialised,
    #[error(
        "gatekeeper.redb was written by a newer release (schema {found}, this one knows {known}); nothing was written; run that release"
    )]
    NewerSchema { found: u32, known: u32 },
    #[error(
        "gatekeeper.redb was written before the first release (schema {found}, this one knows {known}) and cannot be upgraded; \
         nothing was written; move the data folder away and set up a new one"
    )]
    OlderSchema { found: u32, known: u32 },
    #[error(
        "failed to copy gatekeeper.redb to {copy} before an upgrade: {reason}; nothing was upgraded; free some disk space and start again"
    )]
    Copy { copy: String, reason: String },
    #[error(
        "failed to upgrade gatekeeper.redb from schema {from} to {to}: {reason}; its rows are unchanged; fix the cause and start again"
    )]
    Upgrade { from: u64, to: u64, reason: String },
    #[error(
        "timezone = {configured:?} differs from timezone = {stored:?} of the books: budgets would start anew and reports would omit earlier \
         usage; nothing was written; set timezone = {stored:?}, or begin a new data folder"
    )]
    OtherZone { stored: String, configured: String },
    #[error(
        "{}, but credentials of providers in the books are sealed with the seal key {wanted}; nothing was written; put that key \
         back: seal.key of the data folder, or the source that seal_key names",
        present_seal_key(found.as_deref())
    )]
    SealKey {
        wanted: String,
        found: Option<String>,
    },
    #[error("{0}")]
    Log(String),
    #[error(
        "applied price sheet damaged: {0}; go back to the embedded one with `gatekeeper prices reset --offline`, then apply the file again"
    )]
    Prices(String),
    #[error("ceilings.json: {0}")]
    Ceilings(String),
    #[error("captured calls: {0}")]
    Captures(String),
    #[error("gatekeeper.redb: {0}")]
    Database(String),
    #[error("unreadable {kind} in the books: {reason}")]
    Record { kind: &'static str, reason: String },
    #[error("books not verified: {0}")]
    NotVerified(String),
    #[error("the store is closed")]
    Closed,
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        StoreError::Database(error.to_string())
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        StoreError::Database(match error {
            redb::Error::PreviousIo => REOPENING.to_owned(),
            error => error.to_string(),
        })
    }
}

macro_rules! from_database_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_database_errors!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

fn present_seal_key(found: Option<&str>) -> String {
    match found {
        Some(found) => format!("the seal key is {found}"),
        None => "the seal key is missing".to_owned(),
    }
}
