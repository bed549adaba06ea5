//! What models thought before they called a tool, for clients that cannot carry it: kept by team and call id, sealed, for some
//! days, in a file of its own (`memory.redb`) that is in no backup. Losing an entry, or all of them, harms nobody: what cannot be
//! read is thrown away, and no request waits for a write.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use ring::hmac;

use crate::domain::id::TeamId;
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::disk::{Backend, Disk};
use crate::store::seal::{Seal, SealKey};

/// The file, below the data folder.
pub const FILE: &str = "memory.redb";
/// Raised with every change of what an entry is; a file of another number is thrown away.
const SCHEMA: u64 = 1;
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// A larger thought is not kept.
const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// What may wait to be written; more is not kept.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Entries of one commit.
const BATCH_MAX: usize = 256;
/// Between two commits, so that many entries share one.
const GATHER: Duration = Duration::from_millis(100);
/// After a failure of the disk.
const RETRY: Duration = Duration::from_secs(1);
/// Commits that may fail one after the other before the file is thrown away.
const FAILURES_MAX: u32 = 1;
/// How often what is too old is thrown away where nothing is written.
const SWEEP: Duration = Duration::from_secs(600);

type Id = [u8; 16];

/// id → when it was kept (ms, big-endian), then the sealed bytes
const ENTRIES: TableDefinition<&Id, &[u8]> = TableDefinition::new("entries");
/// when it was kept (ms, big-endian), id → size
const AGES: TableDefinition<&[u8; 24], u64> = TableDefinition::new("ages");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries_max: u64,
    pub bytes_max: u64,
    pub keep_ms: u64,
}

/// The open memory.
pub struct ReasoningMemory {
    shared: Arc<Shared>,
    /// ids are made with it, so that the file tells nobody which calls there were
    names: hmac::Key,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    time: Arc<Time>,
    bounds: Bounds,
    seal: Seal,
    database: RwLock<Option<Arc<Database>>>,
    waiting: Mutex<PendingWrites>,
    /// something waits, or it is time to stop
    called: Condvar,
}

/// Who asked for a purge, and waits for what became of it.
type PurgeReply = std::sync::mpsc::SyncSender<Result<u64, StoreError>>;

/// What the thread is called for.
struct Work {
    batch: Vec<(Id, PendingEntry)>,
    purges: Vec<PurgeReply>,
    stopping: bool,
}

#[derive(Default)]
struct PendingWrites {
    order: VecDeque<Id>,
    entries: HashMap<Id, PendingEntry>,
    bytes: usize,
    purges: Vec<PurgeReply>,
    /// a page could not be read: the file is to be thrown away
    damaged: bool,
    stopping: bool,
}

#[derive(Clone)]
struct PendingEntry {
    at_ms: u64,
    plain: Arc<[u8]>,
}

/// What is in the file.
#[derive(Clone, Copy, Debug, Default)]
struct StoredSize {
    entries: u64,
    bytes: u64,
}

