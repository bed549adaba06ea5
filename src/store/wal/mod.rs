//! The ledger's door to the log, shared with the writer: what is appended here is written at once, and handed on to be
//! synced and booked, by a thread for each. Three numbers, always applied ≤ synced ≤ written.

pub(crate) mod file;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod sync_policy;
pub(crate) mod sync_thread;
#[cfg(test)]
mod tests;
pub(crate) mod watermark;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::event::LedgerEvent;
use crate::store::books::refusals::Refusals;
use crate::store::books::retention::RetentionCutoffs;
use crate::store::codec::Stored;
use crate::store::wal::file::{ActiveSegment, SegmentedLog};
use crate::store::wal::segment::{RECORD_BYTES_MAX, Segment};
use crate::store::wal::sync_policy::{BATCH, LINGER, NextSync, SyncPolicy};
use crate::store::wal::watermark::Watermark;
use crate::store::{Options, StoreError};

/// So long after a record that could not be written the log counts as failing; whether it still does only the next one shows.
const FAILING: Duration = Duration::from_secs(5);
/// What a hold sets aside in the log for its own settlement.
const SETTLEMENT_RESERVE: u64 = 4096;
/// Records that may wait to be booked before new holds are refused: some 100 MB, an hour of a broken disk at 50 a second.
const BACKLOG_MAX: usize = 200_000;
/// With nothing to do, a thread looks around so often.
const IDLE: Duration = Duration::from_secs(1);

/// Between two slices of retention, so that it takes a small part of the writer's time; and after one that failed.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
const SWEEP_RETRY: Duration = Duration::from_secs(1);

/// A change of the control plane, run by the writer in a transaction of its own.
pub(super) type ChangeJob = Box<dyn FnOnce(Result<&redb::Database, StoreError>) + Send>;

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the ledger's log cannot be written: {0}")]
    Failed(String),
    #[error("the disk is nearly full; free some space, new requests are taken again by themselves")]
    DiskLow,
    #[error(
        "the books are {0} records behind the log; new requests are taken again when they have caught up"
    )]
    Behind(usize),
    #[error("the ledger is closing")]
    Closing,
}

/// How the log stands, for metrics and readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    pub written: u64,
    pub synced: u64,
    pub applied: u64,
    pub unsynced_ms: u64,
    pub backlog: usize,
    pub disk_low: bool,
    /// a record could not be written to the log just now
    pub log_failing: bool,
    /// the log could not be synced at the last try
    pub sync_failing: bool,
    /// so many records wait to be booked that no hold is taken
    pub behind: bool,
    /// the books could not be written at the last try
    pub books_failing: bool,
    /// rows that retention has deleted since the start
    pub retention_rows: u64,
}

pub struct Wal {
    inner: Mutex<Inner>,
    /// for who syncs
    unsynced: Condvar,
    /// for who books
    bookable: Condvar,
    synced: Watermark,
    applied: watch::Sender<u64>,
    wait_for_disk: bool,
    refusals: Refusals,
}

struct Inner {
    log: SegmentedLog,
    backlog: VecDeque<(u64, Arc<LedgerEvent>)>,
    /// changes, each with the last record that was written before it
    jobs: VecDeque<(u64, ChangeJob)>,
    open_holds: u64,
    company: SyncPolicy,
    oldest_unbooked: Option<Instant>,
    /// the last sync failed
    sync_failing: bool,
    /// when a record was last tried in vain; `None` once one was written
    log_failed: Option<Instant>,
    fresh_wanted: bool,
    disk_low: bool,
    books_failing: bool,
    sweep: RetentionState,
    stopping: bool,
    /// nobody syncs any more
    syncs_ended: bool,
}

/// How far the books are rid of what is no longer kept.
#[derive(Default)]
struct RetentionState {
    kept: RetentionCutoffs,
    unfinished: bool,
    not_before: Option<Instant>,
    rows: u64,
}

