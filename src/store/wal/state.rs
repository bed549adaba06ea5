//! State of the write-ahead log under its one lock: the log, the backlog of the writer, pending changes and health flags.
//! Computes from them what is due; it knows no thread and never waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::event::LedgerEvent;
use crate::store::error::StoreError;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::wal::error::AppendError;
use crate::store::wal::file::SegmentedLog;
use crate::store::wal::sync_policy::{BATCH, SyncPolicy};

/// Log bytes that a hold reserves for its own settlement.
const SETTLEMENT_RESERVE_BYTES: u64 = 4096;
/// Backlog at which new holds are refused: some 100 MB, an hour of a broken disk at 50 records per second.
pub(super) const BACKLOG_MAX: usize = 200_000;

/// Age limit of a commit of the books. A start after `kill -9` replays what is younger; a change, a report and a full batch do not wait.
pub(super) const BOOKS_LINGER: Duration = Duration::from_millis(250);

/// Pause between two slices of retention, which keeps its share of the writer's time small; and after one that failed.
const RETENTION_PAUSE: Duration = Duration::from_millis(100);
const RETENTION_RETRY: Duration = Duration::from_secs(1);

/// Control-plane change, run by the writer in a transaction of its own.
pub(in crate::store) type ChangeJob = Box<dyn FnOnce(Result<&redb::Database, StoreError>) + Send>;

pub(super) struct WalState {
    pub log: SegmentedLog,
    /// records not yet posted, by sequence number without a gap
    pub backlog: VecDeque<(u64, Arc<LedgerEvent>)>,
    /// changes, each with the last record written before it
    pub jobs: VecDeque<(u64, ChangeJob)>,
    pub open_holds: u64,
    pub sync_policy: SyncPolicy,
    /// age of the backlog
    pub oldest_pending: Option<Instant>,
    /// the last fsync failed
    pub sync_failing: bool,
    /// time of the last failed append; `None` once an append succeeded
    pub append_failed_at: Option<Instant>,
    /// records whose posting reports wait for, in order
    pub awaited: VecDeque<u64>,
    pub disk_low: bool,
    /// the files were deleted or replaced: what is written to them is lost
    pub folder_lost: bool,
    pub books_failing: bool,
    pub retention: RetentionState,
    pub stopping: bool,
    /// the sync thread has ended: nothing is synced any more
    pub sync_thread_ended: bool,
}

impl WalState {
    /// `replayed`: records that recovery found after the end of the books.
    pub(super) fn new(
        log: SegmentedLog,
        replayed: Vec<(u64, Arc<LedgerEvent>)>,
        open_holds: usize,
        wait_for_disk: bool,
    ) -> WalState {
        let oldest = (!replayed.is_empty()).then(Instant::now);
        WalState {
            log,
            backlog: replayed.into(),
            jobs: VecDeque::new(),
            open_holds: open_holds as u64,
            sync_policy: SyncPolicy::new(wait_for_disk, oldest),
            oldest_pending: oldest,
            sync_failing: false,
            append_failed_at: None,
            awaited: VecDeque::new(),
            disk_low: false,
            folder_lost: false,
            books_failing: false,
            retention: RetentionState::default(),
            stopping: false,
            sync_thread_ended: false,
        }
    }

    /// Checks that an event may be logged and that its record and all reserved settlements fit.
    pub(super) fn check_room(
        &mut self,
        event: &LedgerEvent,
        payload: u64,
    ) -> Result<(), AppendError> {
        match event {
            LedgerEvent::Hold(_) => {
                let admitted = self.check_hold(payload);
                self.track_append(&admitted);
                admitted
            }
            // progress marks, however many, must not use up the bytes reserved for settlements
            LedgerEvent::Progress { .. } => self.ensure_room(self.open_holds, payload),
            LedgerEvent::Settle(_) | LedgerEvent::Release { .. } => Ok(()),
        }
    }

    fn check_hold(&mut self, payload: u64) -> Result<(), AppendError> {
        if self.stopping {
            return Err(AppendError::Closing);
        }
        if self.folder_lost {
            return Err(AppendError::FolderLost);
        }
        if self.disk_low {
            return Err(AppendError::DiskLow);
        }
        if self.backlog.len() >= BACKLOG_MAX {
            return Err(AppendError::Behind(self.backlog.len()));
        }
        self.ensure_room(self.open_holds + 1, payload)?;
        self.log
            .leave_unmapped(reserved(self.open_holds + 1, payload));
        Ok(())
    }

