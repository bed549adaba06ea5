//! Failing disks while the store runs, and the delay of group commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::failing_disk::{FailingDisk, Faults};
use super::{create_store, list_records, log_call, options, reopen, wait_until_posted};
use crate::domain::event::LedgerEvent;
use crate::store::codec::tests::sample_hold;
use crate::store::disk::{Disk, FolderDisk};
use crate::store::{AppendError, Options, Store};

/// Opens an existing folder on a disk with faults.
fn open_failing(folder: &Path, faults: &Arc<Faults>, wait_for_disk: bool) -> Store {
    let disk = FailingDisk {
        real: FolderDisk::lock(folder).expect("the folder is free"),
        faults: faults.clone(),
    };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let options = Options {
        disk: Arc::new(disk),
        wait_for_disk,
        ..options(elsewhere.path(), false)
    };
    Store::open(options).expect("opens").0
}

#[test]
fn wal_sync_disk_delays_fsync_after_a_small_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(Options {
        wait_for_disk: true,
        ..options(folder.path(), true)
    })
    .expect("a new folder opens");
    let wal = store.wal();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let started = Instant::now();
    for at_ms in 0..40 {
        let sequence = wal
            .append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
            .expect("logged");
        runtime.block_on(wal.wait_committed(sequence));
        assert!(
            wal.metrics().synced >= sequence,
            "a committed record is synced"
        );
    }
    assert!(
        started.elapsed() >= 39 * Duration::from_micros(500),
        "a delay between two: {:?}",
        started.elapsed()
    );
    // a full group, and the records of a closing store, are not delayed
    (0..100).for_each(|at_ms| log_call(&store, at_ms));
    runtime.block_on(wal.wait_committed(wal.metrics().written));
    store.close();
    assert_eq!(wal.metrics().applied, 240, "everything is posted");
}

#[test]
fn wal_failed_fsync_rewrites_records_to_new_segment() {
    let folder = tempfile::tempdir().expect("a folder");
    create_store(folder.path()).close();
    let faults = Arc::new(Faults::default());
    let store = open_failing(folder.path(), &faults, false);
    faults.log_sync.store(true, Ordering::SeqCst);
    for at_ms in 1..=20 {
        log_call(&store, at_ms * 1_000);
    }
    wait_until_posted(&store);
    assert!(!faults.log_sync.load(Ordering::SeqCst), "an fsync failed");
    store.close();
    drop(store);
    let (store, recovered) = reopen(folder.path()).expect("opens again");
    assert!(recovered.holds.is_empty(), "{recovered:?}");
    assert_eq!(list_records(&store, None, 100).len(), 20);
    store.close();
}

#[test]
fn books_unwritable_are_retried_once_per_second_while_the_log_is_synced() {
    let folder = tempfile::tempdir().expect("a folder");
    create_store(folder.path()).close();
    let faults = Arc::new(Faults::default());
    let store = open_failing(folder.path(), &faults, true);
    faults.books_write.store(true, Ordering::SeqCst);
    faults.books_opened.store(0, Ordering::SeqCst);
    let began = Instant::now();
    // 0.6 s or more with new records all the time
    for at_ms in 1..=60 {
        log_call(&store, at_ms * 1_000);
        std::thread::sleep(Duration::from_millis(10));
    }
    let (tries, metrics) = (
        faults.books_opened.load(Ordering::SeqCst),
        store.wal().metrics(),
    );
    let elapsed_s = began.elapsed().as_secs() as usize;
    // a retry opens the books at most twice: before it, if the last one left them unusable, and after it
    assert!(
        tries <= 2 * (elapsed_s + 1),
        "the books were opened {tries} times within {elapsed_s} s"
    );
    assert!(metrics.synced > 60 && metrics.books_failing, "{metrics:?}");
    faults.books_write.store(false, Ordering::SeqCst);
    wait_until_posted(&store);
    assert_eq!(list_records(&store, None, 100).len(), 60);
    store.close();
}

/// Replaces a file by a copy of itself, as a careless restore does.
fn replace_by_copy(folder: &Path, name: &str) {
    let copy = folder.join("copy");
    std::fs::copy(folder.join(name), &copy).expect("copied");
    std::fs::rename(&copy, folder.join(name)).expect("renamed");
}

#[test]
fn deleted_or_replaced_data_folder_refuses_new_holds() {
    let damages: [fn(&Path); 4] = [
        |data| std::fs::rename(data, data.with_extension("away")).expect("moved"),
        |data| std::fs::remove_file(data.join("gatekeeper.redb")).expect("deleted"),
        |data| replace_by_copy(data, "gatekeeper.redb"),
        |data| std::fs::remove_dir_all(data.join("ledger")).expect("deleted"),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let store = create_store(&data);
        log_call(&store, 1);
        wait_until_posted(&store);
        assert!(!store.wal().metrics().folder_lost, "damage {number}");
        damage(&data);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !store.wal().metrics().folder_lost && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let refused = store
            .wal()
            .append(Arc::new(LedgerEvent::Hold(sample_hold(2))));
        assert_eq!(refused, Err(AppendError::FolderLost), "damage {number}");
        store.close();
    }
}

#[test]
fn renamed_and_removed_files_of_the_store_are_not_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = FolderDisk::lock(folder.path()).expect("the folder is free");
    let files: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| disk.open(name).expect("a new file"))
        .collect();
    disk.remove("a").expect("removed");
    disk.rename("b", "d").expect("renamed");
    assert_eq!(disk.lost(&["a", "b", "c", "d"]), None);
    std::fs::remove_file(folder.path().join("c")).expect("deleted");
    assert_eq!(disk.lost(&["a"]), None);
    assert_eq!(disk.lost(&["c"]), Some(folder.path().join("c")));
    drop(files);
    assert_eq!(disk.lost(&["c"]), None, "it is not open any more");
}
