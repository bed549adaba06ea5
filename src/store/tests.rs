//! The store through its own door, on a real folder: what is written survives, what is torn is cut, what is damaged is
//! refused.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::tests::{sample_hold, sample_settlement};
use super::disk::{Disk, DiskFile, FolderDisk};
use super::*;
use crate::domain::event::{HoldId, LedgerEvent};
use crate::domain::id::RequestId;

pub(super) fn options(folder: &Path, create: bool) -> Options {
    Options {
        disk: Arc::new(FolderDisk::lock(folder).expect("the folder is free")),
        zone: Zone::utc(),
        segment_bytes: 64 * 1024,
        disk_reserve_mb: 0,
        wait_for_disk: false,
        create,
    }
}

pub(super) fn fresh(folder: &Path) -> Store {
    Store::open(options(folder, true))
        .expect("a new folder opens")
        .0
}

fn reopened(folder: &Path) -> Result<(Store, RecoveredState), StoreError> {
    Store::open(options(folder, false))
}

fn segment(folder: &Path) -> std::path::PathBuf {
    folder.join("ledger/000001.log")
}

/// Hold and settlement of one request, told apart by its instant.
pub(super) fn call(store: &Store, at_ms: u64) {
    let journal = store.wal();
    journal
        .append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
        .expect("logged");
    journal
        .append(Arc::new(LedgerEvent::Settle(sample_settlement(at_ms))))
        .expect("logged");
}

