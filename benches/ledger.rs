//! Cost of the ledger without HTTP: a hold and its settlement against two bare `write` calls of 300 bytes; the CPU of a
//! request with its share of syncs and commits; lock contention under several workers; and `ledger.sync = "disk"` against
//! a bare loop that writes and syncs groups. The subjects alternate within one run, because figures of two runs are not
//! comparable; medians are reported.
//!
//! ```text
//! cargo bench --bench ledger                                     100,000 requests per turn, 5 rounds
//! GK_LEDGER_REQUESTS=2000 GK_LEDGER_ROUNDS=1 …                   smoke run
//! ```
//! Asserted is only what does not depend on the machine: writes, syncs and bytes per request.

#[path = "ledger/counted.rs"]
mod counted;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gatekeeper::domain::budget::{Action, Budget, Owner, Period};
use gatekeeper::domain::clock::SystemClock;
use gatekeeper::domain::event::{
    CallResult, CostLine, Flags, Hold, HoldId, Progress, Status, Subject,
};
use gatekeeper::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use gatekeeper::domain::money::Money;
use gatekeeper::domain::time::Time;
use gatekeeper::domain::usage::Usage;
use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::{Claim, HoldGrant, Ledger, Tokens};
use gatekeeper::store::{Options, SealKeyCheck, Store};

use counted::{CountedDisk, Counters, Counts};

const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Requests per wait for the writer thread, so that the WAL does not get too far ahead of the books.
const CHUNK: usize = 5_000;
const BARE_BYTES: usize = 300;
const PARALLEL_CALLS: usize = 64;
const NOW_MS: u64 = 1_800_000_000_000;
/// Key, team, organization.
const BUDGETS: [BudgetId; 3] = [BudgetId(1), BudgetId(2), BudgetId(3)];

fn count_from_env(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a count"))
    })
}

/// Ledger and store in a folder of their own.
struct Bench {
    ledger: Arc<Ledger>,
    store: Store,
    counters: Arc<Counters>,
    subject: Arc<Subject>,
    next: AtomicU64,
}

impl Bench {
    fn open(folder: &Path, wait_for_disk: bool) -> Bench {
        let counters = Arc::new(Counters::default());
        let zone = Zone::utc();
        let disk = Arc::new(CountedDisk::lock(folder, &counters));
        let options = Options {
            disk,
            zone: zone.clone(),
            segment_bytes: SEGMENT_BYTES,
            disk_reserve_mb: 0,
            wait_for_disk,
            create: true,
            seal_key: SealKeyCheck::Skip,
        };
        let (store, recovered) = Store::open(options).expect("an empty folder opens");
        let owners = [
            Owner::Key(KeyId(3)),
            Owner::Team(TeamId(2)),
            Owner::Organization(OrganizationId(1)),
        ];
        let budgets = BUDGETS.iter().zip(owners).map(|(id, owner)| Budget {
            id: *id,
            owner,
            limit: Money::from_usd(1_000_000_000),
            period: Period::Monthly,
            action: Action::Block,
            model: None,
        });
        let time = Arc::new(Time::new(Arc::new(SystemClock { boot: None })));
        let ledger = Ledger::recover(store.wal(), zone, budgets.collect(), recovered, time)
            .expect("an empty log");
        let subject = Arc::new(Subject {
            organization: OrganizationId(1),
            team: TeamId(2),
            key: KeyId(3),
            model_asked: "gpt-5.1".into(),
            provider: "openai".into(),
            model: "gpt-5.1-2025-11-13".into(),
            dialect: "chat".into(),
            streamed: true,
            attribution: Default::default(),
            second_models: Vec::new(),
        });
        Bench {
            ledger: Arc::new(ledger),
            store,
            counters,
            subject,
            next: AtomicU64::new(1),
        }
    }