impl ReasoningMemory {
    /// Opens the file, or makes a new one in the place of what cannot be read, and starts the writer.
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bounds: Bounds,
    ) -> ReasoningMemory {
        let shared = Arc::new(Shared {
            disk,
            time,
            bounds,
            seal: Seal::new(key.for_purpose("reasoning memory: entries")),
            database: RwLock::new(None),
            waiting: Mutex::default(),
            called: Condvar::new(),
        });
        let kept = shared.reopen();
        let names = hmac::Key::new(
            hmac::HMAC_SHA256,
            &key.for_purpose("reasoning memory: names"),
        );
        let writer = Writer {
            shared: shared.clone(),
            kept: kept.ok(),
            failures: 0,
        };
        let spawned = std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || writer.run());
        let writer = spawned
            .map_err(|error| tracing::error!("the reasoning memory has no writer: {error}"))
            .ok();
        ReasoningMemory {
            shared,
            names,
            writer: Mutex::new(writer),
        }
    }

    /// Throws away what an earlier start kept: the memory is turned off.
    pub fn forget(disk: &dyn Disk) {
        if disk.exists(FILE)
            && let Err(error) = disk.remove(FILE)
        {
            tracing::error!("{FILE} cannot be removed though the reasoning memory is off: {error}");
        }
    }

    fn id(&self, team: TeamId, call: &str) -> Id {
        let name = format!("{team}\n{call}");
        let mut id = Id::default();
        id.copy_from_slice(&hmac::sign(&self.names, name.as_bytes()).as_ref()[..16]);
        id
    }

    /// Keeps what belongs to a team's call. Waits for nobody: where there is no room, it is lost.
    pub fn keep(&self, team: TeamId, call: &str, plain: Vec<u8>) {
        if plain.len() > ENTRY_BYTES_MAX {
            return;
        }
        let (id, at_ms) = (self.id(team, call), self.shared.time.now_ms());
        let mut waiting = self.shared.waiting();
        if waiting.stopping
            || waiting.order.len() >= WAITING_MAX
            || waiting.bytes + plain.len() > WAITING_BYTES_MAX
        {
            return;
        }
        waiting.put(
            id,
            PendingEntry {
                at_ms,
                plain: plain.into(),
            },
        );
        drop(waiting);
        self.shared.called.notify_one();
    }

    /// What was kept of a team's call.
    pub fn find(&self, team: TeamId, call: &str) -> Option<Vec<u8>> {
        let id = self.id(team, call);
        let entry = self.shared.waiting().entries.get(&id).cloned();
        match entry {
            Some(entry) => self
                .shared
                .is_fresh(entry.at_ms)
                .then(|| entry.plain.to_vec()),
            None => self.shared.find(&id),
        }
    }

    /// Throws everything away and says how many entries that were. Waits for the disk.
    pub fn purge(&self) -> Result<u64, StoreError> {
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        let mut waiting = self.shared.waiting();
        if waiting.stopping {
            return Err(StoreError::Closed);
        }
        waiting.purges.push(done);
        drop(waiting);
        self.shared.called.notify_one();
        outcome.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Writes what waits, and ends the writer.
    pub fn close(&self) {
        self.shared.waiting().stopping = true;
        self.shared.called.notify_one();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the reasoning memory's writer ended by a panic");
        }
    }
}

impl PendingWrites {
    fn put(&mut self, id: Id, entry: PendingEntry) {
        self.bytes += entry.plain.len();
        match self.entries.insert(id, entry) {
            Some(before) => self.bytes -= before.plain.len(),
            None => self.order.push_back(id),
        }
    }

    /// The oldest, which stay here until they are written.
    fn batch(&self) -> Vec<(Id, PendingEntry)> {
        let entry = |id: &Id| self.entries.get(id).map(|entry| (*id, entry.clone()));
        self.order
            .iter()
            .take(BATCH_MAX)
            .filter_map(entry)
            .collect()
    }

    /// Forgets what is written, unless it was replaced meanwhile.
    fn written(&mut self, batch: &[(Id, PendingEntry)]) {
        for (id, entry) in batch {
            self.order.pop_front();
            match self.entries.get(id) {
                Some(now) if !Arc::ptr_eq(&now.plain, &entry.plain) => self.order.push_back(*id),
                _ => {
                    self.entries.remove(id);
                    self.bytes -= entry.plain.len();
                }
            }
        }
    }

    fn clear(&mut self) -> u64 {
        let cleared = self.order.len() as u64;
        (self.order, self.entries, self.bytes) = Default::default();
        cleared
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, PendingWrites> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, at_ms: u64) -> bool {
        self.time.now_ms().saturating_sub(at_ms) <= self.bounds.keep_ms
    }

    fn find(&self, id: &Id) -> Option<Vec<u8>> {
        let database = self
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let stored = guarded(|| stored(&database, id)).unwrap_or_else(|error| {
            tracing::debug!("the reasoning memory cannot be read: {error}");
            self.waiting().damaged = true;
            self.called.notify_one();
            None
        })?;
        let (at_ms, sealed) = stored.split_first_chunk::<8>()?;
        if !self.is_fresh(u64::from_be_bytes(*at_ms)) {
            return None;
        }
        self.seal.open(&about(*at_ms, id), sealed)
    }

