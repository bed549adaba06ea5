//! Power cuts (10,000 in the long run): at and between syncs the disk of the log and the books is reduced to a state that
//! may have survived, and the store is opened on it. The store always opens, has every acknowledged record, a prefix of
//! the log booked once, and its recovery is cut in the same way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatekeeper::domain::event::LedgerEvent;
use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, RecoveredState, SealKeyCheck, Store, StoreError};

use super::expected_books::{ExpectedBooks, block_on, restart_time};
use super::workload::Workload;
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::{
    AckCounters, AckCounts, DiskSnapshot, PowerLoss, SharedDisk, SimulatedDisk,
};
use crate::harness::{print_figure, repetitions, wait_until};

/// Disk snapshots taken and checked per store, by the number of survived cuts.
const SNAPSHOTS: [usize; 4] = [8, 1, 1, 0];
/// Workload steps before a cut, by the number of survived cuts.
const STEPS: [usize; 4] = [120, 30, 10, 0];

/// One series of power cuts: settings of the store, and counts.
struct CutSeries {
    wait_for_disk: bool,
    failing_percent: u64,
    segment_bytes: u64,
    images: usize,
    /// runs whose records were stored into a mapping
    mapped: usize,
    images_max: usize,
    longest_replay: u64,
}

impl CutSeries {
    fn options(&self, disk: &Arc<SimulatedDisk>, create: bool) -> Options {
        Options {
            disk: Arc::new(SharedDisk(Arc::clone(disk))),
            zone: Zone::utc(),
            segment_bytes: self.segment_bytes,
            disk_reserve_mb: 0,
            wait_for_disk: self.wait_for_disk,
            create,
            seal_key: SealKeyCheck::Skip,
        }
    }

    /// Runs one new store and its cuts.
    fn run(&mut self, seed: u64) {
        self.segment_bytes = [4, 8, 16][(seed % 3) as usize] * 1024;
        let maps = seed % 2 == 1;
        let disk = Arc::new(SimulatedDisk::new(maps));
        let acks = Arc::new(AckCounters::default());
        let (store, recovered) =
            Store::open(self.options(&disk, true)).expect("an empty disk can be set up");
        assert_eq!(store.wal().metrics().mapped, maps);
        self.mapped += usize::from(maps);
        disk.record_snapshots(seed, SNAPSHOTS[0], &acks);
        self.work_and_cut(&disk, (store, recovered), acks, &[], (seed, 0));
    }

    /// Opens the disk after a cut, and checks it.
    fn recover(
        &mut self,
        disk: SimulatedDisk,
        (acked, least): (AckCounts, u64),
        history: &[LedgerEvent],
        (seed, cuts): (u64, usize),
    ) {
        self.images += 1;
        let (disk, acks) = (Arc::new(disk), Arc::new(AckCounters::default()));
        acks.synced.store(acked.synced, Ordering::SeqCst);
        acks.number.store(acked.number, Ordering::SeqCst);
        disk.record_snapshots(seed, SNAPSHOTS[cuts], &acks);
        let (store, recovered) =
            Store::open(self.options(&disk, false)).expect("the store opens after a power cut");
        let recovered_records = store.wal().metrics().written;
        assert!(
            recovered_records >= least,
            "acknowledged records {} to {least} are lost",
            recovered_records + 1
        );
        assert!(
            recovered_records <= history.len() as u64,
            "record {recovered_records} was never written"
        );
        acks.written.store(recovered_records, Ordering::SeqCst);
        self.longest_replay = self.longest_replay.max(recovered.replayed);
        self.work_and_cut(
            &disk,
            (store, recovered),
            acks,
            &history[..recovered_records as usize],
            (seed, cuts),
        );
    }

    /// Recovers the ledger, continues the workload, and cuts both in turn.
    fn work_and_cut(
        &mut self,
        disk: &Arc<SimulatedDisk>,
        (store, recovered): (Store, RecoveredState),
        acks: Arc<AckCounters>,
        history: &[LedgerEvent],
        (seed, cuts): (u64, usize),
    ) {
        if self.failing_percent > 0 {
            disk.fail_log_syncs(seed, self.failing_percent);
        }
        let mut books = ExpectedBooks::from_events(history);
        books.assert_recovered(&recovered);
        let mut events = history.to_vec();
        events.extend(books.orphans());
        books = ExpectedBooks::from_events(&events);
        Ledger::recover(
            store.wal(),
            Zone::utc(),
            Vec::new(),
            recovered,
            restart_time(),
        )
        .expect("the log can be written");
        let mut rng = SeededRng::new(seed);
        if cuts > 0 {
            books.assert_posted(&store);
            let number = block_on(store.write(|change| change.next_id()))
                .expect("the control plane can write");
            let before = acks.number.swap(number, Ordering::SeqCst);
            assert!(number > before, "id {number} was issued twice");
        }
        let wait_for_disk = self.wait_for_disk;
        let books_wait_quarters = rng.between(0, 3);
        let mut work = Workload {
            rng: SeededRng::new(rng.next()),
            events,
            books,
            acks,
            wait_for_disk,
            books_wait_quarters,
            fault_timeout: None,
            refused: 0,
        };
        for _ in 0..STEPS[cuts] {
            work.step(&store);
        }
        store.close();
        drop(store);
        let events = self.restart_twice(disk, work.events);
        let snapshots = disk.take_snapshots();
        for snapshot in snapshots {
            self.cut_power(&snapshot, &events, (rng.next(), cuts + 1));
        }
    }

