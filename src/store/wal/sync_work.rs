//! The sync thread's side of the write-ahead log: waits for the next fsync and performs it outside the lock, so that a stalled
//! disk blocks no append. After a failed fsync the affected file is never synced again; its records are rewritten.

use std::io;
use std::time::{Duration, Instant};

use crate::store::codec::StoredValue;
use crate::store::wal::file::SyncBatch;
use crate::store::wal::handle::{Wal, wait_on};
use crate::store::wal::state::WalState;
use crate::store::wal::sync_policy::{BATCH, NextSync};

/// Longest wait of an idle sync thread.
const IDLE: Duration = Duration::from_secs(1);

impl Wal {
    /// Waits until an fsync is due (`true`) or the idle time is over (`false`); `None` when the store is closing and all is synced.
    pub(super) fn next_sync(&self) -> Option<bool> {
        let mut state = self.lock();
        let idle_until = Instant::now() + IDLE;
        loop {
            let (now, unsynced, closing) = (Instant::now(), state.unsynced(), state.stopping);
            let until = match state.sync_policy.next(now, unsynced, closing) {
                NextSync::Now => return Some(true),
                NextSync::Idle if closing => return None,
                NextSync::At(until) => until.min(idle_until),
                NextSync::Idle => idle_until,
            };
            if now >= idle_until {
                return Some(false);
            }
            state = wait_on(&self.sync_wake, state, until.saturating_duration_since(now));
        }
    }

    /// Syncs everything written.
    pub(super) fn sync(&self) -> io::Result<()> {
        let synced = self.sync_written();
        if synced.is_err() {
            // control-plane changes do not wait for a failing disk
            self.lock().sync_failing = true;
            self.writer_wake.notify_one();
        }
        synced
    }

    fn sync_written(&self) -> io::Result<()> {
        if self.lock().log.is_distrusted() {
            self.rewrite_unsynced()?;
        }
        let batch = {
            let mut state = self.lock();
            if state.log.synced() >= state.log.written() {
                return Ok(());
            }
            state.log.sync_batch()
        };
        let started = Instant::now();
        if let Err(error) = batch.sync() {
            self.rewrite_unsynced()?;
            return Err(error);
        }
        self.finish_sync(&batch, started);
        Ok(())
    }

    fn finish_sync(&self, batch: &SyncBatch, started: Instant) {
        let mut state = self.lock();
        state.sync_failing = false;
        let covered = batch.upto - state.log.synced();
        let more = state.log.written() > batch.upto;
        state
            .sync_policy
            .sync_completed(started, Instant::now(), covered, more);
        let before = state.postable();
        state.log.mark_synced(batch);
        // otherwise the writer wakes by its own timer
        let wake_writer = before == 0
            || state.postable() >= BATCH
            || !state.awaited.is_empty()
            || state.stopping
            || !state.jobs.is_empty();
        drop(state);
        self.synced.advance(batch.upto);
        if wake_writer {
            self.writer_wake.notify_one();
        }
    }

    /// Writes the records that the failed fsync did not cover to a new segment.
    fn rewrite_unsynced(&self) -> io::Result<()> {
        let mut state = self.lock();
        let WalState { log, backlog, .. } = &mut *state;
        let payloads: Vec<(u64, Vec<u8>)> = backlog
            .iter()
            .filter_map(|(sequence, event)| Some((*sequence, event.encode().ok()?)))
            .collect();
        log.rewrite_unsynced(
            payloads
                .iter()
                .map(|(sequence, payload)| (*sequence, payload.as_slice())),
        )
    }

    /// The sync thread has ended: unsynced records stay in the log, and the writer must not wait for them.
    pub(super) fn sync_thread_ended(&self) {
        self.lock().sync_thread_ended = true;
        self.writer_wake.notify_one();
    }

    /// The files are no longer those of the data folder; `false` if that was known.
    pub(super) fn set_folder_lost(&self) -> bool {
        let was_lost = std::mem::replace(&mut self.lock().folder_lost, true);
        self.folder_lost.send_replace(true);
        !was_lost
    }

    pub(super) fn set_disk_low(&self, low: bool) {
        let mut state = self.lock();
        state.disk_low = low;
        state.log.set_disk_low(low);
    }
}