    fn hold(&self) -> HoldGrant {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at_ms = NOW_MS + number / 10;
        let id = HoldId {
            request: RequestId::new(at_ms, u128::from(number)),
            attempt: 1,
        };
        let (subject, ceiling) = (Arc::clone(&self.subject), Money::from_pico(30_000_000_000));
        let progress = Progress {
            cost: Money::from_pico(800_000_000),
            ..Progress::default()
        };
        let hold = Hold {
            id,
            at_ms,
            subject,
            ceiling,
            charges: Vec::new(),
            progress,
        };
        self.ledger
            .hold(Claim {
                hold,
                budgets: &BUDGETS,
                limits: &[],
                tokens: Tokens::default(),
            })
            .expect("the budgets have a remainder")
    }

    fn settle(&self, held: &HoldGrant) -> u64 {
        let lines = vec![
            CostLine {
                class: "input",
                count: 642,
                rate_pico: 1_250_000,
                ..CostLine::default()
            },
            CostLine {
                class: "output",
                count: 318,
                rate_pico: 10_000_000,
                ..CostLine::default()
            },
        ];
        let ending = CallResult {
            ended_ms: NOW_MS + 2_000,
            status: Status::Ok,
            flags: Flags::default(),
            usage: Usage {
                uncached_in: 642,
                out_total: 318,
                service_tier: Some("default".into()),
                ..Usage::default()
            },
            cost: lines.iter().map(CostLine::amount).sum(),
            lines,
            output_cap: Some(4_096),
            upstream_status: 200,
            first_content_ms: Some(431),
            note: None,
            cache: None,
        };
        self.ledger
            .settle(held.id, ending)
            .expect("the WAL is writable")
            .sequence
    }

    fn run_requests(&self, count: usize) {
        for _ in 0..count {
            let held = self.hold();
            self.settle(&held);
        }
    }