    /// Makes the next segment now if this many settlements and the payload would not fit into the present ones.
    fn ensure_room(&mut self, settlements: u64, payload: u64) -> Result<(), AppendError> {
        if self.log.free_bytes() < reserved(settlements, payload) {
            self.log
                .make_ready()
                .map_err(|error| AppendError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    /// Remembers when appending failed, and forgets it once one succeeded.
    pub(super) fn track_append<T>(&mut self, appended: &Result<T, AppendError>) {
        match appended {
            Err(AppendError::Failed(_)) => self.append_failed_at = Some(Instant::now()),
            Err(_) => {}
            Ok(_) => self.append_failed_at = None,
        }
    }

    pub(super) fn count_open_holds(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Hold(_) => self.open_holds += 1,
            LedgerEvent::Settle(_) | LedgerEvent::Release { .. } => {
                self.open_holds = self.open_holds.saturating_sub(1)
            }
            LedgerEvent::Progress { .. } => {}
        }
    }

    /// Records not covered by a completed fsync.
    pub(super) fn unsynced(&self) -> usize {
        self.log.written().saturating_sub(self.log.synced()) as usize
    }

    /// Synced records at the front of the backlog.
    pub(super) fn postable(&self) -> usize {
        // the backlog has no gap
        self.backlog.front().map_or(0, |(first, _)| {
            (self.log.synced() + 1).saturating_sub(*first) as usize
        })
    }

    pub(super) fn posting_due(&self, now: Instant, postable: usize) -> bool {
        postable > 0
            && (self.stopping
                || postable >= BATCH
                || self.is_posting_awaited()
                || self
                    .oldest_pending
                    .is_none_or(|since| now.duration_since(since) >= BOOKS_LINGER))
    }

    /// True if a report or a change waits for records that are in the backlog and synced. Those that are synced before the last of them
    /// are not posted for it, because the rest would take a second commit.
    fn is_posting_awaited(&self) -> bool {
        let (synced, cannot_sync) = (
            self.log.synced(),
            self.sync_failing || self.sync_thread_ended,
        );
        let unposted = self.backlog.front().map_or(u64::MAX, |(first, _)| *first);
        let change = self.jobs.front().map(|(after, _)| *after);
        let mut awaited = self.awaited.front().copied().into_iter().chain(change);
        awaited.any(|upto| upto >= unposted && (upto <= synced || cannot_sync))
    }

    /// Adds the wait of a report for the posting of everything written; `applied`: last record in the books.
    pub(super) fn await_posting(&mut self, applied: u64) {
        let written = self.log.written();
        if written > applied && self.awaited.back() != Some(&written) {
            self.awaited.push_back(written);
            self.sync_policy.request_sync();
        }
    }

    /// Drops the waits that are over.
    pub(super) fn forget_awaited(&mut self, applied: u64) {
        while self.awaited.front().is_some_and(|upto| *upto <= applied) {
            self.awaited.pop_front();
        }
    }

    /// Takes the changes whose preceding records are posted, or cannot be posted at present.
    pub(super) fn take_ready_jobs(&mut self, applied: u64, held_off: bool) -> Vec<ChangeJob> {
        let cannot_post = held_off || self.sync_failing || self.sync_thread_ended;
        let ready = self
            .jobs
            .iter()
            .take_while(|(after, _)| cannot_post || *after <= applied)
            .count();
        self.jobs.drain(..ready).map(|(_, job)| job).collect()
    }
}

/// Log bytes of a record and of this many settlements.
fn reserved(settlements: u64, payload: u64) -> u64 {
    settlements * SETTLEMENT_RESERVE_BYTES + payload
}

/// Progress of retention.
#[derive(Default)]
pub(super) struct RetentionState {
    cutoffs: RetentionCutoffs,
    unfinished: bool,
    not_before: Option<Instant>,
    pub rows: u64,
}

impl RetentionState {
    /// Begins again with new cutoffs; `false` if they are the present ones.
    pub(super) fn restart(&mut self, cutoffs: RetentionCutoffs) -> bool {
        let changed = self.cutoffs != cutoffs;
        if changed {
            self.cutoffs = cutoffs;
            self.unfinished = true;
        }
        changed
    }

    /// Cutoffs of the slice that is due.
    pub(super) fn due(&self, now: Instant) -> Option<RetentionCutoffs> {
        let rested = self.not_before.is_none_or(|until| now >= until);
        (self.unfinished && rested).then_some(self.cutoffs)
    }

    pub(super) fn next_slice(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.unfinished)
    }

    /// Counts a slice; `None`: it failed, 0 rows: nothing is left to delete.
    pub(super) fn slice_done(&mut self, cutoffs: RetentionCutoffs, rows: Option<usize>) {
        self.rows += rows.unwrap_or(0) as u64;
        self.unfinished &= rows != Some(0) || self.cutoffs != cutoffs;
        let pause = if rows.is_some() {
            RETENTION_PAUSE
        } else {
            RETENTION_RETRY
        };
        self.not_before = Some(Instant::now() + pause);
    }
}