/// Records, newest first, of requests admitted before an instant.
fn listed(store: &Store, before_ms: Option<u64>, limit: usize) -> Vec<Record> {
    let id = |request| HoldId {
        request,
        attempt: 0,
    };
    let to = id(before_ms.map_or(RequestId(u128::MAX), RequestId::first_at));
    let index = RecordIndex::Time;
    let scan = Scan {
        index,
        from: id(RequestId(0)),
        to,
        newest_first: true,
        limit,
        rows_max: usize::MAX,
    };
    let entries = store.request_log(&scan, |_| true).expect("reads").entries;
    entries
        .into_iter()
        .filter_map(|entry| {
            if let RequestLogEntry::Booked(record) = entry {
                Some(record)
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn wait_until_booked(store: &Store) {
    for _ in 0..1_000 {
        let figures = store.wal().figures();
        if figures.applied == figures.written {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!(
        "the writer did not catch up in 5 s: {:?}",
        store.wal().figures()
    );
}

/// The folder as a `kill -9` leaves it: copied while the store is open.
fn killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("ledger")).expect("a folder");
    for name in ["gatekeeper.redb", "ledger/000001.log"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    copy
}

#[test]
fn what_was_logged_is_booked_once_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    for at_ms in 1..=10 {
        call(&store, at_ms * 1_000);
    }
    wait_until_booked(&store);
    store.close();
    drop(store);
    let (store, recovered) = reopened(folder.path()).expect("opens again");
    assert!(
        recovered.holds.is_empty() && recovered.remarks.is_empty(),
        "{recovered:?}"
    );
    assert_eq!(listed(&store, None, 100).len(), 10);
    assert_eq!(listed(&store, Some(5_000), 100).len(), 4);
    let mut requests = 0;
    store
        .rollups(Grain::Day, 0, u64::MAX, u64::MAX, |_, sums| {
            requests += sums.requests
        })
        .expect("reads");
    assert_eq!(requests, 10);
    assert_eq!(
        store.balances().expect("reads")[0].1,
        Money::from_pico(1_230)
    );
    store.close();
}

#[test]
fn what_was_written_but_not_booked_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    call(&store, 1_000);
    wait_until_booked(&store);
    for at_ms in 2..=50 {
        call(&store, at_ms * 1_000);
    }
    store
        .wal()
        .append(Arc::new(LedgerEvent::Hold(sample_hold(99_000))))
        .expect("logged");
    let killed = killed(folder.path());
    store.close();
    let (copy, recovered) = reopened(killed.path()).expect("opens");
    assert_eq!(recovered.holds.len(), 1, "the one that was in flight");
    wait_until_booked(&copy);
    assert_eq!(listed(&copy, None, 100).len(), 50);
    assert_eq!(
        copy.balances().expect("reads")[0].1,
        Money::from_pico(50 * 123)
    );
    copy.close();
}

#[test]
fn what_was_noted_of_an_open_hold_survives_booked_or_not() {
    use super::codec::tests::sample_progress;
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    let note = |at_ms, after_ms| {
        let progress = crate::domain::event::Progress {
            after_ms,
            ..sample_progress()
        };
        store
            .wal()
            .append(Arc::new(LedgerEvent::Progress {
                id: sample_hold(at_ms).id,
                progress,
            }))
            .expect("logged");
    };
    for at_ms in [1_000, 2_000, 3_000] {
        store
            .wal()
            .append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
            .expect("logged");
    }
    // in the same batch as its hold, or in a later one; of the third nothing is heard
    note(1_000, 2_000);
    wait_until_booked(&store);
    note(2_000, 2_000);
    note(2_000, 4_000);
    wait_until_booked(&store);
    note(1_000, 6_000);
    let killed = killed(folder.path());
    store.close();
    let (copy, recovered) = reopened(killed.path()).expect("opens");
    let heard: Vec<u64> = recovered
        .holds
        .iter()
        .map(|hold| hold.progress.after_ms)
        .collect();
    assert_eq!(heard, [6_000, 4_000, 0]);
    copy.close();
    let in_the_books: Vec<u64> = {
        let database = redb::Database::open(folder.path().join("gatekeeper.redb")).expect("opens");
        let read = redb::ReadableDatabase::begin_read(&database).expect("begins");
        let holds = read.open_table(table::OPEN_HOLDS).expect("the table");
        let rows = redb::ReadableTable::iter(&holds).expect("reads");
        rows.map(|row| codec::Stored::decode(row.expect("a row").1.value()).expect("a hold"))
            .map(|hold: Hold| hold.progress.after_ms)
            .collect()
    };
    assert_eq!(in_the_books, [6_000, 4_000, 0], "once all is booked");
}

#[test]
fn a_walk_looks_at_no_more_rows_than_it_may_and_says_where_it_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    for at_ms in 1..=30 {
        call(&store, at_ms * 1_000);
    }
    wait_until_booked(&store);
    let id = |request| HoldId {
        request,
        attempt: 0,
    };
    let scan = Scan {
        index: RecordIndex::Key(KeyId(3)),
        from: id(RequestId(0)),
        to: id(RequestId(u128::MAX)),
        newest_first: false,
        limit: 2,
        rows_max: 7,
    };
    let even = |looked: &EntryHead| matches!(looked, EntryHead::Booked(record) if record.hold.at_ms == 10_000);
    let first = store.request_log(&scan, even).expect("reads");
    assert_eq!(
        (first.entries.len(), first.rows, first.finished),
        (0, 7, false)
    );
    assert_eq!(first.last, Some(sample_hold(7_000).id));
    let all = store.request_log(&scan, |_| true).expect("reads");
    assert_eq!(
        (all.entries.len(), all.rows),
        (2, 2),
        "the limit ends it too"
    );
    let not_ok = Scan {
        index: RecordIndex::NotOk(StatusClass::Failed),
        ..scan
    };
    let none = store.request_log(&not_ok, |_| true).expect("reads");
    assert!(none.finished && none.rows == 0);
    store.close();
}

#[test]
fn numbers_go_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    call(&store, 1_000);
    store.close();
    drop(store);
    let (store, _) = reopened(folder.path()).expect("opens again");
    assert_eq!(
        store
            .wal()
            .append(Arc::new(LedgerEvent::Hold(sample_hold(2_000))))
            .expect("logged"),
        3
    );
    store.close();
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    call(&store, 1_000);
    let killed = killed(folder.path());
    store.close();
    let mut bytes = std::fs::read(segment(killed.path())).expect("reads");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("written");
    bytes[end - 20..=end].fill(0xaa);
    std::fs::write(segment(killed.path()), &bytes).expect("writes");
    let (copy, recovered) = reopened(killed.path()).expect("a torn tail is no corruption");
    assert_eq!(recovered.remarks.len(), 1, "{:?}", recovered.remarks);
    assert!(copy.wal().figures().written <= 2);
    copy.close();
}

#[test]
fn damage_below_the_synced_mark_is_corruption_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    for at_ms in 1..=20 {
        call(&store, at_ms * 1_000);
        wait_until_booked(&store);
    }
    store.close();
    drop(store);
    // the books as they were before anything was booked, so that the log is needed from its start
    let path = segment(folder.path());
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[64 + 40] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");
    let error = reopened(folder.path()).err().expect("refused").to_string();
    assert!(
        error.contains("ledger/000001.log is damaged at byte 64"),
        "{error}"
    );
    assert!(
        error.contains("mv ledger/000001.log"),
        "it names the remedy: {error}"
    );
    assert_eq!(std::fs::read(&path).expect("reads"), bytes);
}

