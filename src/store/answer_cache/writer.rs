//! Writer of the answer cache: the one thread that writes the file, in batches. It deletes expired entries and those beyond the bound, keeps
//! the file within its bound, discards a file that fails repeatedly, and never makes a caller wait except for a purge.

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable};

use crate::domain::cache::CacheEntryId;
use crate::store::answer_cache::entry::{EntryHead, HEAD_BYTES, NewEntry, Selection};
use crate::store::answer_cache::file::{
    CacheState, ENTRIES, EXPIRIES, FILE, Id, StoredSize, associated, catch_panic, expiry_key, taken,
};
use crate::store::answer_cache::pending::{BATCH_MAX, Purge};
use crate::store::error::StoreError;

/// Pause between two commits, so that entries share one.
const GATHER: Duration = Duration::from_millis(200);
/// Pause after a failure of the disk.
const RETRY: Duration = Duration::from_secs(1);
/// Consecutive failed commits before the file is discarded.
const FAILURES_MAX: u32 = 1;
/// Interval at which expired entries are deleted while nothing is written.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
/// Entries deleted in one commit.
const DELETIONS_MAX: usize = 2_000;
/// Waits for readers of the file before it is compacted.
const READER_WAITS_MAX: u32 = 200;

type Entries<'t> = redb::Table<'t, &'static Id, &'static [u8]>;
type Expiries<'t> = redb::Table<'t, &'static [u8; 24], u64>;

pub(super) struct Writer {
    shared: Arc<CacheState>,
    /// `None` while the file is not open
    size: Option<StoredSize>,
    /// consecutive failed commits
    failures: u32,
}

/// Next work of the thread.
struct Work {
    batch: Vec<Arc<NewEntry>>,
    purges: Vec<Purge>,
    stopping: bool,
}

/// Tables of one commit, the size that it leads to, and the entries that it deletes.
struct Change<'t> {
    entries: Entries<'t>,
    expiries: Expiries<'t>,
    size: StoredSize,
    deleted: Vec<CacheEntryId>,
}

