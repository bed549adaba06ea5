//! The write-ahead log as ledger, sync thread and writer share it: appends records, reports the three positions
//! (always applied <= synced <= written) and lets callers wait for them. A record reaches the writer only once it is synced.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::event::LedgerEvent;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::refusals::Refusals;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::wal::error::AppendError;
use crate::store::wal::file::{ActiveSegment, SegmentedLog};
use crate::store::wal::segment::{RECORD_BYTES_MAX, begin_record, payload_bytes};
use crate::store::wal::state::{BACKLOG_MAX, ChangeJob, WalState};
use crate::store::wal::stats::WalStats;
use crate::store::wal::watermark::Watermark;

/// Time after a failed append during which the log is reported as failing; only the next append shows the truth.
const FAILING: Duration = Duration::from_secs(5);
/// Largest buffer that a thread keeps for its next record.
const RECORD_BYTES_KEPT: usize = 16 * 1024;

thread_local! {
    /// the record that a thread encodes
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Write-ahead log of one data folder.
pub struct Wal {
    pub(super) state: Mutex<WalState>,
    /// wakes the sync thread
    pub(super) sync_wake: Condvar,
    /// wakes the writer
    pub(super) writer_wake: Condvar,
    pub(super) synced: Watermark,
    pub(super) applied: watch::Sender<u64>,
    pub(super) folder_lost: watch::Sender<bool>,
    wait_for_disk: bool,
    pub(super) refusals: Refusals,
}

impl Wal {
    /// `applied`: last record in the books; `replayed`: the records after it.
    pub(in crate::store) fn new(
        log: SegmentedLog,
        replayed: Vec<(u64, Arc<LedgerEvent>)>,
        applied: u64,
        open_holds: usize,
        wait_for_disk: bool,
    ) -> Wal {
        let synced = Watermark::from(log.synced());
        Wal {
            state: Mutex::new(WalState::new(log, replayed, open_holds, wait_for_disk)),
            sync_wake: Condvar::new(),
            writer_wake: Condvar::new(),
            synced,
            applied: watch::channel(applied).0,
            folder_lost: watch::channel(false).0,
            wait_for_disk,
            refusals: Refusals::default(),
        }
    }

    /// Appends one record and returns its sequence number. The ledger calls this under its own lock, so that the record and the
    /// change in memory are one step.
    pub fn append(&self, event: Arc<LedgerEvent>) -> Result<u64, AppendError> {
        RECORD.with_borrow_mut(|record| {
            begin_record(record);
            let encoded = event.encode_into(record);
            encoded.map_err(|error| AppendError::Failed(error.to_string()))?;
            let appended = self.append_record(event, record);
            if record.capacity() > RECORD_BYTES_KEPT {
                *record = Vec::new();
            }
            appended
        })
    }

    fn append_record(
        &self,
        event: Arc<LedgerEvent>,
        record: &mut Vec<u8>,
    ) -> Result<u64, AppendError> {
        let payload = payload_bytes(record);
        if payload > RECORD_BYTES_MAX {
            return Err(AppendError::Failed(format!(
                "record of {payload} bytes exceeds the limit of {RECORD_BYTES_MAX}"
            )));
        }
        let mut state = self.lock();
        state.check_room(&event, payload as u64)?;
        let appended = state
            .log
            .append(record)
            .map_err(|error| AppendError::Failed(error.to_string()));
        state.track_append(&appended);
        let sequence = appended?;
        state.count_open_holds(&event);
        state.backlog.push_back((sequence, event));
        let (now, unsynced) = (Instant::now(), state.unsynced());
        state.oldest_pending.get_or_insert(now);
        let wakes_sync = state.sync_policy.record_written(now, unsynced);
        let wakes_writer = state.log.needs_writer();
        // a thread that is woken under the lock would wait for it, and the release would have to wake it again
        drop(state);
        if wakes_sync {
            self.sync_wake.notify_one();
        }
        if wakes_writer {
            self.writer_wake.notify_one();
        }
        Ok(sequence)
    }

    /// Returns once a record may be acted on: at once with `ledger.sync = "os"`, after its fsync with `"disk"`. The caller sets the
    /// deadline.
    pub async fn wait_committed(&self, sequence: u64) {
        if self.wait_for_disk {
            self.synced.reached(sequence).await;
        }
    }

    /// Returns once everything written by now is in the books. The caller sets the deadline.
    pub async fn wait_posted(&self) {
        let written = {
            let mut state = self.lock();
            state.await_posting(*self.applied.borrow());
            state.log.written()
        };
        self.sync_wake.notify_one();
        self.writer_wake.notify_one();
        // `self` owns the sender, so the channel cannot close
        let _ = self
            .applied
            .subscribe()
            .wait_for(|applied| *applied >= written)
            .await;
        // the commit of the records has taken those before it
        if self.refusals.request_writing() {
            let state = self.lock();
            self.writer_wake.notify_one();
            drop(state);
        }
        self.refusals.wait_written().await;
    }

    /// Returns once the data folder was found deleted or replaced.
    pub async fn folder_lost(&self) {
        // `self` owns the sender, so the channel cannot close
        let _ = self.folder_lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Refusals on their way to the books; they bypass the log.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Changes whenever rows were posted to the books.
    pub fn postings(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub fn metrics(&self) -> WalStats {
        let state = self.lock();
        WalStats {
            written: state.log.written(),
            synced: state.log.synced(),
            applied: *self.applied.borrow(),
            unsynced_ms: state.sync_policy.oldest_age(Instant::now()).as_millis() as u64,
            backlog: state.backlog.len(),
            mapped: state.log.is_mapped(),
            disk_low: state.disk_low,
            folder_lost: state.folder_lost,
            log_failing: state
                .append_failed_at
                .is_some_and(|at| at.elapsed() < FAILING),
            sync_failing: state.sync_failing,
            behind: state.backlog.len() >= BACKLOG_MAX,
            books_failing: state.books_failing,
            retention_rows: state.retention.rows,
        }
    }

    /// Snapshot of the segment that is being written.
    pub(in crate::store) fn active(&self) -> ActiveSegment {
        self.lock().log.active()
    }

    /// Sets the retention cutoffs; the writer deletes older rows when it is idle.
    pub(in crate::store) fn set_retention(&self, cutoffs: RetentionCutoffs) {
        if self.lock().retention.restart(cutoffs) {
            self.writer_wake.notify_one();
        }
    }

    /// Queues a change for the writer.
    pub(in crate::store) fn submit(&self, job: ChangeJob) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.stopping || state.folder_lost {
            return Err(StoreError::Closed);
        }
        let after = state.log.written();
        state.jobs.push_back((after, job));
        state.sync_policy.request_sync();
        self.sync_wake.notify_one();
        self.writer_wake.notify_one();
        Ok(())
    }

    /// Asks both threads to finish and end.
    pub(in crate::store) fn stop(&self) {
        self.lock().stopping = true;
        self.sync_wake.notify_one();
        self.writer_wake.notify_one();
    }

    pub(in crate::store) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases the lock until the thread is woken or the time is up.
pub(super) fn wait_on<'a>(
    wake: &Condvar,
    state: MutexGuard<'a, WalState>,
    at_most: Duration,
) -> MutexGuard<'a, WalState> {
    wake.wait_timeout(state, at_most)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}
