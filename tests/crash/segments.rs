//! Segments of the log after a power cut: a lost header or a swapped name is refused if the segment had been synced, and
//! truncated if it had not.

use std::sync::Arc;
use std::time::Duration;

use gatekeeper::domain::zone::Zone;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, RecoveredState, SealKeyCheck, Store, StoreError};

use super::expected_books::{ExpectedBooks, block_on};
use super::workload::Workload;
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::{PowerLoss, SharedDisk, SimulatedDisk};

const LOG: &str = "ledger/000001.log";

/// Opens a store with small segments.
fn open(disk: &Arc<SimulatedDisk>, create: bool) -> Result<(Store, RecoveredState), StoreError> {
    let segment_bytes = 8 * 1024;
    let disk = Arc::new(SharedDisk(Arc::clone(disk)));
    Store::open(Options {
        disk,
        zone: Zone::utc(),
        segment_bytes,
        disk_reserve_mb: 0,
        wait_for_disk: true,
        create,
        seal_key: SealKeyCheck::Skip,
    })
}

fn workload() -> Workload {
    Workload {
        rng: SeededRng::new(7),
        events: Vec::new(),
        books: ExpectedBooks::default(),
        acks: Arc::default(),
        wait_for_disk: true,
        books_wait_quarters: 0,
        fault_timeout: Some(Duration::from_millis(3)),
        refused: 0,
    }
}

/// A log of several segments without a booked record: the disk, the number of holds, the names of the segments.
fn several_segments() -> (Arc<SimulatedDisk>, usize, Vec<String>) {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, true).expect("an empty disk can be set up");
    disk.fail_book_syncs();
    let mut work = workload();
    for _ in 0..9 {
        work.hold_many(&store, 10);
        block_on(store.wal().wait_committed(work.events.len() as u64));
    }
    work.hold_many(&store, 1);
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let folder = SharedDisk(Arc::clone(&killed));
    let mut logs = folder.names("ledger").expect("the folder can be listed");
    // a preallocated segment is unused
    logs.retain(|log| {
        let mut head = [0; 8];
        folder
            .open(&format!("ledger/{log}"))
            .and_then(|file| file.read_at(0, &mut head))
            .expect("a segment can be read");
        head != [0; 8]
    });
    assert!(logs.len() >= 3, "{logs:?}");
    (killed, work.events.len(), logs)
}

/// Opens a changed copy of the disk: the number of recovered holds, or the error.
fn open_after(
    disk: &Arc<SimulatedDisk>,
    change: impl FnOnce(&SharedDisk),
) -> Result<usize, String> {
    let copy = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    change(&SharedDisk(Arc::clone(&copy)));
    let (store, recovered) = open(&copy, false).map_err(|error| error.to_string())?;
    store.close();
    Ok(recovered.holds.len())
}

#[test]
fn segment_with_zeroed_header_among_several_is_refused_by_name() {
    let (disk, holds, logs) = several_segments();
    assert_eq!(open_after(&disk, |_| {}), Ok(holds));
    for log in logs {
        let output = open_after(&disk, |disk| {
            let file = disk
                .open(&format!("ledger/{log}"))
                .expect("the segment exists");
            file.write_at(0, &[0; 64])
                .expect("the segment can be written");
        });
        let output = output.expect_err("the log is refused");
        assert!(
            output.contains(&format!("ledger/{log} is damaged at byte 0")),
            "{log}: {output}"
        );
    }
}

/// The first write of a segment may reach the disk without the header. No record in it was acknowledged.
#[test]
fn segment_without_header_never_synced_is_truncated_with_remark() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, true).expect("an empty disk can be set up");
    disk.fail_book_syncs();
    let mut work = workload();
    work.hold_many(&store, 1);
    let cut = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let log = SharedDisk(Arc::clone(&cut))
        .open(LOG)
        .expect("the segment exists");
    log.write_at(0, &[0; 64])
        .expect("the segment can be written");
    for remarks in [1, 0] {
        let (store, recovered) = open(&cut, false).expect("the store opens after a power cut");
        assert_eq!(
            (recovered.holds.len(), recovered.remarks.len()),
            (0, remarks),
            "{:?}",
            recovered.remarks
        );
        assert!(
            recovered
                .remarks
                .iter()
                .all(|remark| remark.contains("it has no head")),
            "{:?}",
            recovered.remarks
        );
        store.close();
    }
}

#[test]
fn segments_with_swapped_names_are_refused() {
    let (disk, _, logs) = several_segments();
    let named = |log: &String| format!("ledger/{log}");
    for (one, other) in logs
        .iter()
        .flat_map(|one| logs.iter().map(move |other| (one, other)))
        .filter(|(one, other)| one != other)
    {
        let swapped = open_after(&disk, |disk| {
            for (from, to) in [
                (named(one), "ledger/between".to_owned()),
                (named(other), named(one)),
                ("ledger/between".to_owned(), named(other)),
            ] {
                disk.rename(&from, &to).expect("the segment can be renamed");
            }
        });
        assert!(swapped.is_err(), "{one} and {other}");
    }
}