    /// Two starts after a clean stop; the second adds nothing.
    fn restart_twice(
        &self,
        disk: &Arc<SimulatedDisk>,
        mut events: Vec<LedgerEvent>,
    ) -> Vec<LedgerEvent> {
        for _ in 0..2 {
            let (store, recovered) =
                Store::open(self.options(disk, false)).expect("the store opens after a stop");
            ExpectedBooks::from_events(&events).assert_recovered(&recovered);
            assert!(recovered.remarks.is_empty(), "{:?}", recovered.remarks);
            events.extend(ExpectedBooks::from_events(&events).orphans());
            Ledger::recover(
                store.wal(),
                Zone::utc(),
                Vec::new(),
                recovered,
                restart_time(),
            )
            .expect("the log can be written");
            store.close();
        }
        events
    }

    fn cut_power(
        &mut self,
        snapshot: &DiskSnapshot,
        events: &[LedgerEvent],
        (seed, cuts): (u64, usize),
    ) {
        if self.images >= self.images_max {
            return;
        }
        let mut rng = SeededRng::new(seed);
        let killed = rng.between(0, 5) == 0;
        let cut = if killed {
            PowerLoss::KeepAll
        } else {
            PowerLoss::any(&mut rng, snapshot.writes())
        };
        let acked = snapshot.acked;
        let least = if killed { acked.written } else { acked.synced };
        let left = snapshot.after(&cut, &mut rng);
        self.recover(left, (acked, least), events, (rng.next(), cuts));
    }
}

/// Cuts until the number of images is reached.
fn run_series(wait_for_disk: bool, failing_percent: u64, seed: u64) {
    let images_max = repetitions("GK_IMAGES", 200) / 4;
    let mut series = CutSeries {
        wait_for_disk,
        failing_percent,
        segment_bytes: 0,
        images: 0,
        mapped: 0,
        images_max,
        longest_replay: 0,
    };
    let mut runs = 0;
    while series.images < images_max || runs < 2 {
        series.run(seed + runs);
        runs += 1;
    }
    let sync = if wait_for_disk { "disk" } else { "os" };
    let failing = if failing_percent > 0 {
        ", syncs of the log failing now and then"
    } else {
        ""
    };
    print_figure(
        &format!("crash images, sync = {sync}{failing}"),
        &format!(
            "{} images of {runs} runs, {} of them with a mapped log, up to {} records replayed",
            series.images, series.mapped, series.longest_replay
        ),
    );
}

#[test]
fn power_cut_with_sync_os_keeps_synced_records() {
    run_series(false, 0, 10_000);
}

#[test]
fn power_cut_with_sync_disk_keeps_acknowledged_records() {
    run_series(true, 0, 20_000);
}

#[test]
fn power_cut_after_failed_syncs_with_sync_os_keeps_synced_records() {
    run_series(false, 20, 30_000);
}

#[test]
fn power_cut_after_failed_syncs_with_sync_disk_keeps_acknowledged_records() {
    run_series(true, 20, 40_000);
}

/// Opens a store with small segments and without a ledger: only the test writes to it.
fn open(disk: &Arc<SimulatedDisk>, wait_for_disk: bool, create: bool) -> (Store, RecoveredState) {
    let series = CutSeries {
        wait_for_disk,
        failing_percent: 0,
        segment_bytes: 8 * 1024,
        images: 0,
        mapped: 0,
        images_max: 0,
        longest_replay: 0,
    };
    Store::open(series.options(disk, create)).expect("the store opens")
}

fn workload(seed: u64, wait_for_disk: bool) -> Workload {
    Workload {
        rng: SeededRng::new(seed),
        events: Vec::new(),
        books: ExpectedBooks::default(),
        acks: Arc::default(),
        wait_for_disk,
        books_wait_quarters: 0,
        fault_timeout: Some(Duration::from_millis(3)),
        refused: 0,
    }
}

fn run_workload(store: &Store, seed: u64, wait_for_disk: bool, steps: usize) -> Workload {
    let mut work = workload(seed, wait_for_disk);
    for _ in 0..steps {
        work.step(store);
    }
    work
}

