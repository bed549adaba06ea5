//! A disk that fails at its k-th operation: full, read-only, broken, full in the middle of a write, or unable to sync, for a
//! while. Meanwhile what cannot be logged is refused and nothing that was taken is lost; afterwards the store goes on without
//! a restart, and after one, and after a power cut, the books are the same and exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, Store, StoreError};

use super::books::{Books, Work, restarted, waits};
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::{AckCounters, Fault, PowerLoss, SharedDisk, SimulatedDisk};
use crate::harness::workers::run_workers;
use crate::harness::{print_figure, repetitions, wait_until};

const FAULTS: [Fault; 5] = [
    Fault::NoSpace,
    Fault::ReadOnly,
    Fault::BadDisk,
    Fault::ShortWrite,
    Fault::FailingSync,
];
/// The last operation at which a fault begins.
const LAST: u64 = 200;
/// The same for a start: what changes the disk is counted, and a start mostly reads.
const LAST_OF_START: u64 = 40;
const STEPS: usize = 80;
/// How long a life waits for a disk that may fail.
const BORNE: Duration = Duration::from_millis(3);
const HEALED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// failed operations
    struck: u64,
    /// what the log did not take
    refused: usize,
}

/// What a start came to.
enum Start {
    /// with what was recovered from the open holds booked
    Went(Store),
    /// the books or the log could not be opened
    NotOpened(StoreError),
    /// the log did not take what was to be booked; so many records stand in it
    NotRecovered { written: u64 },
}

fn started(
    disk: &Arc<SimulatedDisk>,
    wait_for_disk: bool,
    create: bool,
    expected: &Books,
) -> Start {
    let disk = Arc::new(SharedDisk(Arc::clone(disk)));
    let options = Options {
        disk,
        zone: Zone::utc(),
        segment_bytes: 8 * 1024,
        disk_reserve_mb: 0,
        wait_for_disk,
        create,
    };
    let (store, recovered) = match Store::open(options) {
        Ok(opened) => opened,
        Err(error) => return Start::NotOpened(error),
    };
    expected.is_what_was_recovered(&recovered);
    if Ledger::recover(store.wal(), Zone::utc(), Vec::new(), recovered, restarted()).is_err() {
        let written = store.wal().metrics().written;
        store.close();
        return Start::NotRecovered { written };
    }
    Start::Went(store)
}

fn opened(disk: &Arc<SimulatedDisk>, wait_for_disk: bool, create: bool, expected: &Books) -> Store {
    match started(disk, wait_for_disk, create, expected) {
        Start::Went(store) => store,
        Start::NotOpened(error) => panic!("the store does not open on a disk that works: {error}"),
        Start::NotRecovered { .. } => panic!("the log cannot be written on a disk that works"),
    }
}

fn work(seeded: &mut SeededRng, wait_for_disk: bool, bears_faults: Option<Duration>) -> Work {
    Work {
        seeded: SeededRng::new(seeded.next()),
        events: Vec::new(),
        books: Books::default(),
        promises: Arc::new(AckCounters::default()),
        wait_for_disk,
        patience: 3,
        bears_faults,
        refused: 0,
    }
}

/// One life: works, is struck, is healed, is checked, is started again, and loses its power.
fn life(fault: Fault, kth: u64) -> Outcome {
    let mut seeded = SeededRng::new(kth * 10 + fault as u64);
    let wait_for_disk = seeded.between(0, 1) == 1;
    let disk = Arc::new(SimulatedDisk::default());
    let store = opened(&disk, wait_for_disk, true, &Books::default());
    let mut work = work(&mut seeded, wait_for_disk, Some(BORNE));
    disk.inject_fault(fault, kth, seeded.between(1, 30));
    for _ in 0..STEPS {
        work.step(&store);
    }
    let outcome = heals_and_goes_on(&disk, &store, &mut work);
    drop(store);
    let cut = Arc::new(disk.snapshot().after(&PowerLoss::DropAll, &mut seeded));
    check_restart(&disk, &work, "after a restart");
    check_restart(&cut, &work, "after a power cut");
    outcome
}

