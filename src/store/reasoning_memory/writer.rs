//! Writer of the reasoning memory: the one thread that writes the file, in batches. It deletes entries beyond the bounds, discards a file
//! that fails repeatedly, and never makes a caller wait except for a purge.

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::ReadableTable;

use crate::store::backend::catch_panic;
use crate::store::error::StoreError;
use crate::store::reasoning_memory::file::{AGES, ENTRIES, FILE, MemoryState, StoredSize, age_key};
use crate::store::reasoning_memory::pending::{BATCH_MAX, Id, PendingEntry, PurgeReply};

/// Pause between two commits, so that entries share one.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after a failure of the disk.
const RETRY: Duration = Duration::from_secs(1);
/// Consecutive failed commits before the file is discarded.
const FAILURES_MAX: u32 = 1;
/// Interval at which old entries are deleted while nothing is written.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

type Entries<'t> = redb::Table<'t, &'static Id, &'static [u8]>;
type Ages<'t> = redb::Table<'t, &'static [u8; 24], u64>;

pub(super) struct Writer {
    shared: Arc<MemoryState>,
    /// `None` while the file is not open
    size: Option<StoredSize>,
    /// consecutive failed commits
    failures: u32,
}

/// Next work of the thread.
struct Work {
    batch: Vec<(Id, PendingEntry)>,
    purges: Vec<PurgeReply>,
    stopping: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<MemoryState>, size: Option<StoredSize>) -> Writer {
        Writer {
            shared,
            size,
            failures: 0,
        }
    }

    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || self.run())
    }

    fn run(mut self) {
        loop {
            let Work {
                batch,
                purges,
                stopping,
            } = self.next_work();
            if std::mem::take(&mut self.shared.pending().damaged) {
                self.failures = FAILURES_MAX;
                self.handle_failure();
            }
            if !purges.is_empty() {
                self.purge_for(purges);
                continue;
            }
            match catch_panic(|| self.write(&batch)) {
                Ok(()) => {
                    self.failures = 0;
                    self.shared.pending().remove_written(&batch);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to write the reasoning memory");
                    self.handle_failure();
                }
            }
            if stopping && (batch.len() < BATCH_MAX || self.size.is_none()) {
                return self.shared.put(None);
            }
            if !stopping {
                self.pause();
            }
        }
    }

    /// Waits for work, at most until expired entries are to be deleted.
    fn next_work(&self) -> Work {
        let pending = self.shared.pending();
        let waited = self
            .shared
            .wake
            .wait_timeout_while(pending, EXPIRY_INTERVAL, |pending| pending.is_idle());
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Work {
            batch: pending.batch(),
            purges: std::mem::take(&mut pending.purges),
            stopping: pending.stopping,
        }
    }

    /// Pauses between two commits; a stop or a purge ends it early.
    fn pause(&self) {
        let pause = if self.size.is_none() { RETRY } else { GATHER };
        let pending = self.shared.pending();
        drop(
            self.shared
                .wake
                .wait_timeout_while(pending, pause, |pending| {
                    !pending.stopping && pending.purges.is_empty()
                }),
        );
    }

    /// After a failed commit: the file is reopened once, then discarded.
    fn handle_failure(&mut self) {
        self.size = None;
        self.failures += 1;
        if self.failures > FAILURES_MAX
            && let Err(error) = self.shared.discard()
        {
            tracing::error!(%error, file = FILE, "failed to remove the damaged reasoning memory");
        }
    }

    /// Commits a batch and deletes entries beyond the bounds.
    fn write(&mut self, batch: &[(Id, PendingEntry)]) -> Result<(), StoreError> {
        let mut size = match self.size {
            Some(size) => size,
            None => self.shared.reopen()?,
        };
        let Some(database) = self.shared.database() else {
            return Err(StoreError::Closed);
        };
        let transaction = database.begin_write()?;
        {
            let (mut entries, mut ages) = (
                transaction.open_table(ENTRIES)?,
                transaction.open_table(AGES)?,
            );
            for (id, entry) in batch {
                self.put(id, entry, &mut entries, &mut ages, &mut size)?;
            }
            while let Some((age, bytes)) = oldest(&ages)? {
                let (at_ms, id) = split_age_key(&age);
                if size.is_within(&self.shared.bounds) && self.shared.is_fresh(at_ms) {
                    break;
                }
                ages.remove(&age)?;
                entries.remove(&id)?;
                size.remove(bytes);
            }
        }
        transaction.commit()?;
        self.size = Some(size);
        Ok(())
    }

    fn put(
        &self,
        id: &Id,
        entry: &PendingEntry,
        entries: &mut Entries<'_>,
        ages: &mut Ages<'_>,
        size: &mut StoredSize,
    ) -> Result<(), StoreError> {
        let at_ms = entry.at_ms.to_be_bytes();
        let Some(sealed) = self.shared.seal.seal(&age_key(at_ms, id), &entry.plain) else {
            return Ok(());
        };
        let stored = [&at_ms[..], &sealed].concat();
        if let Some(before) = entries.insert(id, &stored[..])? {
            let before = before.value();
            size.remove(before.len() as u64);
            if let Some((at_ms, _)) = before.split_first_chunk::<8>() {
                ages.remove(&age_key(*at_ms, id))?;
            }
        }
        ages.insert(&age_key(at_ms, id), stored.len() as u64)?;
        size.add(stored.len() as u64);
        Ok(())
    }

    fn purge_for(&mut self, callers: Vec<PurgeReply>) {
        let outcome = catch_panic(|| self.purge());
        for caller in callers {
            // the caller may have gone
            let _ = caller.send(outcome.clone());
        }
    }

    /// Replaces the file, so that no deleted entry remains on its pages.
    fn purge(&mut self) -> Result<u64, StoreError> {
        let pending = self.shared.pending().clear();
        let stored = self.size.take().map_or(0, |size| size.entries);
        self.shared.discard()?;
        self.size = Some(self.shared.reopen()?);
        Ok(pending + stored)
    }
}

fn oldest(ages: &Ages<'_>) -> Result<Option<([u8; 24], u64)>, StoreError> {
    Ok(ages
        .first()?
        .map(|(age, bytes)| (*age.value(), bytes.value())))
}

/// Time of storing and id of a key in `ages`.
fn split_age_key(age: &[u8; 24]) -> (u64, Id) {
    let (mut at_ms, mut id) = ([0; 8], Id::default());
    at_ms.copy_from_slice(&age[..8]);
    id.copy_from_slice(&age[8..]);
    (u64::from_be_bytes(at_ms), id)
}