/// The first process is killed before any sync, with records in several segments; the second syncs all of them before it
/// reports them as synced.
#[test]
fn unsynced_segments_of_killed_process_are_synced_by_next_start() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, false, true);
    let mut work = workload(7, false);
    work.hold_many(&store, 80);
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let (store, recovered) = open(&killed, false, false);
    killed.fail_book_syncs();
    work.books.assert_recovered(&recovered);
    wait_until("every record is reported as synced", || {
        store.wal().metrics().synced == work.events.len() as u64
    });
    let cut = Arc::new(
        killed
            .snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    work.books.assert_recovered(&open(&cut, false, false).1);
}

/// The first process is killed after failed syncs. The second still reads its records, but no later sync would bring them to
/// the disk: they must be rewritten before they are reported as synced.
#[test]
fn records_after_failed_sync_are_rewritten_by_next_start() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, false, true);
    disk.fail_log_syncs(1, 100);
    let work = run_workload(&store, 7, false, 60);
    wait_until("a sync has failed", || {
        disk.snapshot_at_sync_failure().is_some()
    });
    let killed = disk
        .snapshot_at_sync_failure()
        .map(|snapshot| snapshot.after(&PowerLoss::KeepAll, &mut SeededRng::new(1)));
    let killed = Arc::new(killed.expect("the sync has failed"));
    store.close();
    let (store, recovered) = open(&killed, false, false);
    killed.fail_book_syncs();
    let found = store.wal().metrics().written;
    assert!(found > 0, "records were written before the sync");
    let books = ExpectedBooks::from_events(&work.events[..found as usize]);
    books.assert_recovered(&recovered);
    wait_until("every record is reported as synced", || {
        store.wal().metrics().synced == found
    });
    let cut = Arc::new(
        killed
            .snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    books.assert_recovered(&open(&cut, false, false).1);
}

/// The first process is killed with synced but unbooked records. The second cannot sync and rewrites them to a new segment,
/// which must not replace the first one before it is on disk.
#[test]
fn synced_records_survive_next_start_with_failing_syncs() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, true, true);
    disk.fail_book_syncs();
    let work = run_workload(&store, 7, true, 30);
    block_on(store.wal().wait_committed(work.events.len() as u64));
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    killed.fail_log_syncs(1, 100);
    let (store, recovered) = open(&killed, true, false);
    work.books.assert_recovered(&recovered);
    // records are rewritten before the failed sync is reported
    wait_until("a sync has failed", || store.wal().metrics().sync_failing);
    let snapshot = killed.snapshot();
    store.close();
    for seed in 0..50 {
        let mut rng = SeededRng::new(seed);
        let cut = Arc::new(snapshot.after(&PowerLoss::any(&mut rng, snapshot.writes()), &mut rng));
        let (store, recovered) = open(&cut, true, false);
        work.books.assert_recovered(&recovered);
        store.close();
    }
}

/// After a failed sync the books file may be longer in memory than on disk, and no later sync would fix its size.
#[test]
fn books_file_size_after_failed_sync_is_set_again() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = open(&disk, false, true);
    let bytes = || {
        SharedDisk(Arc::clone(&disk))
            .open("gatekeeper.redb")
            .and_then(|file| file.size())
            .expect("the books can be read")
    };
    let before = bytes();
    disk.fail_book_syncs();
    let mut work = workload(7, false);
    // the file grows only while it cannot be synced
    work.hold_many(&store, 200);
    wait_until("the books have grown", || {
        bytes() > before && store.wal().metrics().books_failing
    });
    let grown = bytes();
    disk.heal_book_syncs();
    wait_until("the books are written again", || {
        store.wal().metrics().applied == work.events.len() as u64
    });
    store.close();
    assert_eq!(bytes(), grown);
    let cut = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    work.books.assert_recovered(&open(&cut, false, false).1);
}

/// A cut before the end of `init` may leave any state, but the folder can always be opened or set up.
#[test]
fn power_cut_during_init_leaves_usable_data_folder() {
    let series = CutSeries {
        wait_for_disk: false,
        failing_percent: 0,
        segment_bytes: 16 * 1024,
        images: 0,
        mapped: 0,
        images_max: 0,
        longest_replay: 0,
    };
    for seed in 0..20 {
        let disk = Arc::new(SimulatedDisk::default());
        disk.record_snapshots(seed, 20, &Arc::new(AckCounters::default()));
        Store::open(series.options(&disk, true))
            .expect("an empty disk can be set up")
            .0
            .close();
        let mut rng = SeededRng::new(seed);
        for snapshot in disk.take_snapshots() {
            let cut = PowerLoss::any(&mut rng, snapshot.writes());
            let left = Arc::new(snapshot.after(&cut, &mut rng));
            let opened = Store::open(series.options(&left, false)).or_else(|error| match error {
                StoreError::NotInitialised => Store::open(series.options(&left, true)),
                error => Err(error),
            });
            opened
                .unwrap_or_else(|error| panic!("seed {seed}, {cut:?}: {error}"))
                .0
                .close();
        }
    }
}
