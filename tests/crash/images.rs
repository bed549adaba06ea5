//! Power cuts, ten thousand of them in the long run: at every sync, and between them, the disk under the log and the books
//! is cut to what may have survived, and the store is opened on what is left. It always opens; nothing that was promised is
//! missing; what is there is the log's beginning, whole and booked once; and the recovery is cut like anything else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatekeeper::domain::event::LedgerEvent;
use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, RecoveredState, Store, StoreError};

use super::books::{Books, Work, restarted, waits};
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::{
    AckCounters, AckCounts, DiskSnapshot, PowerLoss, SharedDisk, SimulatedDisk,
};
use crate::harness::{print_figure, repetitions, wait_until};

/// Pictures that are taken in the life of a store, and looked at, by how many cuts it has survived.
const PICTURES: [usize; 4] = [8, 1, 1, 0];
/// What is asked of a store before it is cut.
const STEPS: [usize; 4] = [120, 30, 10, 0];

/// One family of disks: how the store runs on them, and what was counted.
struct Family {
    wait_for_disk: bool,
    failing_percent: u64,
    segment_bytes: u64,
    images: usize,
    wanted: usize,
    longest_replay: u64,
}

impl Family {
    fn options(&self, disk: &Arc<SimulatedDisk>, create: bool) -> Options {
        Options {
            disk: Arc::new(SharedDisk(Arc::clone(disk))),
            zone: Zone::utc(),
            segment_bytes: self.segment_bytes,
            disk_reserve_mb: 0,
            wait_for_disk: self.wait_for_disk,
            create,
        }
    }

    fn begins(&mut self, seed: u64) {
        self.segment_bytes = [4, 8, 16][(seed % 3) as usize] * 1024;
        let disk = Arc::new(SimulatedDisk::default());
        let promises = Arc::new(AckCounters::default());
        let (store, recovered) =
            Store::open(self.options(&disk, true)).expect("an empty disk can be set up");
        disk.record_snapshots(seed, PICTURES[0], &promises);
        self.goes_on(&disk, (store, recovered), promises, &[], (seed, 0));
    }

    /// Opens what a cut has left, and checks it.
    fn recovers(
        &mut self,
        disk: SimulatedDisk,
        (promised, least): (AckCounts, u64),
        history: &[LedgerEvent],
        (seed, age): (u64, usize),
    ) {
        self.images += 1;
        let (disk, promises) = (Arc::new(disk), Arc::new(AckCounters::default()));
        promises.synced.store(promised.synced, Ordering::SeqCst);
        promises.number.store(promised.number, Ordering::SeqCst);
        disk.record_snapshots(seed, PICTURES[age], &promises);
        let (store, recovered) = Store::open(self.options(&disk, false))
            .expect("a power cut never keeps the store from opening");
        let there = store.wal().metrics().written;
        assert!(
            there >= least,
            "records {} to {least} were promised and are gone",
            there + 1
        );
        assert!(
            there <= history.len() as u64,
            "record {there} was never written"
        );
        promises.written.store(there, Ordering::SeqCst);
        self.longest_replay = self.longest_replay.max(recovered.replayed);
        self.goes_on(
            &disk,
            (store, recovered),
            promises,
            &history[..there as usize],
            (seed, age),
        );
    }

    /// Recovers the ledger, works on, and cuts all of that in turn.
    fn goes_on(
        &mut self,
        disk: &Arc<SimulatedDisk>,
        (store, recovered): (Store, RecoveredState),
        promises: Arc<AckCounters>,
        history: &[LedgerEvent],
        (seed, age): (u64, usize),
    ) {
        if self.failing_percent > 0 {
            disk.fail_log_syncs(seed, self.failing_percent);
        }
        let mut books = Books::of(history);
        books.is_what_was_recovered(&recovered);
        let mut events = history.to_vec();
        events.extend(books.orphans());
        books = Books::of(&events);
        Ledger::recover(store.wal(), Zone::utc(), Vec::new(), recovered, restarted())
            .expect("the log can be written");
        let mut seeded = SeededRng::new(seed);
        if age > 0 {
            books.is_in(&store);
            let number =
                waits(store.write(|change| change.next_id())).expect("the control plane can write");
            let before = promises.number.swap(number, Ordering::SeqCst);
            assert!(number > before, "number {number} was given out twice");
        }
        let wait_for_disk = self.wait_for_disk;
        let patience = seeded.between(0, 3);
        let mut work = Work {
            seeded: SeededRng::new(seeded.next()),
            events,
            books,
            promises,
            wait_for_disk,
            patience,
            bears_faults: None,
            refused: 0,
        };
        for _ in 0..STEPS[age] {
            work.step(&store);
        }
        store.close();
        drop(store);
        let events = self.starts_twice(disk, work.events);
        let pictures = disk.take_snapshots();
        for picture in pictures {
            self.cuts(&picture, &events, (seeded.next(), age + 1));
        }
    }