/// What the writer is to do next.
pub(super) struct WriterWork {
    /// book what is synced
    pub book: bool,
    pub jobs: Vec<ChangeJob>,
    pub prepare: Option<u32>,
    /// delete a slice of what is older
    pub sweep: Option<RetentionCutoffs>,
}

impl Wal {
    pub(super) fn new(
        log: SegmentedLog,
        replayed: Vec<(u64, Arc<LedgerEvent>)>,
        applied: u64,
        open_holds: usize,
        options: &Options,
    ) -> Wal {
        let waiting = (!replayed.is_empty()).then(Instant::now);
        let synced = Watermark::from(log.synced());
        Wal {
            inner: Mutex::new(Inner {
                log,
                backlog: replayed.into(),
                jobs: VecDeque::new(),
                open_holds: open_holds as u64,
                company: SyncPolicy::new(options.wait_for_disk, waiting),
                oldest_unbooked: waiting,
                sync_failing: false,
                log_failed: None,
                fresh_wanted: false,
                disk_low: false,
                books_failing: false,
                sweep: RetentionState::default(),
                stopping: false,
                syncs_ended: false,
            }),
            unsynced: Condvar::new(),
            bookable: Condvar::new(),
            synced,
            applied: watch::channel(applied).0,
            wait_for_disk: options.wait_for_disk,
            refusals: Refusals::default(),
        }
    }

    /// Writes a record and hands it on; the number is its place in the log. The caller's own lock makes this and its
    /// change in memory one step.
    pub fn append(&self, event: Arc<LedgerEvent>) -> Result<u64, AppendError> {
        let payload = event
            .encode()
            .map_err(|error| AppendError::Failed(error.to_string()))?;
        if payload.len() > RECORD_BYTES_MAX {
            return Err(AppendError::Failed(format!(
                "a record of {} bytes is longer than {RECORD_BYTES_MAX}",
                payload.len()
            )));
        }
        let mut inner = self.lock();
        match *event {
            LedgerEvent::Hold(_) => {
                let admitted = inner.admits(payload.len() as u64);
                inner.note_failure(&admitted);
                admitted?;
            }
            // what holds have reserved for their ends is not for notes, however many there are
            LedgerEvent::Progress { .. } => {
                let holds = inner.open_holds;
                inner.has_room(holds, payload.len() as u64)?;
            }
            LedgerEvent::Settle(_) | LedgerEvent::Release { .. } => {}
        }
        let appended = inner
            .log
            .append(&payload)
            .map_err(|error| AppendError::Failed(error.to_string()));
        inner.note_failure(&appended);
        let sequence = appended?;
        match *event {
            LedgerEvent::Hold(_) => inner.open_holds += 1,
            LedgerEvent::Settle(_) | LedgerEvent::Release { .. } => {
                inner.open_holds = inner.open_holds.saturating_sub(1)
            }
            LedgerEvent::Progress { .. } => {}
        }
        inner.backlog.push_back((sequence, event));
        let (now, unsynced) = (Instant::now(), inner.unsynced());
        inner.oldest_unbooked.get_or_insert(now);
        if inner.company.record_written(now, unsynced) {
            self.unsynced.notify_one();
        }
        Ok(sequence)
    }

    /// Returns once a record may be acted on: at once, or when it is on disk, as `ledger.sync` says. The caller sets
    /// the deadline.
    pub async fn settled(&self, sequence: u64) {
        if self.wait_for_disk {
            self.synced.reached(sequence).await;
        }
    }

    /// Returns once everything written by now is in the books. The caller sets the deadline.
    pub async fn booked(&self) {
        let written = {
            let mut inner = self.lock();
            inner.company.request_sync();
            inner.fresh_wanted = true;
            inner.log.written()
        };
        self.unsynced.notify_one();
        self.bookable.notify_one();
        // the sender lives as long as the journal, so an error cannot come
        let _ = self
            .applied
            .subscribe()
            .wait_for(|applied| *applied >= written)
            .await;
        self.refusals.written().await;
    }