impl Writer {
    pub(super) fn new(shared: Arc<CacheState>, size: Option<StoredSize>) -> Writer {
        Writer {
            shared,
            size,
            failures: 0,
        }
    }

    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("gk-cache".into())
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
                    tracing::warn!(%error, "failed to write the cache");
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
        let is_waiting = |pending: &mut _| is_quiet(pending);
        drop(
            self.shared
                .wake
                .wait_timeout_while(pending, pause, is_waiting),
        );
    }

    /// After a failed commit: the file is reopened once, then discarded.
    fn handle_failure(&mut self) {
        self.size = None;
        self.failures += 1;
        if self.failures > FAILURES_MAX
            && let Err(error) = self.shared.discard()
        {
            tracing::error!(%error, file = FILE, "failed to remove the damaged cache");
        }
    }

    /// Bytes that entries may take: the rest of the file is for its tree, and for the pages that a commit replaces.
    fn entries_max(&self) -> u64 {
        self.shared.bytes_max / 2
    }

    /// Commits a batch; deletes expired entries and, the earliest expiry first, those beyond the bound.
    fn write(&mut self, batch: &[Arc<NewEntry>]) -> Result<(), StoreError> {
        let size = match self.size {
            Some(size) => size,
            None => self.shared.reopen()?,
        };
        self.size = Some(size);
        let (now_ms, bytes_max) = (self.shared.time.now_ms(), self.entries_max());
        let shared = self.shared.clone();
        self.change(|change| {
            for entry in batch {
                change.put(&shared, entry)?;
            }
            change.delete_beyond(now_ms, bytes_max)
        })?;
        if self.shared.file_bytes() > self.shared.bytes_max {
            self.shrink()?;
        }
        Ok(())
    }

    /// Runs one commit, then tells the deleted entries.
    fn change(
        &mut self,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let Some(database) = self.shared.database() else {
            return Err(StoreError::Closed);
        };
        let transaction = database.begin_write()?;
        let (size, deleted) = {
            let mut change = Change {
                entries: transaction.open_table(ENTRIES)?,
                expiries: transaction.open_table(EXPIRIES)?,
                size: self.size.unwrap_or_default(),
                deleted: Vec::new(),
            };
            work(&mut change)?;
            (change.size, change.deleted)
        };
        transaction.commit()?;
        self.size = Some(size);
        self.shared.note_size(size);
        if !deleted.is_empty() {
            (self.shared.deleted)(&deleted);
        }
        Ok(deleted.len() as u64)
    }

    /// A file beyond its bound is compacted; one that stays beyond it is discarded.
    fn shrink(&mut self) -> Result<(), StoreError> {
        if let Some(mut database) = self.take_database() {
            let compacted = database.compact();
            self.shared.put(Some(Arc::new(database)));
            compacted.map_err(|error| StoreError::Database(error.to_string()))?;
        }
        if self.shared.file_bytes() > self.shared.bytes_max {
            tracing::warn!(file = FILE, "cache file beyond its bound and discarded");
            self.shared.discard()?;
            self.size = Some(self.shared.reopen()?);
        }
        Ok(())
    }

    /// Takes the database from its readers, each of which holds it for one lookup.
    fn take_database(&self) -> Option<Database> {
        let mut database = self
            .shared
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        for _ in 0..READER_WAITS_MAX {
            match Arc::try_unwrap(database) {
                Ok(database) => return Some(database),
                Err(shared) => database = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared.put(Some(database));
        None
    }

    fn purge_for(&mut self, purges: Vec<Purge>) {
        for Purge { selection, reply } in purges {
            let outcome = catch_panic(|| self.purge(&selection));
            if outcome.is_err() {
                self.size = None;
            }
            // the caller may have gone
            let _ = reply.send(outcome);
        }
    }

    /// Deletes what is selected. The whole cache is deleted with its file, so that nothing remains on its pages.
    fn purge(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        let pending = self.shared.pending().purge(selection);
        if *selection == Selection::All {
            let stored = self.size.take().map_or(0, |size| size.entries);
            self.shared.discard()?;
            self.size = Some(self.shared.reopen()?);
            (self.shared.deleted)(&[]);
            return Ok(pending + stored);
        }
        if self.size.is_none() {
            self.size = Some(self.shared.reopen()?);
        }
        let selected = self.selected(selection)?;
        let mut deleted = 0;
        for slice in selected.chunks(DELETIONS_MAX) {
            deleted += self.change(|change| slice.iter().try_for_each(|id| change.delete(id)))?;
        }
        Ok(pending + deleted)
    }

    fn selected(&self, selection: &Selection) -> Result<Vec<Id>, StoreError> {
        let Some(database) = self.shared.database() else {
            return Err(StoreError::Closed);
        };
        if let Selection::Entry(id) = selection {
            return Ok(vec![id.0]);
        }
        let entries = database.begin_read()?.open_table(ENTRIES)?;
        let mut selected = Vec::new();
        for row in entries.iter()? {
            let (id, stored) = row?;
            let Some((head, _)) = stored.value().split_first_chunk::<HEAD_BYTES>() else {
                continue;
            };
            let tags = EntryHead::of_bytes(head).tags;
            if selection.contains(CacheEntryId(*id.value()), &tags) {
                selected.push(*id.value());
            }
        }
        Ok(selected)
    }
}

impl Change<'_> {
    fn put(&mut self, shared: &CacheState, entry: &NewEntry) -> Result<(), StoreError> {
        let head = entry.head.to_bytes();
        let id = &entry.id.0;
        let Some(sealed) = shared.seal.seal(&associated(&head, id), &entry.plain) else {
            return Ok(());
        };
        let stored = [&head[..], &sealed].concat();
        self.remove(id)?;
        self.entries.insert(id, &stored[..])?;
        let bytes = taken(stored.len());
        self.expiries
            .insert(&expiry_key(entry.head.expires_ms, id), bytes)?;
        self.size.add(bytes);
        Ok(())
    }

    fn delete(&mut self, id: &Id) -> Result<(), StoreError> {
        if self.remove(id)? {
            self.deleted.push(CacheEntryId(*id));
        }
        Ok(())
    }

    /// Returns `true` if there was an entry.
    fn remove(&mut self, id: &Id) -> Result<bool, StoreError> {
        let Some(before) = self.entries.remove(id)? else {
            return Ok(false);
        };
        let before = before.value();
        if let Some((head, _)) = before.split_first_chunk::<HEAD_BYTES>() {
            let expires_ms = EntryHead::of_bytes(head).expires_ms;
            self.expiries.remove(&expiry_key(expires_ms, id))?;
        }
        self.size.remove(taken(before.len()));
        Ok(true)
    }

    /// Deletes expired entries, and the next to expire beyond the bound; a few at a time.
    fn delete_beyond(&mut self, now_ms: u64, bytes_max: u64) -> Result<(), StoreError> {
        while let Some((expires_ms, id)) = first(&self.expiries)? {
            let is_over = self.size.bytes > bytes_max;
            let is_expired = expires_ms <= now_ms && self.deleted.len() < DELETIONS_MAX;
            if !is_over && !is_expired {
                break;
            }
            let before = self.size.entries;
            self.delete(&id)?;
            if self.size.entries == before {
                // an expiry without its entry
                self.expiries.remove(&expiry_key(expires_ms, &id))?;
            }
        }
        Ok(())
    }
}

fn first(expiries: &Expiries<'_>) -> Result<Option<(u64, Id)>, StoreError> {
    let Some((key, _)) = expiries.first()? else {
        return Ok(None);
    };
    let (mut expires_ms, mut id) = ([0; 8], Id::default());
    expires_ms.copy_from_slice(&key.value()[..8]);
    id.copy_from_slice(&key.value()[8..]);
    Ok(Some((u64::from_be_bytes(expires_ms), id)))
}

fn is_quiet(pending: &mut super::pending::PendingWrites) -> bool {
    !pending.stopping && pending.purges.is_empty()
}
