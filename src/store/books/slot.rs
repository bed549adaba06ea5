//! The database of the books as it is open now, shared by readers and the writer. The writer replaces it after an I/O error, because
//! redb refuses every operation after one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::Database;

use crate::store::backend::IoState;
use crate::store::books::concurrent_postings::ConcurrentPostings;
use crate::store::books::feed::Feed;
use crate::store::error::{REOPENING, StoreError};

pub(in crate::store) struct DatabaseSlot {
    open: RwLock<Option<Arc<Database>>>,
    pub io_state: Arc<IoState>,
    /// postings while a verification runs
    pub concurrent_postings: ConcurrentPostings,
    pub rows_read: RowsRead,
    pub feed: Feed,
}

/// Rows read by reports and changes since the start.
#[derive(Default)]
pub(in crate::store) struct RowsRead {
    /// rows of tenants that control-plane changes read
    pub changes: AtomicU64,
    pub rollups: AtomicU64,
    pub requests: AtomicU64,
}

impl DatabaseSlot {
    pub(in crate::store) fn new(database: Database, io_state: Arc<IoState>) -> DatabaseSlot {
        DatabaseSlot {
            open: RwLock::new(Some(Arc::new(database))),
            io_state,
            concurrent_postings: ConcurrentPostings::default(),
            rows_read: RowsRead::default(),
            feed: Feed::default(),
        }
    }

    /// The open database; an error while it is being reopened.
    pub(in crate::store) fn open(&self) -> Result<Arc<Database>, StoreError> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| StoreError::Database(REOPENING.to_owned()))
    }

    /// True if it must be reopened before it can be used.
    pub(in crate::store) fn is_unusable(&self) -> bool {
        self.io_state.failed.load(Ordering::Acquire)
            || self
                .open
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none()
    }

    pub(in crate::store) fn put(&self, database: Option<Arc<Database>>) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = database;
    }
}