    /// Where refusals go: beside the log.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Changes whenever something was booked.
    pub fn bookings(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub fn figures(&self) -> WalStats {
        let inner = self.lock();
        WalStats {
            written: inner.log.written(),
            synced: inner.log.synced(),
            applied: *self.applied.borrow(),
            unsynced_ms: inner.company.waits(Instant::now()).as_millis() as u64,
            backlog: inner.backlog.len(),
            disk_low: inner.disk_low,
            log_failing: inner.log_failed.is_some_and(|at| at.elapsed() < FAILING),
            sync_failing: inner.sync_failing,
            behind: inner.backlog.len() >= BACKLOG_MAX,
            books_failing: inner.books_failing,
            retention_rows: inner.sweep.rows,
        }
    }

    /// The file that is written to, as it is now.
    pub(super) fn active(&self) -> ActiveSegment {
        self.lock().log.active()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells from when on each kind is kept.
    pub(super) fn keep_from(&self, kept: RetentionCutoffs) {
        let mut inner = self.lock();
        if inner.sweep.kept != kept {
            inner.sweep = RetentionState {
                kept,
                unfinished: true,
                ..std::mem::take(&mut inner.sweep)
            };
            drop(inner);
            self.bookable.notify_one();
        }
    }

    // ---- for who syncs and who books

    pub(super) fn submit(&self, job: ChangeJob) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.stopping {
            return Err(StoreError::Closed);
        }
        let after = inner.log.written();
        inner.jobs.push_back((after, job));
        inner.company.request_sync();
        self.unsynced.notify_one();
        self.bookable.notify_one();
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.unsynced.notify_one();
        self.bookable.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Who syncs has ended: what is not synced stays in the log.
    pub(super) fn syncs_no_more(&self) {
        self.lock().syncs_ended = true;
        self.bookable.notify_one();
    }

    /// Waits until the log is to be synced (`true`), or a while has passed; `None` when all is synced and the store is closing.
    pub(super) fn next_sync(&self) -> Option<bool> {
        let mut inner = self.lock();
        let idle_until = Instant::now() + IDLE;
        loop {
            let (now, unsynced, hurried) = (Instant::now(), inner.unsynced(), inner.stopping);
            let until = match inner.company.due(now, unsynced, hurried) {
                NextSync::Now => return Some(true),
                NextSync::Nothing if hurried => return None,
                NextSync::At(until) => until.min(idle_until),
                NextSync::Nothing => idle_until,
            };
            if now >= idle_until {
                return Some(false);
            }
            inner = waited(&self.unsynced, inner, until.saturating_duration_since(now));
        }
    }

    /// Waits for work at the books; `None` when everything is done and the store is closing. `not_before`: after a failed
    /// commit the books are left alone until then, while the log goes on being synced.
    pub(super) fn next_booking(&self, not_before: Option<Instant>) -> Option<WriterWork> {
        let mut inner = self.lock();
        let idle_until = Instant::now() + IDLE;
        loop {
            let now = Instant::now();
            let held_off = not_before.is_some_and(|until| now < until);
            let bookable = inner.bookable();
            let nothing_left = inner.syncs_ended && bookable == 0 && !self.refusals.waiting();
            if inner.stopping && inner.jobs.is_empty() && (nothing_left || held_off) {
                return None;
            }
            let due = !held_off && (inner.due(now, bookable) || self.refusals_due(&inner, now));
            if due {
                // what is not synced yet is still wanted
                inner.fresh_wanted &= bookable < inner.backlog.len();
            }
            let rested = !due && !held_off && !inner.stopping && inner.jobs.is_empty();
            let sweep = inner.sweep.due(now).filter(|_| rested);
            let jobs = inner.jobs(*self.applied.borrow(), held_off);
            if due || sweep.is_some() || !jobs.is_empty() || now >= idle_until {
                return Some(WriterWork {
                    book: due,
                    jobs,
                    prepare: inner.log.wants_ready(),
                    sweep,
                });
            }
            let booking = inner
                .oldest_unbooked
                .map(|since| since + LINGER)
                .filter(|_| bookable > 0);
            let sweeping = inner.sweep.not_before.filter(|_| inner.sweep.unfinished);
            let soonest = [booking, self.refusals.due(), sweeping]
                .into_iter()
                .flatten()
                .min()
                .filter(|_| !held_off);
            let until = soonest
                .or(not_before.filter(|_| held_off))
                .map_or(idle_until, |until| until.min(idle_until));
            inner = waited(
                &self.bookable,
                inner,
                until
                    .saturating_duration_since(now)
                    .max(Duration::from_micros(50)),
            );
        }
    }

    fn refusals_due(&self, inner: &Inner, now: Instant) -> bool {
        self.refusals
            .due()
            .is_some_and(|until| now >= until || inner.fresh_wanted || inner.stopping)
    }

    /// Syncs what is written, outside the lock, so that a stalled disk stops nobody.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        let done = self.sync_written();
        if done.is_err() {
            // changes of the control plane do not wait for a disk that fails
            self.lock().sync_failing = true;
            self.bookable.notify_one();
        }
        done
    }

    fn sync_written(&self) -> std::io::Result<()> {
        if self.lock().log.is_distrusted() {
            self.write_again()?;
        }
        let unsynced = {
            let mut inner = self.lock();
            if inner.log.synced() >= inner.log.written() {
                return Ok(());
            }
            inner.log.unsynced()
        };
        let begun = Instant::now();
        if let Err(error) = unsynced.sync() {
            self.write_again()?;
            return Err(error);
        }
        let mut inner = self.lock();
        inner.sync_failing = false;
        let covered = unsynced.upto - inner.log.synced();
        let left = inner.log.written() > unsynced.upto;
        inner.company.synced(begun, Instant::now(), covered, left);
        let before = inner.bookable();
        inner.log.mark_synced(&unsynced);
        // else who books wakes by the clock
        let wakes = before == 0
            || inner.bookable() >= BATCH
            || inner.fresh_wanted
            || inner.stopping
            || !inner.jobs.is_empty();
        drop(inner);
        self.synced.raise(unsynced.upto);
        if wakes {
            self.bookable.notify_one();
        }
        Ok(())
    }

    /// A failed sync is never retried on its file: what it did not cover goes into a new segment.
    fn write_again(&self) -> std::io::Result<()> {
        let mut inner = self.lock();
        let Inner { log, backlog, .. } = &mut *inner;
        let payloads: Vec<(u64, Vec<u8>)> = backlog
            .iter()
            .filter_map(|(sequence, event)| Some((*sequence, event.encode().ok()?)))
            .collect();
        log.write_again(
            payloads
                .iter()
                .map(|(sequence, payload)| (*sequence, payload.as_slice())),
        )
    }

    /// Takes the next synced records out of the backlog.
    pub(super) fn take_batch(&self) -> Vec<(u64, Arc<LedgerEvent>)> {
        let mut inner = self.lock();
        let synced = inner.log.synced();
        let count = inner
            .backlog
            .iter()
            .take(BATCH)
            .take_while(|(sequence, _)| *sequence <= synced)
            .count();
        inner.backlog.drain(..count).collect()
    }

    /// Puts a batch back whose commit failed.
    pub(super) fn put_back(&self, batch: Vec<(u64, Arc<LedgerEvent>)>) {
        let mut inner = self.lock();
        for entry in batch.into_iter().rev() {
            inner.backlog.push_front(entry);
        }
        inner.books_failing = true;
    }

    /// Whether the books can be written, as far as is known.
    pub(super) fn books_fail(&self, failing: bool) {
        self.lock().books_failing = failing;
    }

    /// Everything up to `applied` is in the books: returns the files that are no longer needed.
    pub(super) fn mark_applied(&self, applied: u64) -> Vec<String> {
        let mut inner = self.lock();
        inner.books_failing = false;
        inner.oldest_unbooked = (!inner.backlog.is_empty()).then(Instant::now);
        let gone = inner.log.retire(applied);
        drop(inner);
        self.applied.send_replace(applied);
        gone
    }

    /// Something was booked that is not of the log.
    pub(super) fn tell_followers(&self) {
        self.applied.send_modify(|_| {});
    }

    /// A slice was deleted, or could not be; 0 rows: nothing is left to delete.
    pub(super) fn swept(&self, kept: RetentionCutoffs, rows: Option<usize>) {
        let sweep = &mut self.lock().sweep;
        sweep.rows += rows.unwrap_or(0) as u64;
        sweep.unfinished &= rows != Some(0) || sweep.kept != kept;
        let pause = if rows.is_some() {
            SWEEP_PAUSE
        } else {
            SWEEP_RETRY
        };
        sweep.not_before = Some(Instant::now() + pause);
    }

    /// Hands over a prepared segment; the name of one that is not wanted any more comes back.
    pub(super) fn put_ready(&self, segment: Segment) -> Option<String> {
        self.lock().log.put_ready(segment)
    }

    pub(super) fn set_disk_low(&self, low: bool) {
        self.lock().disk_low = low;
    }
}

impl RetentionState {
    /// What is to be deleted, once nothing has been for a while.
    fn due(&self, now: Instant) -> Option<RetentionCutoffs> {
        let rested = self.not_before.is_none_or(|until| now >= until);
        (self.unfinished && rested).then_some(self.kept)
    }
}

impl Inner {
    fn note_failure<T>(&mut self, done: &Result<T, AppendError>) {
        match done {
            Err(AppendError::Failed(_)) => self.log_failed = Some(Instant::now()),
            Err(_) => {}
            Ok(_) => self.log_failed = None,
        }
    }

