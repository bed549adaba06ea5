//! The store on a real folder, through its public interface: restarts, kills, damage and failing disks. This file has the helpers.

mod answer_cache;
mod audit;
mod audit_attacks;
mod backup;
mod failing_disk;
mod faults;
mod mapping;
pub(super) mod memory_disk;
mod request_log;
mod restart;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::event::{HoldId, LedgerEvent};
use crate::domain::id::RequestId;
use crate::domain::zone::Zone;
use crate::store::codec::tests::{sample_hold, sample_settlement};
use crate::store::disk::FolderDisk;
use crate::store::{
    Options, Record, RecordIndex, RecoveredState, RequestLogEntry, Scan, SealKeyCheck, Store,
    StoreError,
};

pub(super) fn options(folder: &Path, create: bool) -> Options {
    Options {
        disk: Arc::new(FolderDisk::lock(folder).expect("the folder is free")),
        zone: Zone::utc(),
        segment_bytes: 64 * 1024,
        disk_reserve_mb: 0,
        wait_for_disk: false,
        create,
        seal_key: SealKeyCheck::Skip,
    }
}

pub(super) fn create_store(folder: &Path) -> Store {
    Store::open(options(folder, true))
        .expect("a new folder opens")
        .0
}

fn reopen(folder: &Path) -> Result<(Store, RecoveredState), StoreError> {
    Store::open(options(folder, false))
}

/// Path of the first segment of the log.
fn first_segment(folder: &Path) -> std::path::PathBuf {
    folder.join("ledger/000001.log")
}

/// Logs hold and settlement of one request, identified by its instant.
pub(super) fn log_call(store: &Store, at_ms: u64) {
    let wal = store.wal();
    wal.append(Arc::new(LedgerEvent::Hold(sample_hold(at_ms))))
        .expect("logged");
    wal.append(Arc::new(LedgerEvent::Settle(sample_settlement(at_ms))))
        .expect("logged");
}

/// Records of requests admitted before an instant, newest first.
fn list_records(store: &Store, before_ms: Option<u64>, limit: usize) -> Vec<Record> {
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
            if let RequestLogEntry::Record(record) = entry {
                Some(record)
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn wait_until_posted(store: &Store) {
    for _ in 0..1_000 {
        let metrics = store.wal().metrics();
        if metrics.applied == metrics.written {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!(
        "the writer did not catch up in 5 s: {:?}",
        store.wal().metrics()
    );
}

/// Copies the folder while the store is open, as `kill -9` would leave it.
fn copy_as_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("ledger")).expect("a folder");
    for name in ["gatekeeper.redb", "ledger/000001.log"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    copy
}