    /// A stop and two starts: the second has nothing left to do.
    fn starts_twice(
        &self,
        disk: &Arc<SimulatedDisk>,
        mut events: Vec<LedgerEvent>,
    ) -> Vec<LedgerEvent> {
        for _ in 0..2 {
            let (store, recovered) =
                Store::open(self.options(disk, false)).expect("opens after a stop");
            Books::of(&events).is_what_was_recovered(&recovered);
            assert!(recovered.remarks.is_empty(), "{:?}", recovered.remarks);
            events.extend(Books::of(&events).orphans());
            Ledger::recover(store.wal(), Zone::utc(), Vec::new(), recovered, restarted())
                .expect("the log can be written");
            store.close();
        }
        events
    }

    fn cuts(&mut self, picture: &DiskSnapshot, events: &[LedgerEvent], (seed, age): (u64, usize)) {
        if self.images >= self.wanted {
            return;
        }
        let mut seeded = SeededRng::new(seed);
        let killed = seeded.between(0, 5) == 0;
        let cut = if killed {
            PowerLoss::KeepAll
        } else {
            PowerLoss::any(&mut seeded, picture.writes())
        };
        let promised = picture.acked;
        let least = if killed {
            promised.written
        } else {
            promised.synced
        };
        let left = picture.after(&cut, &mut seeded);
        self.recovers(left, (promised, least), events, (seeded.next(), age));
    }
}

/// Cuts until there are so many images.
fn error_format(wait_for_disk: bool, failing_percent: u64, seed: u64) {
    let wanted = repetitions("GK_IMAGES", 200) / 4;
    let mut family = Family {
        wait_for_disk,
        failing_percent,
        segment_bytes: 0,
        images: 0,
        wanted,
        longest_replay: 0,
    };
    let mut runs = 0;
    while family.images < wanted {
        family.begins(seed + runs);
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
            "{} images of {runs} runs, up to {} records replayed",
            family.images, family.longest_replay
        ),
    );
}

#[test]
fn with_sync_os_no_power_cut_takes_what_was_synced() {
    family(false, 0, 10_000);
}

#[test]
fn with_sync_disk_no_power_cut_takes_what_was_acknowledged() {
    family(true, 0, 20_000);
}

#[test]
fn with_sync_os_no_power_cut_after_failed_syncs_takes_what_was_synced() {
    family(false, 20, 30_000);
}

#[test]
fn with_sync_disk_no_power_cut_after_failed_syncs_takes_what_was_acknowledged() {
    family(true, 20, 40_000);
}

/// A store on small segments, without a ledger: nothing is written but what the test writes.
fn bare(disk: &Arc<SimulatedDisk>, wait_for_disk: bool, create: bool) -> (Store, RecoveredState) {
    let family = Family {
        wait_for_disk,
        failing_percent: 0,
        segment_bytes: 8 * 1024,
        images: 0,
        wanted: 0,
        longest_replay: 0,
    };
    Store::open(family.options(disk, create)).expect("the store opens")
}

fn work(seed: u64, wait_for_disk: bool) -> Work {
    Work {
        seeded: SeededRng::new(seed),
        events: Vec::new(),
        books: Books::default(),
        promises: Arc::default(),
        wait_for_disk,
        patience: 0,
        bears_faults: Some(Duration::from_millis(3)),
        refused: 0,
    }
}

fn works(store: &Store, seed: u64, wait_for_disk: bool, steps: usize) -> Work {
    let mut work = work(seed, wait_for_disk);
    for _ in 0..steps {
        work.step(store);
    }
    work
}

/// The first process is killed before any sync, with records in several segments: the second syncs them all before it says so.
#[test]
fn what_a_killed_process_left_in_several_segments_is_synced_by_the_next() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = bare(&disk, false, true);
    let mut work = work(7, false);
    work.holds(&store, 80);
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let (store, recovered) = bare(&killed, false, false);
    killed.fail_book_syncs();
    work.books.is_what_was_recovered(&recovered);
    wait_until("it says that all is on disk", || {
        store.wal().metrics().synced == work.events.len() as u64
    });
    let cut = Arc::new(
        killed
            .snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    work.books
        .is_what_was_recovered(&bare(&cut, false, false).1);
}

