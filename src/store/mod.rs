//! The only folder that knows redb: the books (`gatekeeper.redb`) and the thread that writes them, the ledger's log beside them
//! and the thread that syncs it; and the disposable memory of what models thought. What it hands out are the nouns of `domain`; it
//! decides nothing.

mod books;
mod codec;
pub mod disk;
mod log_throttle;
pub mod reasoning_memory;
pub mod seal;
#[cfg(test)]
mod tests;
mod wal;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::domain::alert::AlertKind;
use crate::domain::event::Hold;
use crate::domain::event::{Charge, StatusClass};
use crate::domain::id::KeyId;
use crate::domain::money::Money;
use crate::domain::zone::Zone;
pub use crate::store::books::alerts::UndeliveredAlert;
pub use crate::store::books::clock::KnownWindows;
use crate::store::books::feed::Feed;
pub use crate::store::books::feed::FeedCursor;
pub use crate::store::books::records::{
    EntryHead, FeedPage, Record, RecordIndex, RequestLogEntry, Scan, ScanPage,
};
pub use crate::store::books::refusals::Refusals;
pub use crate::store::books::retention::RetentionCutoffs;
pub use crate::store::books::tenants::{AuditEvent, ChangeTransaction, Tenants};
use crate::store::books::verify::ConcurrentPostings;
pub use crate::store::books::verify::{Difference, Part, Verification, VerifyReport};
use crate::store::disk::{Below, Disk};
use crate::store::wal::file::WalError;
pub use crate::store::wal::{AppendError, Wal, WalStats};

/// What can go wrong in the store, in an operator's words.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the data folder has never been set up; run `gatekeeper init --data FOLDER` first")]
    NotInitialised,
    #[error(
        "gatekeeper.redb holds nothing, though this data folder was set up: the books are damaged; nothing was written; restore a backup"
    )]
    Emptied,
    #[error("the data folder is set up already; remove it to start anew")]
    AlreadyInitialised,
    #[error(
        "gatekeeper.redb was written by a newer release (schema {found}, this one knows {known}); nothing was written; run that release"
    )]
    NewerSchema { found: u32, known: u32 },
    #[error(
        "gatekeeper.redb was written before the first release (schema {found}, this one knows {known}) and cannot be read; \
         nothing was written; move the data folder away and set up a new one"
    )]
    OlderSchema { found: u32, known: u32 },
    #[error(
        "gatekeeper.redb was written with timezone = {booked:?} and the configuration says {set:?}: every budget would start anew and \
         reports would lack what is booked; nothing was written; set timezone = {booked:?}, or begin a new data folder"
    )]
    OtherZone { booked: String, set: String },
    #[error("{0}")]
    Log(String),
    #[error("gatekeeper.redb: {0}")]
    Database(String),
    #[error("a stored record of kind {kind} cannot be read: {reason}")]
    Record { kind: &'static str, reason: String },
    #[error("the books were not verified: {0}")]
    NotVerified(String),
    #[error("the store is closed")]
    Closed,
}

impl From<WalError> for StoreError {
    fn from(error: WalError) -> StoreError {
        StoreError::Log(error.to_string())
    }
}

/// How the store is opened.
#[derive(Clone)]
pub struct Options {
    pub disk: Arc<dyn Disk>,
    pub zone: Zone,
    pub segment_bytes: u64,
    /// free space under which new holds are refused
    pub disk_reserve_mb: u64,
    /// requests wait for `fdatasync`
    pub wait_for_disk: bool,
    /// create the books if there are none
    pub create: bool,
}

/// What a restart has to know: the open holds and the balances as of the last record of the log.
#[derive(Debug, Default)]
pub struct RecoveredState {
    pub holds: Vec<Hold>,
    pub balances: Vec<(Charge, Money)>,
    /// calls of earlier ends that are booked at their ceiling and not corrected
    pub orphans: u64,
    /// what budgets have said of their windows
    pub told: Vec<(Charge, AlertKind)>,
    /// what was found odd and put right, for the log
    pub remarks: Vec<String>,
    /// records read again from the log
    pub replayed: u64,
}

