//! The writer's side of the write-ahead log: waits for work at the books, hands out synced records and takes the results.
//! A batch whose commit failed returns to the front of the backlog; a segment is released only once its records are posted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::event::LedgerEvent;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::wal::file::WindowMove;
use crate::store::wal::handle::{Wal, wait_on};
use crate::store::wal::segment::Segment;
use crate::store::wal::state::{BOOKS_LINGER, ChangeJob, WalState};
use crate::store::wal::sync_policy::BATCH;

/// Longest wait of an idle writer.
const IDLE: Duration = Duration::from_secs(1);
const WAIT_MIN: Duration = Duration::from_micros(50);

/// Next work of the writer.
pub(in crate::store) struct WriterWork {
    /// post the synced records and pending refusals
    pub post: bool,
    pub jobs: Vec<ChangeJob>,
    /// number of the segment to prepare
    pub prepare: Option<u32>,
    /// move the window of the log's mapping on
    pub window: Option<WindowMove>,
    /// delete a slice of the rows before these cutoffs
    pub retention: Option<RetentionCutoffs>,
}

impl Wal {
    /// Waits for work; `None` when the store is closing and everything is done. `not_before`: after a failed commit the books are
    /// left alone until then, while the log is still synced.
    pub(in crate::store) fn next_work(&self, not_before: Option<Instant>) -> Option<WriterWork> {
        let mut state = self.lock();
        let idle_until = Instant::now() + IDLE;
        loop {
            let now = Instant::now();
            let held_off = not_before.is_some_and(|until| now < until);
            state.forget_awaited(*self.applied.borrow());
            let postable = state.postable();
            let all_done = state.sync_thread_ended && postable == 0 && !self.refusals.has_pending();
            if state.stopping && state.jobs.is_empty() && (all_done || held_off) {
                return None;
            }
            let due =
                !held_off && (state.posting_due(now, postable) || self.refusals_due(&state, now));
            let idle = !due && !held_off && !state.stopping && state.jobs.is_empty();
            let retention = state.retention.due(now).filter(|_| idle);
            let jobs = state.take_ready_jobs(*self.applied.borrow(), held_off);
            let window = state.log.take_window_move();
            let wanted = due
                || retention.is_some()
                || !jobs.is_empty()
                || window.is_some()
                || state.log.take_segment_due();
            if wanted || now >= idle_until {
                return Some(WriterWork {
                    post: due,
                    jobs,
                    prepare: state.log.segment_to_prepare(),
                    window,
                    retention,
                });
            }
            let wake_at = match not_before.filter(|_| held_off) {
                Some(until) => until,
                None => self.next_due(&state, postable).unwrap_or(idle_until),
            };
            let wait = wake_at.min(idle_until).saturating_duration_since(now);
            state = wait_on(&self.writer_wake, state, wait.max(WAIT_MIN));
        }
    }

    /// Earliest instant at which posting, refusals or retention become due by time alone.
    fn next_due(&self, state: &WalState, postable: usize) -> Option<Instant> {
        let posting = state
            .oldest_pending
            .map(|since| since + BOOKS_LINGER)
            .filter(|_| postable > 0);
        [posting, self.refusals.due(), state.retention.next_slice()]
            .into_iter()
            .flatten()
            .min()
    }

    fn refusals_due(&self, state: &WalState, now: Instant) -> bool {
        self.refusals
            .due()
            .is_some_and(|until| now >= until || state.stopping)
    }

    /// Takes the next synced records out of the backlog.
    pub(in crate::store) fn take_batch(&self) -> Vec<(u64, Arc<LedgerEvent>)> {
        let mut state = self.lock();
        let synced = state.log.synced();
        let count = state
            .backlog
            .iter()
            .take(BATCH)
            .take_while(|(sequence, _)| *sequence <= synced)
            .count();
        state.backlog.drain(..count).collect()
    }

    /// Returns a batch whose commit failed to the front of the backlog.
    pub(in crate::store) fn put_back(&self, batch: Vec<(u64, Arc<LedgerEvent>)>) {
        let mut state = self.lock();
        for entry in batch.into_iter().rev() {
            state.backlog.push_front(entry);
        }
        state.books_failing = true;
    }

    pub(in crate::store) fn set_books_failing(&self, failing: bool) {
        self.lock().books_failing = failing;
    }

    /// Everything up to `applied` is in the books: returns the segment files that are no longer needed.
    pub(in crate::store) fn mark_applied(&self, applied: u64) -> Vec<String> {
        let mut state = self.lock();
        state.books_failing = false;
        state.oldest_pending = (!state.backlog.is_empty()).then(Instant::now);
        let retired = state.log.retire(applied);
        drop(state);
        self.applied.send_replace(applied);
        retired
    }

    /// Wakes the followers of postings: rows were posted that are not records of the log.
    pub(in crate::store) fn notify_followers(&self) {
        self.applied.send_modify(|_| {});
    }

    /// Counts a slice of retention; `None`: it failed, 0 rows: nothing is left to delete.
    pub(in crate::store) fn retention_slice_done(
        &self,
        cutoffs: RetentionCutoffs,
        rows: Option<usize>,
    ) {
        self.lock().retention.slice_done(cutoffs, rows);
    }

    /// Moves the window of the log's mapping on, outside the lock.
    pub(in crate::store) fn move_window(&self, window: &WindowMove) {
        let (segment, moved) = window.run();
        self.lock().log.window_moved(segment, moved);
    }

    /// Hands over a prepared segment; returns the file name of one that is no longer needed.
    pub(in crate::store) fn put_ready(&self, segment: Segment) -> Option<String> {
        self.lock().log.put_ready(segment)
    }
}
