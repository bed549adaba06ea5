//! Disk faults at the k-th operation: no space, read-only, broken, short writes, failing syncs. During the fault the log
//! refuses records and loses none; afterwards the store continues without a restart, and the books are exact after a
//! restart and after a power cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, SealKeyCheck, Store, StoreError};

use super::expected_books::{ExpectedBooks, block_on, restart_time};
use super::workload::Workload;
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
/// Last operation at which a fault starts.
const LAST_OPERATION: u64 = 200;
/// Last operation of a start at which a fault starts; only writes count, and a start mostly reads.
const LAST_START_OPERATION: u64 = 40;
const STEPS: usize = 80;
/// Longest wait for a disk that may fail.
const FAULT_TIMEOUT: Duration = Duration::from_millis(3);
const HEALING_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    failed_operations: u64,
    refused_records: usize,
}

/// Result of a start on a disk that may fail.
enum Start {
    /// started, with the open holds booked
    Running(Store),
    /// the books or the log could not be opened
    NotOpened(StoreError),
    /// the log refused the settlements of open holds; it has this many records
    NotRecovered { written: u64 },
}

fn try_start(
    disk: &Arc<SimulatedDisk>,
    wait_for_disk: bool,
    create: bool,
    expected: &ExpectedBooks,
) -> Start {
    let disk = Arc::new(SharedDisk(Arc::clone(disk)));
    let options = Options {
        disk,
        zone: Zone::utc(),
        segment_bytes: 8 * 1024,
        disk_reserve_mb: 0,
        wait_for_disk,
        create,
        seal_key: SealKeyCheck::Skip,
    };
    let (store, recovered) = match Store::open(options) {
        Ok(store) => store,
        Err(error) => return Start::NotOpened(error),
    };
    expected.assert_recovered(&recovered);
    if Ledger::recover(
        store.wal(),
        Zone::utc(),
        Vec::new(),
        recovered,
        restart_time(),
    )
    .is_err()
    {
        let written = store.wal().metrics().written;
        store.close();
        return Start::NotRecovered { written };
    }
    Start::Running(store)
}

/// Starts on a disk that works.
fn start(
    disk: &Arc<SimulatedDisk>,
    wait_for_disk: bool,
    create: bool,
    expected: &ExpectedBooks,
) -> Store {
    match try_start(disk, wait_for_disk, create, expected) {
        Start::Running(store) => store,
        Start::NotOpened(error) => panic!("start failed on a working disk: {error}"),
        Start::NotRecovered { .. } => panic!("recovery failed on a working disk"),
    }
}

fn workload(rng: &mut SeededRng, wait_for_disk: bool, fault_timeout: Option<Duration>) -> Workload {
    Workload {
        rng: SeededRng::new(rng.next()),
        events: Vec::new(),
        books: ExpectedBooks::default(),
        acks: Arc::new(AckCounters::default()),
        wait_for_disk,
        books_wait_quarters: 3,
        fault_timeout,
        refused: 0,
    }
}

/// One store: works, meets the fault, heals, is checked, restarted and cut from power.
fn run_with_fault(fault: Fault, kth: u64) -> Outcome {
    let mut rng = SeededRng::new(kth * 10 + fault as u64);
    let wait_for_disk = rng.between(0, 1) == 1;
    let maps = rng.between(0, 1) == 1;
    let disk = Arc::new(SimulatedDisk::new(maps));
    let store = start(&disk, wait_for_disk, true, &ExpectedBooks::default());
    assert_eq!(store.wal().metrics().mapped, maps);
    let mut work = workload(&mut rng, wait_for_disk, Some(FAULT_TIMEOUT));
    disk.inject_fault(fault, kth, rng.between(1, 30));
    for _ in 0..STEPS {
        work.step(&store);
    }
    let outcome = heal_and_continue(&disk, &store, &mut work);
    drop(store);
    let cut = Arc::new(disk.snapshot().after(&PowerLoss::DropAll, &mut rng));
    assert_restart(&disk, &work, "after a restart");
    assert_restart(&cut, &work, "after a power cut");
    outcome
}