/// One row of the hour or day roll-ups.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    pub start_ms: u64,
    pub key: KeyId,
    pub model_asked: String,
    pub provider: String,
    pub model: String,
    pub class: StatusClass,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupSums {
    pub requests: u64,
    /// beside `requests`: what was refused took nothing
    pub refused: u64,
    pub tokens_in: u64,
    /// subset of `tokens_in`
    pub cached_in: u64,
    pub tokens_out: u64,
    pub cost: Money,
}

impl RollupSums {
    pub fn add(&mut self, other: &RollupSums) {
        self.requests = self.requests.saturating_add(other.requests);
        self.refused = self.refused.saturating_add(other.refused);
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.cached_in = self.cached_in.saturating_add(other.cached_in);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
        self.cost = self.cost.plus(other.cost);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Hour,
    Day,
}

/// The open store. Cheap to clone; the last clone to be dropped does not stop its threads: `close` does.
#[derive(Clone)]
pub struct Store {
    instance: [u8; 16],
    disk: Arc<dyn Disk>,
    database: Arc<Slot>,
    journal: Arc<Wal>,
    /// who syncs and who books
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// The database as it is open now: the writer replaces it after an I/O error, which redb never forgets by itself.
struct Slot {
    open: RwLock<Option<Arc<redb::Database>>>,
    below: Arc<Below>,
    /// what is booked while a verification runs
    booked: ConcurrentPostings,
    rows_read: RowsRead,
    newest: Feed,
}

/// What reports have read since the start.
#[derive(Default)]
struct RowsRead {
    rollups: AtomicU64,
    requests: AtomicU64,
}

impl Slot {
    fn open(&self) -> Result<Arc<redb::Database>, StoreError> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| StoreError::Database(table::REOPENING.to_owned()))
    }

    /// Whether it has to be opened anew before it can be used.
    fn is_unusable(&self) -> bool {
        self.below.failed.load(Ordering::Acquire)
            || self
                .open
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none()
    }

    fn put(&self, database: Option<Arc<redb::Database>>) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = database;
    }
}

impl Store {
    /// Opens the books, reads the log from where the books end, and starts the threads that sync and book. Refuses a newer schema and a
    /// damaged log without writing anything.
    pub fn open(options: Options) -> Result<(Store, RecoveredState), StoreError> {
        let identity = table::identify(&options)?;
        let (log, replay) = log::SegmentedLog::open(&options, &identity)?;
        let below = Arc::default();
        let database = table::open_database(&options, &below)?;
        if identity.applied == 0 {
            table::take_zone(&database, &options, !replay.events.is_empty())?;
        }
        let recovered = books::recover(&database, &replay)?;
        let database = Arc::new(Slot {
            open: RwLock::new(Some(Arc::new(database))),
            below,
            booked: ConcurrentPostings::default(),
            rows_read: RowsRead::default(),
            newest: Feed::default(),
        });
        let disk = options.disk.clone();
        let journal = Arc::new(Wal::new(
            log,
            replay.events,
            identity.applied,
            recovered.holds.len(),
            &options,
        ));
        let threads = vec![
            syncer::start(journal.clone(), options.clone()),
            writer::start(database.clone(), journal.clone(), options),
        ];
        let (instance, threads) = (identity.instance, Arc::new(Mutex::new(threads)));
        Ok((
            Store {
                instance,
                disk,
                database,
                journal,
                threads,
            },
            recovered,
        ))
    }

    /// Whose books these are: random at their creation, the same for their life.
    pub fn instance(&self) -> [u8; 16] {
        self.instance
    }

    /// The ledger's way to the log.
    pub fn wal(&self) -> Arc<Wal> {
        self.journal.clone()
    }

    /// Lets the threads finish what was handed to them and ends them.
    pub fn close(&self) {
        self.journal.stop();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
        self.database.put(None);
    }
}
