//! The one thread that writes the books: what is synced, changes of the control plane, and the slices of retention. Nobody waits
//! for it but those who asked to (changes of the control plane, reports). It ends when the store is closed and everything is booked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::books::retention::RetentionCutoffs;
use crate::store::books::yielding::Yielder;
use crate::store::books::{post, retention, tables};
use crate::store::log_throttle::LogThrottle;
use crate::store::wal::segment::Segment;
use crate::store::wal::{Wal, WriterWork};
use crate::store::{Options, Slot, StoreError};

const RETRY: Duration = Duration::from_secs(1);
pub(crate) fn start(database: Arc<Slot>, journal: Arc<Wal>, options: Options) -> JoinHandle<()> {
    let writer = Writer {
        database,
        journal,
        options,
        not_before: None,
        books_trouble: LogThrottle::default(),
        segment_trouble: LogThrottle::default(),
    };
    match std::thread::Builder::new()
        .name("gk-writer".into())
        .spawn(move || writer.run())
    {
        Ok(handle) => handle,
        Err(error) => panic!("no thread can be started for the store's writer: {error}"),
    }
}

struct Writer {
    database: Arc<Slot>,
    journal: Arc<Wal>,
    options: Options,
    /// after a failed commit the books are left alone until then
    not_before: Option<Instant>,
    books_trouble: LogThrottle,
    segment_trouble: LogThrottle,
}

impl Writer {
    fn run(mut self) {
        while let Some(step) = self.journal.next_booking(self.not_before) {
            // a step that only runs a change does not end the pause
            if step.book {
                self.not_before = None;
            }
            self.take(step);
        }
    }

    fn take(&mut self, step: WriterWork) {
        self.mend_books();
        if step.book {
            self.book();
        }
        if let Some(number) = step.prepare {
            self.prepare(number);
        }
        if let Some(kept) = step.sweep {
            self.sweep(kept);
        }
        self.run_jobs(step);
    }

    /// Deletes a slice of what is no longer kept; not while the books are verified, which is begun on this thread.
    fn sweep(&mut self, kept: RetentionCutoffs) {
        if self.database.booked.is_noting() {
            return self.journal.swept(kept, None);
        }
        match self
            .database
            .open()
            .and_then(|database| retention::slice(&database, &kept))
        {
            Ok(rows) => self.journal.swept(kept, Some(rows)),
            Err(error) => {
                self.journal.swept(kept, None);
                let news = self.books_trouble.should_log();
                if news {
                    tracing::error!(
                        "what is no longer kept cannot be deleted; tried again every second: {error}"
                    );
                }
                self.reopen(news);
                self.not_before = Some(Instant::now() + RETRY);
            }
        }
    }

    fn book(&mut self) {
        let (batch, refused) = (self.journal.take_batch(), self.journal.refusals().take());
        if batch.is_empty() && refused.is_empty() {
            return;
        }
        // before the commit, so that no verification sees a row of which it was not told
        self.database.booked.note(&batch);
        let pace = Yielder::default();
        let zone = &self.options.zone;
        let booked = self
            .database
            .open()
            .and_then(|database| post::book(&database, &batch, &refused, zone, &pace));
        match booked {
            Ok(()) => {
                self.database.newest.note(post::rows(&batch, &refused));
                self.journal.refusals().mark_written(&refused);
                match batch.last() {
                    Some((applied, _)) => self
                        .journal
                        .mark_applied(*applied)
                        .iter()
                        .for_each(|name| self.remove(name)),
                    None => self.journal.tell_followers(),
                }
                pace.over(batch).for_each(drop);
                if self.books_trouble.ends() {
                    tracing::info!("the books are written again");
                }
            }
            Err(error) => {
                self.journal.put_back(batch);
                self.journal.refusals().put_back(refused);
                let news = self.books_trouble.should_log();
                if news {
                    tracing::error!(
                        "the books cannot be written, the log keeps what comes in; tried again every second: {error}"
                    );
                }
                self.reopen(news);
                self.not_before = Some(Instant::now() + RETRY);
            }
        }
    }

    /// An I/O error that a report or a change of the control plane met is nobody else's to mend: no booking may come for hours.
    fn mend_books(&mut self) {
        let held_off = self.not_before.is_some_and(|until| Instant::now() < until);
        if held_off || !self.database.is_unusable() {
            return;
        }
        let news = self.books_trouble.should_log();
        if news {
            tracing::error!("the books met an I/O error and are opened anew");
        }
        self.reopen(news);
        let failing = self.database.is_unusable();
        self.journal.books_fail(failing);
        if failing {
            self.not_before = Some(Instant::now() + RETRY);
        } else if self.books_trouble.ends() {
            tracing::info!("the books are open again");
        }
    }

    /// redb refuses everything after the first I/O error until it is opened anew.
    fn reopen(&self, said: bool) {
        if let Ok(old) = self.database.open() {
            self.database.put(None);
            let deadline = Instant::now() + RETRY;
            // a reader may still hold the old handle; two handles on one file must not be
            while Arc::strong_count(&old) > 1 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.database.below.failed.store(false, Ordering::Release);
        match tables::open_database(&self.options, &self.database.below) {
            Ok(database) => self.database.put(Some(Arc::new(database))),
            Err(error) if said => tracing::error!("the books cannot be opened: {error}"),
            Err(_) => {}
        }
    }

    fn run_jobs(&self, step: WriterWork) {
        for job in step.jobs {
            match self.database.open() {
                Ok(database) => job(Ok(&database)),
                Err(error) => job(Err(error)),
            }
        }
    }

    fn prepare(&mut self, number: u32) {
        match Segment::create(
            self.options.disk.as_ref(),
            number,
            self.options.segment_bytes,
        ) {
            Ok(segment) => {
                self.segment_trouble.ends();
                if let Some(unwanted) = self.journal.put_ready(segment) {
                    self.remove(&unwanted);
                }
            }
            Err(error) if self.segment_trouble.should_log() => {
                tracing::error!("the next segment of the ledger's log cannot be made: {error}");
            }
            Err(_) => {}
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.options.disk.remove(name) {
            tracing::warn!("{name} is no longer needed but cannot be removed: {error}");
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        StoreError::Database(error.to_string())
    }
}