/// Works until the fault has occurred, heals the disk, and closes the store once everything is booked.
fn heal_and_continue(disk: &Arc<SimulatedDisk>, store: &Store, work: &mut Workload) -> Outcome {
    wait_until("the fault has occurred", || {
        if disk.fault_count() == 0 {
            work.step(store);
        }
        disk.fault_count() > 0
    });
    let outcome = Outcome {
        failed_operations: disk.heal(),
        refused_records: work.refused,
    };
    assert_continues(store, work);
    let segments = SharedDisk(Arc::clone(disk))
        .names("ledger")
        .expect("the disk works");
    assert!(
        segments.len() <= 6,
        "failed segments are left over: {segments:?}"
    );
    store.close();
    outcome
}

/// Checks that the store continues without a restart and books every record.
fn assert_continues(store: &Store, work: &mut Workload) {
    let healed = Instant::now();
    loop {
        let metrics = store.wal().metrics();
        if metrics.applied == metrics.written && !metrics.books_failing {
            break;
        }
        assert!(
            healed.elapsed() < HEALING_TIMEOUT,
            "the writer has not caught up: {metrics:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    work.fault_timeout = None;
    for _ in 0..10 {
        work.step(store);
    }
    work.books.assert_posted(store);
}

/// Checks two starts: the log is complete, open holds are booked at their ceiling once, the second start adds nothing.
fn assert_restart(disk: &Arc<SimulatedDisk>, work: &Workload, when: &str) {
    let mut events = work.events.clone();
    for number in 1..=2 {
        let store = start(
            disk,
            work.wait_for_disk,
            false,
            &ExpectedBooks::from_events(&events),
        );
        events.extend(ExpectedBooks::from_events(&events).orphans());
        ExpectedBooks::from_events(&events).assert_posted(&store);
        let metrics = store.wal().metrics();
        assert_eq!(
            metrics.written,
            events.len() as u64,
            "{when}, start {number}: {metrics:?}"
        );
        store.close();
    }
}

#[test]
fn fault_at_any_operation_loses_no_record_and_heals_without_restart() {
    let lives = repetitions("GK_FAULTS", 10) as u64;
    let kth = |number: u64| 1 + number * LAST_OPERATION / lives;
    let all: Vec<(Fault, u64)> = FAULTS
        .iter()
        .flat_map(|fault| (0..lives).map(move |number| (*fault, kth(number))))
        .collect();
    // a run mostly waits for the second after which the books are retried
    let outcomes = run_workers(
        16,
        all.len(),
        |_| (),
        |(), number| run_with_fault(all[number].0, all[number].1),
    );
    let mut sums: BTreeMap<String, Outcome> = BTreeMap::new();
    for ((fault, kth), outcome) in all.iter().zip(outcomes) {
        assert!(
            outcome.failed_operations > 0,
            "{fault:?} at operation {kth} has never occurred"
        );
        let sum = sums.entry(format!("{fault:?}")).or_default();
        sum.failed_operations += outcome.failed_operations;
        sum.refused_records += outcome.refused_records;
    }
    for (fault, sum) in sums {
        print_figure(
            &format!("fault {fault}"),
            &format!(
                "struck each of {lives} lives, {} operations failed, {} records refused",
                sum.failed_operations, sum.refused_records
            ),
        );
    }
}

/// Counted facts of a start on a failing disk.
#[derive(Clone, Copy, Debug, Default)]
struct FaultyStart {
    /// the fault occurred before the start was complete
    is_early: bool,
    not_opened: bool,
    not_recovered: bool,
}

/// Start after a kill on a disk that fails while the books are opened, the log is read and open holds are booked. The start
/// may fail but loses no record; if it succeeds, the store continues once the disk has healed.
fn restart_with_fault(fault: Fault, number: u64, kth: u64) -> FaultyStart {
    let mut rng = SeededRng::new(number * 10 + fault as u64);
    let wait_for_disk = rng.between(0, 1) == 1;
    let (disk, mut work) = killed(&mut rng, wait_for_disk);
    disk.inject_fault(fault, kth, rng.between(1, 60));
    let start = try_start(&disk, wait_for_disk, false, &work.books);
    let mut facts = FaultyStart {
        is_early: disk.fault_count() > 0,
        ..FaultyStart::default()
    };
    let orphans = work.books.orphans();
    match start {
        Start::Running(store) => {
            work.events.extend(orphans);
            work.books = ExpectedBooks::from_events(&work.events);
            work.fault_timeout = Some(FAULT_TIMEOUT);
            heal_and_continue(&disk, &store, &mut work);
            drop(store);
            let cut = Arc::new(disk.snapshot().after(&PowerLoss::DropAll, &mut rng));
            assert_restart(&cut, &work, "after a power cut");
        }
        Start::NotOpened(error) => {
            assert!(disk.heal() > 0, "not opened without a fault: {error}");
            facts.not_opened = true;
        }
        Start::NotRecovered { written } => {
            assert!(disk.heal() > 0, "not recovered without a fault");
            let booked = written as usize - work.events.len();
            work.events.extend(orphans.into_iter().take(booked));
            facts.not_recovered = true;
        }
    }
    assert_restart(&disk, &work, "on the healed disk");
    facts
}

/// Disk and workload of a process killed at work, with open holds and unbooked records.
fn killed(rng: &mut SeededRng, wait_for_disk: bool) -> (Arc<SimulatedDisk>, Workload) {
    let disk = Arc::new(SimulatedDisk::new(rng.between(0, 1) == 1));
    let store = start(&disk, wait_for_disk, true, &ExpectedBooks::default());
    let mut work = workload(rng, wait_for_disk, None);
    for _ in 0..STEPS / 2 {
        work.step(&store);
    }
    work.hold_many(&store, 3);
    let killed = Arc::new(disk.snapshot().after(&PowerLoss::KeepAll, rng));
    store.close();
    (killed, work)
}

#[test]
fn fault_at_any_operation_of_start_loses_no_record() {
    let lives = repetitions("GK_FAULTS", 10) as u64;
    let kth = |number: u64| number * LAST_START_OPERATION / lives;
    let all: Vec<(Fault, u64)> = FAULTS
        .iter()
        .flat_map(|fault| (0..lives).map(move |number| (*fault, number)))
        .collect();
    let run = |(fault, number): (Fault, u64)| restart_with_fault(fault, number, kth(number));
    let starts = run_workers(16, all.len(), |_| (), |(), turn| run(all[turn]));
    for fault in FAULTS {
        let of_fault: Vec<FaultyStart> = all
            .iter()
            .zip(&starts)
            .filter(|((of, _), _)| *of == fault)
            .map(|(_, facts)| *facts)
            .collect();
        let count =
            |is: fn(&FaultyStart) -> bool| of_fault.iter().filter(|facts| is(facts)).count();
        let (early, not_opened) = (
            count(|facts| facts.is_early),
            count(|facts| facts.not_opened),
        );
        assert!(
            not_opened > 0,
            "{fault:?} never prevents the books from being opened: {of_fault:?}"
        );
        print_figure(
            &format!("fault {fault:?} at the start"),
            &format!(
                "struck each of {lives} lives, {early} before the start was over: {not_opened} not opened, {} not recovered",
                count(|facts| facts.not_recovered)
            ),
        );
    }
}

/// While no record has to be booked, only the next change reopens the books.
#[test]
fn control_plane_change_after_failed_change_succeeds() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = start(&disk, false, true, &ExpectedBooks::default());
    let change = || block_on(store.write(|change| change.next_id()));
    let first = change().expect("the disk works");
    for fault in FAULTS {
        disk.inject_fault(fault, 0, 1_000);
        change().expect_err("the disk fails");
        assert!(disk.heal() > 0, "{fault:?} has occurred");
        wait_until("changes succeed again", || change().is_ok());
        store.tenants().expect("the books can be read");
    }
    assert!(change().expect("the disk works") > first);
    store.close();
}