    fn wait_until_posted(&self) {
        block_on(self.store.wal().wait_posted());
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// CPU time of this thread.
fn thread_cpu_ns() -> u64 {
    schedstat_ns(Path::new("/proc/thread-self"))
}

/// CPU time of all threads of this process.
fn process_cpu_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    threads
        .map(|thread| schedstat_ns(&thread.expect("a thread").path()))
        .sum()
}

fn schedstat_ns(task: &Path) -> u64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// Turns of one subject, in µs per request.
#[derive(Default)]
struct Turns(Vec<f64>);

impl Turns {
    fn add(&mut self, ns: u64, requests: usize) {
        self.0.push(ns as f64 / 1e3 / requests as f64);
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn by_round(&self) -> String {
        self.0
            .iter()
            .map(|turn| format!("{turn:.2}"))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Baseline: a zero-filled file written in chunks of 300 bytes, like the WAL.
struct BareFile {
    file: File,
    end: u64,
}

impl BareFile {
    fn new(path: &Path) -> BareFile {
        let file = File::create_new(path).expect("a file in the bench's folder");
        for at in 0..SEGMENT_BYTES / 4096 {
            file.write_all_at(&[0; 4096], at * 4096)
                .expect("zeros are written");
        }
        file.sync_data().expect("zeros are synced");
        BareFile { file, end: 0 }
    }

    fn write_records(&mut self, count: usize) {
        let record = [0x5a_u8; BARE_BYTES];
        for _ in 0..count {
            if self.end + BARE_BYTES as u64 > SEGMENT_BYTES {
                self.end = 0;
            }
            self.file
                .write_all_at(&record, self.end)
                .expect("a record is written");
            self.end += BARE_BYTES as u64;
        }
    }
}

fn main() {
    let (requests, rounds) = (
        count_from_env("GK_LEDGER_REQUESTS", 100_000).max(100),
        count_from_env("GK_LEDGER_ROUNDS", 5).max(1),
    );
    // in the target folder, because the system's temporary folder may be in memory
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    measure_cost(&folder.path().join("cost"), requests, rounds);
    measure_contention(&folder.path().join("contention"), requests, rounds);
    measure_group_sync(&folder.path().join("disk"), requests / 5, rounds);
}

/// One caller: the CPU of its thread, and of all threads together.
fn measure_cost(folder: &Path, requests: usize, rounds: usize) {
    let bench = Bench::open(folder, false);
    let mut bare = BareFile::new(&folder.join("bare"));
    let (mut bare_turns, mut caller_turns, mut all_turns) =
        (Turns::default(), Turns::default(), Turns::default());
    bench.run_requests(requests.min(CHUNK));
    bench.wait_until_posted();
    let mut counts = Counts::default();
    for _ in 0..rounds {
        let start = thread_cpu_ns();
        bare.write_records(2 * requests);
        bare_turns.add(thread_cpu_ns() - start, requests);
        bench.counters.take();
        let (mut caller, all) = (0, process_cpu_ns());
        for chunk in chunks(requests) {
            let start = thread_cpu_ns();
            bench.run_requests(chunk);
            caller += thread_cpu_ns() - start;
            bench.wait_until_posted();
        }
        caller_turns.add(caller, requests);
        all_turns.add(process_cpu_ns() - all, requests);
        counts = bench.counters.take();
    }
    bench.store.close();
    let (bare, caller, all) = (
        bare_turns.median(),
        caller_turns.median(),
        all_turns.median(),
    );
    println!("| CPU of one request                     |  median µs | bar           | by round");
    println!("|----------------------------------------|-----------:|---------------|---------");
    println!(
        "| two bare writes of {BARE_BYTES} bytes           | {bare:>10.2} |               | {}",
        bare_turns.by_round()
    );
    println!(
        "| hold + settlement, by the caller       | {caller:>10.2} | ≤ {:>5.2} (4 ×) | {}",
        4.0 * bare,
        caller_turns.by_round()
    );
    println!(
        "| with its share of syncs and commits    | {all:>10.2} | ≤ 33.33       | {}",
        all_turns.by_round()
    );
    println!(
        "FIGURE hold + settlement: {caller:.2} µs of CPU, {:.2} × two bare writes of {BARE_BYTES} bytes",
        caller / bare
    );
    println!(
        "FIGURE ledger on one core: {:.0} requests/s, by CPU of caller and writer",
        1e6 / all
    );
    assert_counts(&counts, requests);
}

fn chunks(requests: usize) -> impl Iterator<Item = usize> {
    (0..requests.div_ceil(CHUNK)).map(move |chunk| CHUNK.min(requests - chunk * CHUNK))
}

/// Reports and asserts the counts that do not depend on the machine.
fn assert_counts(counts: &Counts, requests: usize) {
    let per_request = |count: u64| count as f64 / requests as f64;
    println!(
        "FIGURE ledger per request: {:.3} writes and {:.1} bytes to the log, {:.4} syncs of the log, {:.4} of the books, {:.0} bytes to the books",
        per_request(counts.log_writes),
        per_request(counts.log_bytes),
        per_request(counts.log_syncs),
        per_request(counts.book_syncs),
        per_request(counts.book_bytes),
    );
    assert_eq!(
        counts.log_writes,
        2 * requests as u64,
        "a request is two writes to the WAL"
    );
    assert!(
        per_request(counts.log_bytes) <= 600.0,
        "the two records of a request exceed 600 bytes"
    );
    assert!(
        per_request(counts.log_syncs + counts.book_syncs) <= 0.1,
        "fewer than ten requests share a sync: {counts:?}"
    );
}

/// Contention for the ledger's lock: the same requests by 1, 2 and 4 workers.
fn measure_contention(folder: &Path, requests: usize, rounds: usize) {
    const WORKERS: [usize; 3] = [1, 2, 4];
    let bench = Bench::open(folder, false);
    let mut turns: [(Turns, Turns); 3] = Default::default();
    for _ in 0..rounds {
        for (workers, (cpu, wall)) in WORKERS.into_iter().zip(&mut turns) {
            let (mut busy, mut elapsed) = (0, Duration::ZERO);
            for chunk in chunks(requests) {
                let (start, ns) = (Instant::now(), AtomicU64::new(0));
                std::thread::scope(|scope| {
                    for _ in 0..workers {
                        scope.spawn(|| {
                            bench.run_requests(chunk / workers);
                            ns.fetch_add(thread_cpu_ns(), Ordering::Relaxed);
                        });
                    }
                });
                elapsed += start.elapsed();
                busy += ns.into_inner();
                bench.wait_until_posted();
            }
            cpu.add(busy, requests);
            wall.add(elapsed.as_nanos() as u64, requests);
        }
    }
    bench.store.close();
    println!();
    println!("| workers | CPU µs a request | requests/s by the clock |");
    println!("|--------:|-----------------:|------------------------:|");
    for (workers, (cpu, wall)) in WORKERS.iter().zip(&turns) {
        println!(
            "| {workers:>7} | {:>16.2} | {:>23.0} |",
            cpu.median(),
            1e6 / wall.median()
        );
    }
    let [one, two, four] = turns.map(|(cpu, wall)| (cpu.median(), 1e6 / wall.median()));
    println!(
        "FIGURE one lock: {:.2}, {:.2}, {:.2} µs of CPU a request and {:.0}, {:.0}, {:.0} requests/s with 1, 2, 4 workers",
        one.0, two.0, four.0, one.1, two.1, four.1
    );
}

/// 64 callers that each wait for the disk twice, against a loop that writes 64 records and syncs them.
fn measure_group_sync(folder: &Path, requests: usize, rounds: usize) {
    let bench = Arc::new(Bench::open(folder, true));
    let mut bare = BareFile::new(&folder.join("bare"));
    let (mut bare_turns, mut ledger_turns) = (Turns::default(), Turns::default());
    let mut counts = Counts::default();
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..(2 * requests).div_ceil(PARALLEL_CALLS) {
            bare.write_records(PARALLEL_CALLS);
            bare.file.sync_data().expect("a group is synced");
        }
        bare_turns.add(start.elapsed().as_nanos() as u64, requests);
        bench.counters.take();
        let start = Instant::now();
        block_on(async {
            let share = requests / PARALLEL_CALLS;
            futures_util::future::join_all((0..PARALLEL_CALLS).map(|_| run_calls(&bench, share)))
                .await;
        });
        ledger_turns.add(
            start.elapsed().as_nanos() as u64,
            requests / PARALLEL_CALLS * PARALLEL_CALLS,
        );
        counts = bench.counters.take();
        bench.wait_until_posted();
    }
    bench.store.close();
    let (bare, ledger) = (bare_turns.median(), ledger_turns.median());
    println!();
    println!(
        "| {PARALLEL_CALLS} at once, every record on disk     | median µs a request | bar            | by round"
    );
    println!(
        "|---------------------------------------|--------------------:|----------------|---------"
    );
    println!(
        "| bare groups of {PARALLEL_CALLS}, written and synced | {bare:>19.2} |                | {}",
        bare_turns.by_round()
    );
    println!(
        "| ledger.sync = \"disk\"                  | {ledger:>19.2} | ≤ {:>6.2} (1.5 ×) | {}",
        1.5 * bare,
        ledger_turns.by_round()
    );
    println!(
        "FIGURE ledger.sync disk: {:.2} × a bare group fdatasync loop at {PARALLEL_CALLS} at once, {:.1} records a sync",
        ledger / bare,
        counts.log_writes as f64 / counts.log_syncs as f64
    );
}

async fn run_calls(bench: &Bench, count: usize) {
    let wal = bench.store.wal();
    for _ in 0..count {
        let held = bench.hold();
        wal.wait_committed(held.sequence).await;
        wal.wait_committed(bench.settle(&held)).await;
    }
}