/// The first process meets failing syncs and is killed. The second still reads what the first wrote, which no sync of its
/// own would bring to the disk: it has to write it again before it may say that it is there.
#[test]
fn what_a_killed_process_could_not_sync_is_written_again_by_the_next() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = bare(&disk, false, true);
    disk.fail_log_syncs(1, 100);
    let work = works(&store, 7, false, 60);
    wait_until("a sync has failed", || {
        disk.snapshot_at_sync_failure().is_some()
    });
    let killed = disk
        .snapshot_at_sync_failure()
        .map(|picture| picture.after(&PowerLoss::KeepAll, &mut SeededRng::new(1)));
    let killed = Arc::new(killed.expect("it was waited for"));
    store.close();
    let (store, recovered) = bare(&killed, false, false);
    killed.fail_book_syncs();
    let found = store.wal().metrics().written;
    assert!(found > 0, "something was written before the sync");
    let books = Books::of(&work.events[..found as usize]);
    books.is_what_was_recovered(&recovered);
    wait_until("it says that all is on disk", || {
        store.wal().metrics().synced == found
    });
    let cut = Arc::new(
        killed
            .snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    books.is_what_was_recovered(&bare(&cut, false, false).1);
}

/// The first process has its records on disk and is killed before they are booked. The second cannot sync, and writes them
/// again elsewhere: until that is on disk it must not stand in the place of the first's.
#[test]
fn what_a_killed_process_had_on_disk_is_not_lost_by_the_next_that_cannot_sync() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = bare(&disk, true, true);
    disk.fail_book_syncs();
    let work = works(&store, 7, true, 30);
    waits(store.wal().wait_committed(work.events.len() as u64));
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::DropAll, &mut SeededRng::new(1)),
    );
    store.close();
    killed.fail_log_syncs(1, 100);
    let (store, recovered) = bare(&killed, true, false);
    work.books.is_what_was_recovered(&recovered);
    // what the sync did not bring to the disk is written again before it is said that it failed
    wait_until("a sync has failed", || store.wal().metrics().sync_failing);
    let picture = killed.snapshot();
    store.close();
    for seed in 0..50 {
        let mut seeded = SeededRng::new(seed);
        let cut =
            Arc::new(picture.after(&PowerLoss::any(&mut seeded, picture.writes()), &mut seeded));
        let (store, recovered) = bare(&cut, true, false);
        work.books.is_what_was_recovered(&recovered);
        store.close();
    }
}

/// A failed sync may leave the file of the books longer in memory than on the disk, and no later sync would bring that there.
#[test]
fn a_length_of_the_books_that_could_not_be_synced_is_set_again() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = bare(&disk, false, true);
    let bytes = || {
        SharedDisk(Arc::clone(&disk))
            .open("gatekeeper.redb")
            .and_then(|file| file.size())
            .expect("it can be read")
    };
    let before = bytes();
    disk.fail_book_syncs();
    let mut work = work(7, false);
    // the file grows once, while it cannot be synced, and not again afterwards
    work.holds(&store, 200);
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
    work.books
        .is_what_was_recovered(&bare(&cut, false, false).1);
}

/// Before `init` has said that it is done, a cut may leave anything; but never a folder that can neither be used nor set up.
#[test]
fn a_power_cut_during_init_leaves_a_folder_that_opens_or_can_be_set_up() {
    let family = Family {
        wait_for_disk: false,
        failing_percent: 0,
        segment_bytes: 16 * 1024,
        images: 0,
        wanted: 0,
        longest_replay: 0,
    };
    for seed in 0..20 {
        let disk = Arc::new(SimulatedDisk::default());
        disk.record_snapshots(seed, 20, &Arc::new(AckCounters::default()));
        Store::open(family.options(&disk, true))
            .expect("an empty disk can be set up")
            .0
            .close();
        let mut seeded = SeededRng::new(seed);
        for picture in disk.take_snapshots() {
            let cut = PowerLoss::any(&mut seeded, picture.writes());
            let left = Arc::new(picture.after(&cut, &mut seeded));
            let opened = Store::open(family.options(&left, false)).or_else(|error| match error {
                StoreError::NotInitialised => Store::open(family.options(&left, true)),
                error => Err(error),
            });
            opened
                .unwrap_or_else(|error| panic!("seed {seed}, {cut:?}: {error}"))
                .0
                .close();
        }
    }
}