#[test]
fn a_log_that_was_lost_is_begun_anew_where_the_books_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    call(&store, 1_000);
    wait_until_booked(&store);
    store.close();
    drop(store);
    std::fs::remove_file(segment(folder.path())).expect("removed");
    let (store, recovered) = reopened(folder.path()).expect("opens");
    assert!(
        recovered.remarks[0].contains("a new segment begins at 3"),
        "{:?}",
        recovered.remarks
    );
    call(&store, 2_000);
    wait_until_booked(&store);
    assert_eq!(listed(&store, None, 10).len(), 2);
    store.close();
}

#[test]
fn a_foreign_log_is_refused() {
    let (one, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    for folder in [&one, &other] {
        let store = fresh(folder.path());
        call(&store, 1_000);
        store.close();
    }
    std::fs::copy(segment(other.path()), segment(one.path())).expect("copied");
    let error = reopened(one.path()).err().expect("refused").to_string();
    assert!(error.contains("another data folder"), "{error}");
}

#[test]
fn segments_roll_over_and_go_when_they_are_booked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    for at_ms in 1..=2_000 {
        call(&store, at_ms);
        if at_ms % 100 == 0 {
            wait_until_booked(&store);
        }
    }
    wait_until_booked(&store);
    store.close();
    let left = std::fs::read_dir(folder.path().join("ledger"))
        .expect("reads")
        .count();
    assert!(left <= 3, "{left} segments are left");
    drop(store);
    let (store, _) = reopened(folder.path()).expect("opens");
    assert_eq!(listed(&store, None, 10_000).len(), 2_000);
    store.close();
}

#[test]
fn with_sync_disk_a_sync_rests_for_company_after_a_small_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(Options {
        wait_for_disk: true,
        ..options(folder.path(), true)
    })
    .expect("a new folder opens");
    let journal = store.wal();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let begun = Instant::now();
    for at_ms in 0..40 {
        let sequence = journal
            .append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
            .expect("logged");
        runtime.block_on(journal.settled(sequence));
        assert!(
            journal.figures().synced >= sequence,
            "who waited finds it on disk"
        );
    }
    assert!(
        begun.elapsed() >= 39 * Duration::from_micros(500),
        "a rest between two: {:?}",
        begun.elapsed()
    );
    // a whole group, and what a closing store has, wait for no rest
    (0..100).for_each(|at_ms| call(&store, at_ms));
    runtime.block_on(journal.settled(journal.figures().written));
    store.close();
    assert_eq!(journal.figures().applied, 240, "all of it is booked");
}

#[test]
fn a_newer_schema_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fresh(folder.path());
    store.close();
    drop(store);
    let path = folder.path().join("gatekeeper.redb");
    {
        let database = redb::Database::open(&path).expect("opens");
        let transaction = database.begin_write().expect("begins");
        transaction
            .open_table(table::META)
            .expect("table")
            .insert("schema", 99)
            .expect("inserts");
        transaction.commit().expect("commits");
    }
    let before = std::fs::read(&path).expect("reads");
    let error = reopened(folder.path()).err().expect("refused").to_string();
    assert!(error.contains("schema 99"), "{error}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
}

#[test]
fn two_processes_never_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = FolderDisk::lock(folder.path()).expect("free");
    let error = FolderDisk::lock(folder.path())
        .err()
        .expect("taken")
        .to_string();
    assert!(
        error.contains("in use by another gatekeeper process"),
        "{error}"
    );
}

/// A disk whose log fails at its next sync.
struct FailingSync {
    real: FolderDisk,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn DiskFile>,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Disk for FailingSync {
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = self.real.open(name)?;
        if name.ends_with(".log") {
            Ok(Arc::new(FailingFile {
                file,
                fails: self.fails.clone(),
            }))
        } else {
            Ok(file)
        }
    }
    fn exists(&self, name: &str) -> bool {
        self.real.exists(name)
    }
    fn names(&self, folder: &str) -> std::io::Result<Vec<String>> {
        self.real.names(folder)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.real.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.real.rename(from, to)
    }
    fn sync_folder(&self, folder: &str) -> std::io::Result<()> {
        self.real.sync_folder(folder)
    }
    fn free_mb(&self) -> std::io::Result<u64> {
        self.real.free_mb()
    }
}

