//! The writer: the one thread that commits to the books. It posts synced records, runs control-plane changes and deletes slices of old
//! rows. No request waits for it but changes and reports that ask for it. It ends when the store is closing and everything is posted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::books::slot::DatabaseSlot;
use crate::store::books::yielding::Yielder;
use crate::store::books::{database, post, retention};
use crate::store::log_throttle::LogThrottle;
use crate::store::options::Options;
use crate::store::retention_cutoffs::RetentionCutoffs;
use crate::store::wal::handle::Wal;
use crate::store::wal::segment::Segment;
use crate::store::wal::state::ChangeJob;
use crate::store::wal::writer_work::WriterWork;

/// Pause after a failed commit.
const RETRY_MS: u64 = 1_000;
const RETRY: Duration = Duration::from_millis(RETRY_MS);

/// Starts the thread.
pub(in crate::store) fn start(
    database: Arc<DatabaseSlot>,
    wal: Arc<Wal>,
    options: Options,
) -> JoinHandle<()> {
    let writer = Writer {
        database,
        wal,
        options,
        not_before: None,
        books_failures: LogThrottle::default(),
        segment_failures: LogThrottle::default(),
    };
    match std::thread::Builder::new()
        .name("gk-writer".into())
        .spawn(move || writer.run())
    {
        Ok(handle) => handle,
        Err(error) => panic!("failed to start the writer thread: {error}"),
    }
}

struct Writer {
    database: Arc<DatabaseSlot>,
    wal: Arc<Wal>,
    options: Options,
    /// end of the pause after a failed commit
    not_before: Option<Instant>,
    books_failures: LogThrottle,
    segment_failures: LogThrottle,
}

impl Writer {
    /// Never inlined: a profile finds the thread by this name (`tests/instructions/run`).
    #[inline(never)]
    fn run(mut self) {
        while let Some(work) = self.wal.next_work(self.not_before) {
            // work that only runs changes does not end the pause
            if work.post {
                self.not_before = None;
            }
            self.perform(work);
        }
    }

    fn perform(&mut self, work: WriterWork) {
        self.reopen_if_unusable();
        // first: records that come meanwhile are written instead of stored
        if let Some(window) = &work.window {
            self.wal.move_window(window);
        }
        if work.post {
            self.post();
        }
        if let Some(number) = work.prepare {
            self.prepare_segment(number);
        }
        if let Some(cutoffs) = work.retention {
            self.delete_slice(cutoffs);
        }
        self.run_jobs(work.jobs);
    }

    /// Deletes a slice of old rows, but not during a verification, which is begun on this thread.
    fn delete_slice(&mut self, cutoffs: RetentionCutoffs) {
        if self.database.concurrent_postings.is_collecting() {
            return self.wal.retention_slice_done(cutoffs, None);
        }
        match self
            .database
            .open()
            .and_then(|database| retention::slice(&database, &cutoffs))
        {
            Ok(rows) => self.wal.retention_slice_done(cutoffs, Some(rows)),
            Err(error) => {
                self.wal.retention_slice_done(cutoffs, None);
                let logged = self.books_failures.should_log();
                if logged {
                    tracing::error!(%error, retry_ms = RETRY_MS, "retention failed");
                }
                self.pause(logged);
            }
        }
    }

    fn post(&mut self) {
        let (batch, refusals) = (self.wal.take_batch(), self.wal.refusals().take());
        if batch.is_empty() && refusals.is_empty() {
            return;
        }
        // before the commit, so that a verification never sees a row that was not collected
        self.database.concurrent_postings.collect(&batch);
        let yielder = Yielder::default();
        let zone = &self.options.zone;
        let posted = self
            .database
            .open()
            .and_then(|database| post::post(&database, &batch, &refusals, zone, &yielder));
        if let Err(error) = posted {
            self.wal.put_back(batch);
            self.wal.refusals().put_back(refusals);
            let logged = self.books_failures.should_log();
            if logged {
                tracing::error!(%error, retry_ms = RETRY_MS, "books not written; the log keeps all records");
            }
            return self.pause(logged);
        }
        self.database
            .feed
            .append(post::posted_ids(&batch, &refusals));
        self.wal.refusals().mark_written(&refusals);
        match batch.last() {
            Some((applied, _)) => self
                .wal
                .mark_applied(*applied)
                .iter()
                .for_each(|name| self.remove(name)),
            None => self.wal.notify_followers(),
        }
        yielder.over(batch).for_each(drop);
        if self.books_failures.recovered() {
            tracing::info!("books written again");
        }
    }

    /// After a failed commit: reopens the database and pauses.
    fn pause(&mut self, logged: bool) {
        self.reopen(logged);
        self.not_before = Some(Instant::now() + RETRY);
    }

    /// Reopens the database after an I/O error of a report or a change: the next posting may be hours away.
    fn reopen_if_unusable(&mut self) {
        let held_off = self.not_before.is_some_and(|until| Instant::now() < until);
        if held_off || !self.database.is_unusable() {
            return;
        }
        let logged = self.books_failures.should_log();
        if logged {
            tracing::error!("I/O error in the books; reopening the database");
        }
        self.reopen(logged);
        let failing = self.database.is_unusable();
        self.wal.set_books_failing(failing);
        if failing {
            self.not_before = Some(Instant::now() + RETRY);
        } else if self.books_failures.recovered() {
            tracing::info!("books reopened");
        }
    }

    /// Replaces the database handle: redb refuses everything after the first I/O error.
    fn reopen(&self, log_failure: bool) {
        if let Ok(old) = self.database.open() {
            self.database.put(None);
            let deadline = Instant::now() + RETRY;
            // a reader may still hold the old handle; one file must not have two
            while Arc::strong_count(&old) > 1 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let io_state = &self.database.io_state;
        io_state.failed.store(false, Ordering::Release);
        match database::open(&self.options, io_state) {
            Ok(database) => self.database.put(Some(Arc::new(database))),
            Err(error) if log_failure => tracing::error!(%error, "failed to reopen the books"),
            Err(_) => {}
        }
    }

    fn run_jobs(&self, jobs: Vec<ChangeJob>) {
        for job in jobs {
            match self.database.open() {
                Ok(database) => job(Ok(&database)),
                Err(error) => job(Err(error)),
            }
        }
    }

    fn prepare_segment(&mut self, number: u32) {
        match Segment::create(
            self.options.disk.as_ref(),
            number,
            self.options.segment_bytes,
        ) {
            Ok(segment) => {
                self.segment_failures.recovered();
                if let Some(surplus) = self.wal.put_ready(segment) {
                    self.remove(&surplus);
                }
            }
            Err(error) if self.segment_failures.should_log() => {
                tracing::error!(%error, "failed to create the next segment of the ledger log");
            }
            Err(_) => {}
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.options.disk.remove(name) {
            tracing::warn!(file = name, %error, "failed to remove a segment of the ledger log");
        }
    }
}