    /// Whether a new hold may be logged: its settlement must find room too.
    fn admits(&mut self, payload: u64) -> Result<(), AppendError> {
        if self.stopping {
            return Err(AppendError::Closing);
        }
        if self.disk_low {
            return Err(AppendError::DiskLow);
        }
        if self.backlog.len() >= BACKLOG_MAX {
            return Err(AppendError::Behind(self.backlog.len()));
        }
        self.has_room(self.open_holds + 1, payload)
    }

    /// Sees to it that so many settlements and a record find room: a new file is made at once, or the record is refused.
    fn has_room(&mut self, settlements: u64, payload: u64) -> Result<(), AppendError> {
        if self.log.room() < settlements * SETTLEMENT_RESERVE + payload {
            self.log
                .make_ready()
                .map_err(|error| AppendError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    /// Records that no sync has covered.
    fn unsynced(&self) -> usize {
        self.log.written().saturating_sub(self.log.synced()) as usize
    }

    /// Records at the front of the backlog that may be booked.
    fn bookable(&self) -> usize {
        // their numbers have no gap
        self.backlog.front().map_or(0, |(first, _)| {
            (self.log.synced() + 1).saturating_sub(*first) as usize
        })
    }

    fn due(&self, now: Instant, bookable: usize) -> bool {
        bookable > 0
            && (self.stopping
                || self.fresh_wanted
                || !self.jobs.is_empty()
                || bookable >= BATCH
                || self
                    .oldest_unbooked
                    .is_none_or(|since| now.duration_since(since) >= LINGER))
    }

    /// Takes the changes whose turn it is: the books have what was written before them, or cannot have it now.
    fn jobs(&mut self, applied: u64, held_off: bool) -> Vec<ChangeJob> {
        let gives_up = held_off || self.sync_failing || self.syncs_ended;
        let ready = self
            .jobs
            .iter()
            .take_while(|(after, _)| gives_up || *after <= applied)
            .count();
        self.jobs.drain(..ready).map(|(_, job)| job).collect()
    }
}

fn waited<'a>(
    on: &Condvar,
    inner: MutexGuard<'a, Inner>,
    at_most: Duration,
) -> MutexGuard<'a, Inner> {
    on.wait_timeout(inner, at_most)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}