impl DiskFile for FailingFile {
    fn size(&self) -> std::io::Result<u64> {
        self.file.size()
    }
    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.file.set_size(size)
    }
    fn allocate(&self, size: u64) -> std::io::Result<()> {
        self.file.allocate(size)
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.file.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        if self.fails.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(std::io::Error::other("the disk lost it"));
        }
        self.file.sync_data()
    }
}

#[test]
fn after_a_failed_sync_the_records_are_written_again_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    fresh(folder.path()).close();
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let disk = FailingSync {
        real: FolderDisk::lock(folder.path()).expect("free"),
        fails: fails.clone(),
    };
    let (store, _) = Store::open(Options {
        disk: Arc::new(disk),
        ..options_without_lock()
    })
    .expect("opens");
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    for at_ms in 1..=20 {
        call(&store, at_ms * 1_000);
    }
    wait_until_booked(&store);
    assert!(
        !fails.load(std::sync::atomic::Ordering::SeqCst),
        "a sync failed"
    );
    store.close();
    drop(store);
    let (store, recovered) = reopened(folder.path()).expect("opens again");
    assert!(recovered.holds.is_empty(), "{recovered:?}");
    assert_eq!(listed(&store, None, 100).len(), 20);
    store.close();
}

fn options_without_lock() -> Options {
    let elsewhere = tempfile::tempdir().expect("a folder");
    Options {
        create: false,
        ..options(elsewhere.path(), false)
    }
}

/// A disk whose database cannot be written, and that counts how often it is opened again.
struct FailingBooks {
    real: FolderDisk,
    fails: Arc<std::sync::atomic::AtomicBool>,
    opened: Arc<std::sync::atomic::AtomicUsize>,
}

struct FailingBooksFile {
    file: Arc<dyn DiskFile>,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Disk for FailingBooks {
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = self.real.open(name)?;
        if name != "gatekeeper.redb" {
            return Ok(file);
        }
        self.opened
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Arc::new(FailingBooksFile {
            file,
            fails: self.fails.clone(),
        }))
    }
    fn exists(&self, name: &str) -> bool {
        self.real.exists(name)
    }
    fn names(&self, folder: &str) -> std::io::Result<Vec<String>> {
        self.real.names(folder)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.real.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.real.rename(from, to)
    }
    fn sync_folder(&self, folder: &str) -> std::io::Result<()> {
        self.real.sync_folder(folder)
    }
    fn free_mb(&self) -> std::io::Result<u64> {
        self.real.free_mb()
    }
}

impl DiskFile for FailingBooksFile {
    fn size(&self) -> std::io::Result<u64> {
        self.file.size()
    }
    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.file.set_size(size)
    }
    fn allocate(&self, size: u64) -> std::io::Result<()> {
        self.file.allocate(size)
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.file.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(std::io::Error::other("the books cannot be written"));
        }
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

#[test]
fn books_that_cannot_be_written_are_tried_once_a_second_while_the_log_goes_on_being_synced() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let folder = tempfile::tempdir().expect("a folder");
    fresh(folder.path()).close();
    let (fails, opened) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let real = FolderDisk::lock(folder.path()).expect("free");
    let disk = Arc::new(FailingBooks {
        real,
        fails: fails.clone(),
        opened: opened.clone(),
    });
    let (store, _) = Store::open(Options {
        disk,
        wait_for_disk: true,
        ..options_without_lock()
    })
    .expect("opens");
    fails.store(true, Ordering::SeqCst);
    opened.store(0, Ordering::SeqCst);
    // 0.6 s in which somebody waits for the disk all the time
    for at_ms in 1..=60 {
        call(&store, at_ms * 1_000);
        std::thread::sleep(Duration::from_millis(10));
    }
    let (tried, figures) = (opened.load(Ordering::SeqCst), store.wal().figures());
    assert!(
        tried <= 2,
        "the books were opened {tried} times within a second"
    );
    assert!(figures.synced > 60 && figures.books_failing, "{figures:?}");
    fails.store(false, Ordering::SeqCst);
    wait_until_booked(&store);
    assert_eq!(listed(&store, None, 100).len(), 60);
    store.close();
}