/// Works until the fault has struck, lets the disk heal, and closes the store once everything is booked.
fn heals_and_goes_on(disk: &Arc<SimulatedDisk>, store: &Store, work: &mut Work) -> Outcome {
    wait_until("the fault has struck", || {
        if disk.fault_count() == 0 {
            work.step(store);
        }
        disk.fault_count() > 0
    });
    let outcome = Outcome {
        struck: disk.heal(),
        refused: work.refused,
    };
    goes_on(store, work);
    let segments = SharedDisk(Arc::clone(disk))
        .names("ledger")
        .expect("the disk works");
    assert!(
        segments.len() <= 6,
        "segments that could not be made are left: {segments:?}"
    );
    store.close();
    outcome
}

/// Without a restart: what is asked now is taken, and everything that was taken is booked.
fn goes_on(store: &Store, work: &mut Work) {
    let healed = Instant::now();
    loop {
        let metrics = store.wal().metrics();
        if metrics.applied == metrics.written && !metrics.books_failing {
            break;
        }
        assert!(
            healed.elapsed() < HEALED_WITHIN,
            "the writer has not caught up: {figures:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    work.bears_faults = None;
    for _ in 0..10 {
        work.step(store);
    }
    work.books.is_in(store);
}

/// The same log, whole; what is open is booked at its ceiling once, and a second start finds nothing to do.
fn check_restart(disk: &Arc<SimulatedDisk>, work: &Work, when: &str) {
    let mut events = work.events.clone();
    for start in 1..=2 {
        let store = opened(disk, work.wait_for_disk, false, &Books::of(&events));
        events.extend(Books::of(&events).orphans());
        Books::of(&events).is_in(&store);
        let metrics = store.wal().metrics();
        assert_eq!(
            metrics.written,
            events.len() as u64,
            "{when}, start {start}: {figures:?}"
        );
        store.close();
    }
}

#[test]
fn a_fault_at_any_operation_loses_nothing_and_heals_without_a_restart() {
    let lives = repetitions("GK_FAULTS", 10) as u64;
    let kth = |number: u64| 1 + number * LAST / lives;
    let all: Vec<(Fault, u64)> = FAULTS
        .iter()
        .flat_map(|fault| (0..lives).map(move |number| (*fault, kth(number))))
        .collect();
    // most of a life is waiting for the second after which the books are tried again
    let outcomes = run_workers(
        16,
        all.len(),
        |_| (),
        |(), number| life(all[number].0, all[number].1),
    );
    let mut told: BTreeMap<String, Outcome> = BTreeMap::new();
    for ((fault, kth), outcome) in all.iter().zip(outcomes) {
        assert!(
            outcome.struck > 0,
            "{fault:?} at operation {kth} has never struck"
        );
        let sum = told.entry(format!("{fault:?}")).or_default();
        sum.struck += outcome.struck;
        sum.refused += outcome.refused;
    }
    for (fault, Outcome { struck, refused }) in told {
        print_figure(
            &format!("fault {fault}"),
            &format!(
                "struck each of {lives} lives, {struck} operations failed, {refused} records refused"
            ),
        );
    }
}

/// How a start on a disk that fails went.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    /// before the start was over
    early: bool,
    not_opened: bool,
    not_recovered: bool,
}

/// A process was killed; the next one's disk fails while it opens the books, reads the log and books what was open. It may
/// refuse to start, and loses nothing; where it starts, it goes on once the disk has healed.
fn restart(fault: Fault, number: u64, kth: u64) -> Struck {
    let mut seeded = SeededRng::new(number * 10 + fault as u64);
    let wait_for_disk = seeded.between(0, 1) == 1;
    let (disk, mut work) = killed(&mut seeded, wait_for_disk);
    disk.inject_fault(fault, kth, seeded.between(1, 60));
    let start = started(&disk, wait_for_disk, false, &work.books);
    let mut struck = Struck {
        early: disk.fault_count() > 0,
        ..Struck::default()
    };
    let orphans = work.books.orphans();
    match start {
        Start::Went(store) => {
            work.events.extend(orphans);
            work.books = Books::of(&work.events);
            work.bears_faults = Some(BORNE);
            heals_and_goes_on(&disk, &store, &mut work);
            drop(store);
            let cut = Arc::new(disk.snapshot().after(&PowerLoss::DropAll, &mut seeded));
            check_restart(&cut, &work, "after a power cut");
        }
        Start::NotOpened(error) => {
            assert!(disk.heal() > 0, "refused without a reason: {error}");
            struck.not_opened = true;
        }
        Start::NotRecovered { written } => {
            assert!(disk.heal() > 0, "not recovered without a reason");
            let booked = written as usize - work.events.len();
            work.events.extend(orphans.into_iter().take(booked));
            struck.not_recovered = true;
        }
    }
    check_restart(&disk, &work, "on the healed disk");
    struck
}

/// The disk of a process that was killed at work, with calls open and records that are not booked.
fn killed(seeded: &mut SeededRng, wait_for_disk: bool) -> (Arc<SimulatedDisk>, Work) {
    let disk = Arc::new(SimulatedDisk::default());
    let store = opened(&disk, wait_for_disk, true, &Books::default());
    let mut work = work(seeded, wait_for_disk, None);
    for _ in 0..STEPS / 2 {
        work.step(&store);
    }
    work.holds(&store, 3);
    let killed = Arc::new(disk.snapshot().after(&PowerLoss::KeepAll, seeded));
    store.close();
    (killed, work)
}

#[test]
fn a_fault_at_any_operation_of_a_start_loses_nothing_and_the_next_start_is_exact() {
    let lives = repetitions("GK_FAULTS", 10) as u64;
    let kth = |number: u64| number * LAST_OF_START / lives;
    let all: Vec<(Fault, u64)> = FAULTS
        .iter()
        .flat_map(|fault| (0..lives).map(move |number| (*fault, number)))
        .collect();
    let one = |(fault, number): (Fault, u64)| restart(fault, number, kth(number));
    let starts = run_workers(16, all.len(), |_| (), |(), turn| one(all[turn]));
    for fault in FAULTS {
        let of_fault: Vec<Struck> = all
            .iter()
            .zip(&starts)
            .filter(|((of, _), _)| *of == fault)
            .map(|(_, struck)| *struck)
            .collect();
        let count = |is: fn(&Struck) -> bool| of_fault.iter().filter(|struck| is(struck)).count();
        let (early, not_opened) = (
            count(|struck| struck.early),
            count(|struck| struck.not_opened),
        );
        assert!(
            not_opened > 0,
            "{fault:?} has never kept the books from being opened: {of_fault:?}"
        );
        print_figure(
            &format!("fault {fault:?} at the start"),
            &format!(
                "struck each of {lives} lives, {early} before the start was over: {not_opened} not opened, {} not recovered",
                count(|struck| struck.not_recovered)
            ),
        );
    }
}

/// With nothing to book for hours, nothing else would open the books anew.
#[test]
fn a_change_of_the_control_plane_that_met_a_fault_does_not_stop_the_next() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = opened(&disk, false, true, &Books::default());
    let change = || waits(store.write(|change| change.next_id()));
    let first = change().expect("the disk works");
    for fault in FAULTS {
        disk.inject_fault(fault, 0, 1_000);
        change().expect_err("the disk does not work");
        assert!(disk.heal() > 0, "{fault:?} has struck");
        wait_until("changes are taken again", || change().is_ok());
        store.tenants().expect("the books can be read");
    }
    assert!(change().expect("the disk works") > first);
    store.close();
}
