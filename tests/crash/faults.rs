//! A disk that fails at its k-th operation: full, read-only, broken, full in the middle of a write, or unable to sync, for a
//! while. Meanwhile what cannot be logged is refused and nothing that was taken is lost; afterwards the store goes on without
//! a restart, and after one, and after a power cut, the books are the same and exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, Store};

use super::books::{Books, Work, restarted, waits};
use crate::harness::crowd::at_once;
use crate::harness::recorder::{Cut, Fault, Promises, Recorded, Recorder};
use crate::harness::seeded::Seeded;
use crate::harness::{count, record, wait_until};

const FAULTS: [Fault; 5] = [Fault::NoSpace, Fault::ReadOnly, Fault::BadDisk, Fault::ShortWrite, Fault::FailingSync];
/// The last operation at which a fault begins.
const LAST: u64 = 200;
const STEPS: usize = 80;
const HEALED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// failed operations
    struck: u64,
    /// what the log did not take
    refused: usize,
}

fn opened(disk: &Arc<Recorder>, wait_for_disk: bool, create: bool, expected: &Books) -> Store {
    let disk = Arc::new(Recorded(Arc::clone(disk)));
    let options = Options { disk, zone: Zone::utc(), segment_bytes: 8 * 1024, disk_reserve_mb: 0, wait_for_disk, create };
    let (store, recovered) = Store::open(options).expect("the store opens on a disk that works");
    expected.is_what_was_recovered(&recovered);
    Ledger::recover(store.journal(), Zone::utc(), Vec::new(), recovered, restarted()).expect("the log can be written");
    store
}

/// One life: works, is struck, is healed, is checked, is started again, and loses its power.
fn life(fault: Fault, kth: u64) -> Outcome {
    let mut seeded = Seeded::new(kth * 10 + fault as u64);
    let wait_for_disk = seeded.between(0, 1) == 1;
    let disk = Arc::new(Recorder::default());
    let store = opened(&disk, wait_for_disk, true, &Books::default());
    let mut work = Work {
        seeded: Seeded::new(seeded.next()),
        events: Vec::new(),
        books: Books::default(),
        promises: Arc::new(Promises::default()),
        wait_for_disk,
        patience: 3,
        bears_faults: Some(Duration::from_millis(3)),
        refused: 0,
    };
    disk.fails(fault, kth, seeded.between(1, 30));
    for _ in 0..STEPS {
        work.step(&store);
    }
    let outcome = Outcome { struck: disk.heals(), refused: work.refused };
    goes_on(&store, &mut work);
    let segments = Recorded(Arc::clone(&disk)).names("ledger").expect("the disk works");
    assert!(segments.len() <= 6, "segments that could not be made are left: {segments:?}");
    store.close();
    drop(store);
    let cut = Arc::new(disk.picture().after(&Cut::LosesAll, &mut seeded));
    check_restart(&disk, &work, "after a restart");
    check_restart(&cut, &work, "after a power cut");
    outcome
}

/// Without a restart: what is asked now is taken, and everything that was taken is booked.
fn goes_on(store: &Store, work: &mut Work) {
    let healed = Instant::now();
    loop {
        let figures = store.journal().figures();
        if figures.applied == figures.written && !figures.books_failing {
            break;
        }
        assert!(healed.elapsed() < HEALED_WITHIN, "the writer has not caught up: {figures:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    work.bears_faults = None;
    for _ in 0..10 {
        work.step(store);
    }
    work.books.is_in(store);
}

/// The same log, whole; what is open is booked at its ceiling once, and a second start finds nothing to do.
fn check_restart(disk: &Arc<Recorder>, work: &Work, when: &str) {
    let mut events = work.events.clone();
    for start in 1..=2 {
        let store = opened(disk, work.wait_for_disk, false, &Books::of(&events));
        events.extend(Books::of(&events).orphans());
        Books::of(&events).is_in(&store);
        let figures = store.journal().figures();
        assert_eq!(figures.written, events.len() as u64, "{when}, start {start}: {figures:?}");
        store.close();
    }
}

#[test]
fn a_fault_at_any_operation_loses_nothing_and_heals_without_a_restart() {
    let lives = count("GK_FAULTS", 10) as u64;
    let kth = |number: u64| 1 + number * LAST / lives;
    let all: Vec<(Fault, u64)> = FAULTS.iter().flat_map(|fault| (0..lives).map(move |number| (*fault, kth(number)))).collect();
    // most of a life is waiting for the second after which the books are tried again
    let outcomes = at_once(16, all.len(), |_| (), |(), number| life(all[number].0, all[number].1));
    let mut told: BTreeMap<String, (usize, Outcome)> = BTreeMap::new();
    for ((fault, _), outcome) in all.iter().zip(outcomes) {
        let (lives, sum) = told.entry(format!("{fault:?}")).or_default();
        *lives += usize::from(outcome.struck > 0);
        sum.struck += outcome.struck;
        sum.refused += outcome.refused;
    }
    for (fault, (lives, sum)) in told {
        assert!(lives > 0, "{fault} has never struck");
        let Outcome { struck, refused } = sum;
        record(
            &format!("fault {fault}"),
            &format!("struck {lives} lives, {struck} operations failed, {refused} records refused"),
        );
    }
}

/// With nothing to book for hours, nothing else would open the books anew.
#[test]
fn a_change_of_the_control_plane_that_met_a_fault_does_not_stop_the_next() {
    let disk = Arc::new(Recorder::default());
    let store = opened(&disk, false, true, &Books::default());
    let change = || waits(store.write(|change| change.next_id()));
    let first = change().expect("the disk works");
    for fault in FAULTS {
        disk.fails(fault, 0, 1_000);
        change().expect_err("the disk does not work");
        assert!(disk.heals() > 0, "{fault:?} has struck");
        wait_until("changes are taken again", || change().is_ok());
        store.tenants().expect("the books can be read");
    }
    assert!(change().expect("the disk works") > first);
    store.close();
}