    /// Opens the file, from the start or once more after a failure; what cannot be read is thrown away.
    fn reopen(&self) -> Result<StoredSize, StoreError> {
        self.put(None);
        let opened = guarded(|| self.open_file()).or_else(|error| {
            tracing::warn!("{FILE} cannot be read ({error}) and is thrown away; nothing but thoughts of models is lost");
            self.discard()?;
            guarded(|| self.open_file())
        });
        let (database, kept) = opened?;
        self.put(Some(Arc::new(database)));
        Ok(kept)
    }

    fn discard(&self) -> Result<(), StoreError> {
        self.put(None);
        if self.disk.exists(FILE) {
            self.disk
                .remove(FILE)
                .map_err(|error| StoreError::Database(error.to_string()))?;
        }
        Ok(())
    }

    fn put(&self, database: Option<Arc<Database>>) {
        let before = std::mem::replace(
            &mut *self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner),
            database,
        );
        // closing a damaged file can fail like reading it
        let _ = guarded(|| {
            drop(before);
            Ok(())
        });
    }

    fn open_file(&self) -> Result<(Database, StoredSize), StoreError> {
        let file = self
            .disk
            .open(FILE)
            .map_err(|error| StoreError::Database(error.to_string()))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Backend::on(file, Arc::default()))?;
        let transaction = database.begin_write()?;
        let mut kept = StoredSize::default();
        {
            let mut meta = transaction.open_table(META)?;
            let schema = meta.get("schema")?.map(|schema| schema.value());
            if schema.is_some_and(|schema| schema != SCHEMA) {
                return Err(StoreError::Database(
                    "it was written by another release".into(),
                ));
            }
            meta.insert("schema", SCHEMA)?;
            transaction.open_table(ENTRIES)?;
            for row in transaction.open_table(AGES)?.iter()? {
                kept = StoredSize {
                    entries: kept.entries + 1,
                    bytes: kept.bytes + row?.1.value(),
                };
            }
        }
        transaction.commit()?;
        Ok((database, kept))
    }
}

/// redb takes its pages to be whole: where they are not, it panics. Here that is one more reason to throw the file away.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(StoreError::Database("its pages are damaged".into())))
}

fn stored(database: &Database, id: &Id) -> Result<Option<Vec<u8>>, StoreError> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries.get(id)?.map(|entry| entry.value().to_vec()))
}

/// What a sealed entry is about: nobody puts one in another's place or makes it younger.
fn about(at_ms: [u8; 8], id: &Id) -> [u8; 24] {
    let mut about = [0; 24];
    about[..8].copy_from_slice(&at_ms);
    about[8..].copy_from_slice(id);
    about
}

type Entries<'t> = redb::Table<'t, &'static Id, &'static [u8]>;
type Ages<'t> = redb::Table<'t, &'static [u8; 24], u64>;

fn oldest(ages: &Ages<'_>) -> Result<Option<([u8; 24], u64)>, StoreError> {
    Ok(ages
        .first()?
        .map(|(age, bytes)| (*age.value(), bytes.value())))
}

/// When an entry was kept, and its id.
fn parted(age: &[u8; 24]) -> (u64, Id) {
    let (mut at_ms, mut id) = ([0; 8], Id::default());
    at_ms.copy_from_slice(&age[..8]);
    id.copy_from_slice(&age[8..]);
    (u64::from_be_bytes(at_ms), id)
}

/// The one thread that writes the file.
struct Writer {
    shared: Arc<Shared>,
    /// `None` where the file is not open
    kept: Option<StoredSize>,
    /// commits that failed, one after the other
    failures: u32,
}

