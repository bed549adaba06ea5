//! Restarts: after a stop, a kill, a lost or damaged log, and with books of another release.

use std::path::Path;
use std::sync::Arc;

use super::{
    copy_as_killed, create_store, first_segment, list_records, log_call, reopen, wait_until_posted,
};
use crate::domain::event::{Hold, LedgerEvent, Progress};
use crate::domain::money::Money;
use crate::store::RollupPeriod;
use crate::store::books::tables::{META, OPEN_HOLDS};
use crate::store::codec::StoredValue;
use crate::store::codec::tests::{sample_hold, sample_progress};
use crate::store::disk::FolderDisk;

#[test]
fn store_logged_calls_are_posted_once_and_found_after_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    for at_ms in 1..=10 {
        log_call(&store, at_ms * 1_000);
    }
    wait_until_posted(&store);
    store.close();
    drop(store);
    let (store, recovered) = reopen(folder.path()).expect("opens again");
    assert!(
        recovered.holds.is_empty() && recovered.remarks.is_empty(),
        "{recovered:?}"
    );
    assert_eq!(list_records(&store, None, 100).len(), 10);
    assert_eq!(list_records(&store, Some(5_000), 100).len(), 4);
    let mut requests = 0;
    store
        .rollups(RollupPeriod::Day, 0, u64::MAX, u64::MAX, |_, sums| {
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
fn store_written_records_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    log_call(&store, 1_000);
    wait_until_posted(&store);
    for at_ms in 2..=50 {
        log_call(&store, at_ms * 1_000);
    }
    store
        .wal()
        .append(Arc::new(LedgerEvent::Hold(sample_hold(99_000))))
        .expect("logged");
    let killed = copy_as_killed(folder.path());
    store.close();
    let (copy, recovered) = reopen(killed.path()).expect("opens");
    assert_eq!(recovered.holds.len(), 1, "the call in flight");
    wait_until_posted(&copy);
    assert_eq!(list_records(&copy, None, 100).len(), 50);
    assert_eq!(
        copy.balances().expect("reads")[0].1,
        Money::from_pico(50 * 123)
    );
    copy.close();
}

#[test]
fn store_progress_of_open_holds_survives_posted_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    let log_progress = |at_ms, after_ms| {
        let progress = Progress {
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
    // in the batch of its hold, or in a later one; the third hold has no progress
    log_progress(1_000, 2_000);
    wait_until_posted(&store);
    log_progress(2_000, 2_000);
    log_progress(2_000, 4_000);
    wait_until_posted(&store);
    log_progress(1_000, 6_000);
    let killed = copy_as_killed(folder.path());
    store.close();
    let (copy, recovered) = reopen(killed.path()).expect("opens");
    let progress: Vec<u64> = recovered
        .holds
        .iter()
        .map(|hold| hold.progress.after_ms)
        .collect();
    assert_eq!(progress, [6_000, 4_000, 0]);
    copy.close();
    let in_the_books = stored_progress(folder.path());
    assert_eq!(in_the_books, [6_000, 4_000, 0], "once everything is posted");
}

/// Progress of the open holds in the books.
fn stored_progress(folder: &Path) -> Vec<u64> {
    let database = redb::Database::open(folder.join("gatekeeper.redb")).expect("opens");
    let read = redb::ReadableDatabase::begin_read(&database).expect("begins");
    let holds = read.open_table(OPEN_HOLDS).expect("the table");
    let rows = redb::ReadableTable::iter(&holds).expect("reads");
    rows.map(|row| Hold::decode(row.expect("a row").1.value()).expect("a hold"))
        .map(|hold| hold.progress.after_ms)
        .collect()
}

#[test]
fn wal_sequence_numbers_continue_after_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    log_call(&store, 1_000);
    store.close();
    drop(store);
    let (store, _) = reopen(folder.path()).expect("opens again");
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
fn wal_torn_tail_is_truncated_with_a_remark() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    log_call(&store, 1_000);
    let killed = copy_as_killed(folder.path());
    store.close();
    let mut bytes = std::fs::read(first_segment(killed.path())).expect("reads");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("written");
    bytes[end - 20..=end].fill(0xaa);
    std::fs::write(first_segment(killed.path()), &bytes).expect("writes");
    let (copy, recovered) = reopen(killed.path()).expect("a torn tail is no corruption");
    assert_eq!(recovered.remarks.len(), 1, "{:?}", recovered.remarks);
    assert!(copy.wal().metrics().written <= 2);
    copy.close();
}

#[test]
fn wal_damage_below_synced_mark_is_refused_without_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    for at_ms in 1..=20 {
        log_call(&store, at_ms * 1_000);
        wait_until_posted(&store);
    }
    store.close();
    drop(store);
    let path = first_segment(folder.path());
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[64 + 40] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");
    let error = reopen(folder.path()).err().expect("refused").to_string();
    assert!(
        error.contains("ledger/000001.log is damaged at byte 64"),
        "{error}"
    );
    assert!(
        error.contains("mv ledger/000001.log"),
        "the repair command: {error}"
    );
    assert_eq!(std::fs::read(&path).expect("reads"), bytes);
}

#[test]
fn wal_lost_begins_new_segment_after_the_books() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    log_call(&store, 1_000);
    wait_until_posted(&store);
    store.close();
    drop(store);
    std::fs::remove_file(first_segment(folder.path())).expect("removed");
    let (store, recovered) = reopen(folder.path()).expect("opens");
    assert!(
        recovered.remarks[0].contains("a new segment begins at 3"),
        "{:?}",
        recovered.remarks
    );
    log_call(&store, 2_000);
    wait_until_posted(&store);
    assert_eq!(list_records(&store, None, 10).len(), 2);
    store.close();
}

#[test]
fn wal_of_another_instance_is_refused() {
    let (one, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    for folder in [&one, &other] {
        let store = create_store(folder.path());
        log_call(&store, 1_000);
        store.close();
    }
    std::fs::copy(first_segment(other.path()), first_segment(one.path())).expect("copied");
    let error = reopen(one.path()).err().expect("refused").to_string();
    assert!(error.contains("another data folder"), "{error}");
}

#[test]
fn wal_segments_are_removed_once_posted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    for at_ms in 1..=2_000 {
        log_call(&store, at_ms);
        if at_ms % 100 == 0 {
            wait_until_posted(&store);
        }
    }
    wait_until_posted(&store);
    store.close();
    let left = std::fs::read_dir(folder.path().join("ledger"))
        .expect("reads")
        .count();
    assert!(left <= 3, "{left} segments are left");
    drop(store);
    let (store, _) = reopen(folder.path()).expect("opens");
    assert_eq!(list_records(&store, None, 10_000).len(), 2_000);
    store.close();
}

#[test]
fn books_of_newer_schema_are_refused_without_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create_store(folder.path());
    store.close();
    drop(store);
    let path = folder.path().join("gatekeeper.redb");
    {
        let database = redb::Database::open(&path).expect("opens");
        let transaction = database.begin_write().expect("begins");
        transaction
            .open_table(META)
            .expect("table")
            .insert("schema", 99)
            .expect("inserts");
        transaction.commit().expect("commits");
    }
    let before = std::fs::read(&path).expect("reads");
    let error = reopen(folder.path()).err().expect("refused").to_string();
    assert!(error.contains("schema 99"), "{error}");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
}

#[test]
fn data_folder_locked_twice_is_refused() {
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