impl Writer {
    fn run(mut self) {
        loop {
            let Work {
                batch,
                purges,
                stopping,
            } = self.called();
            if std::mem::take(&mut self.shared.waiting().damaged) {
                self.failures = FAILURES_MAX;
                self.failed();
            }
            if !purges.is_empty() {
                let outcome = guarded(|| self.purge());
                for purge in purges {
                    // who asked may have gone
                    let _ = purge.send(outcome.clone());
                }
                continue;
            }
            match guarded(|| self.write(&batch)) {
                Ok(()) => {
                    self.failures = 0;
                    self.shared.waiting().written(&batch);
                }
                Err(error) => {
                    tracing::warn!("the reasoning memory cannot be written: {error}");
                    self.failed();
                }
            }
            if stopping && (batch.len() < BATCH_MAX || self.kept.is_none()) {
                return self.shared.put(None);
            }
            if !stopping {
                let pause = if self.kept.is_none() { RETRY } else { GATHER };
                let waiting = self.shared.waiting();
                // woken early by a stop or a purge, which is as well
                drop(
                    self.shared
                        .called
                        .wait_timeout_while(waiting, pause, |waiting| {
                            !waiting.stopping && waiting.purges.is_empty()
                        }),
                );
            }
        }
    }

    /// Waits until there is something to do, or a sweep is due.
    fn called(&self) -> Work {
        let nothing = |waiting: &mut PendingWrites| {
            waiting.order.is_empty()
                && waiting.purges.is_empty()
                && !waiting.stopping
                && !waiting.damaged
        };
        let waiting = self.shared.waiting();
        let waited = self
            .shared
            .called
            .wait_timeout_while(waiting, SWEEP, nothing);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Work {
            batch: waiting.batch(),
            purges: std::mem::take(&mut waiting.purges),
            stopping: waiting.stopping,
        }
    }

    /// A file that takes no commit is opened once more, and then thrown away.
    fn failed(&mut self) {
        self.kept = None;
        self.failures += 1;
        if self.failures > FAILURES_MAX
            && let Err(error) = self.shared.discard()
        {
            tracing::error!("{FILE} is damaged and cannot be removed: {error}");
        }
    }

    /// One commit: a batch, and what is over the bounds goes.
    fn write(&mut self, batch: &[(Id, PendingEntry)]) -> Result<(), StoreError> {
        let mut kept = match self.kept {
            Some(kept) => kept,
            None => self.shared.reopen()?,
        };
        let database = self
            .shared
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(database) = database else {
            return Err(StoreError::Closed);
        };
        let transaction = database.begin_write()?;
        {
            let (mut entries, mut ages) = (
                transaction.open_table(ENTRIES)?,
                transaction.open_table(AGES)?,
            );
            for (id, entry) in batch {
                self.put(id, entry, &mut entries, &mut ages, &mut kept)?;
            }
            while let Some((age, bytes)) = oldest(&ages)? {
                let (at_ms, id) = parted(&age);
                if kept.is_within(&self.shared.bounds) && self.shared.is_fresh(at_ms) {
                    break;
                }
                ages.remove(&age)?;
                entries.remove(&id)?;
                kept.take(bytes);
            }
        }
        transaction.commit()?;
        self.kept = Some(kept);
        Ok(())
    }

    fn put(
        &self,
        id: &Id,
        entry: &PendingEntry,
        entries: &mut Entries<'_>,
        ages: &mut Ages<'_>,
        kept: &mut StoredSize,
    ) -> Result<(), StoreError> {
        let at_ms = entry.at_ms.to_be_bytes();
        let Some(sealed) = self.shared.seal.seal(&about(at_ms, id), &entry.plain) else {
            return Ok(());
        };
        let stored = [&at_ms[..], &sealed].concat();
        if let Some(before) = entries.insert(id, &stored[..])? {
            let before = before.value();
            kept.take(before.len() as u64);
            if let Some((at_ms, _)) = before.split_first_chunk::<8>() {
                ages.remove(&about(*at_ms, id))?;
            }
        }
        ages.insert(&about(at_ms, id), stored.len() as u64)?;
        kept.put(stored.len() as u64);
        Ok(())
    }

    /// The file goes as a whole: nothing of what was in it stays on its pages.
    fn purge(&mut self) -> Result<u64, StoreError> {
        let waiting = self.shared.waiting().clear();
        let stored = self.kept.take().map_or(0, |kept| kept.entries);
        self.shared.discard()?;
        self.kept = Some(self.shared.reopen()?);
        Ok(waiting + stored)
    }
}

impl StoredSize {
    fn put(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_within(&self, bounds: &Bounds) -> bool {
        self.entries <= bounds.entries_max && self.bytes <= bounds.bytes_max
    }
}
