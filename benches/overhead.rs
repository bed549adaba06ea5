//! Overhead per request: throughput and CPU time per request at 64 connections, for an upstream called directly, through
//! a bare actix→awc relay, through *floor-work* (the relay that also hashes the key and reads request and usage), and through Gatekeeper with key, budget hold and ledger (`os`, `disk`). Every server is a
//! process of its own and only its CPU counts. The subjects alternate, because CPU time drifts with the host; compare
//! medians of one run only.
//!
//! ```text
//! cargo bench --bench overhead                      20,000 requests per turn, 3 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         smoke run
//! GATEKEEPER_BIN=path …                             another binary
//! ```
//! All traffic is on loopback; every run is bounded in count and time and ends its processes.

#[path = "overhead/load.rs"]
mod load;
#[path = "overhead/roles.rs"]
mod roles;
#[path = "overhead/servers.rs"]
mod servers;
#[path = "overhead/subject.rs"]
mod subject;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use load::Load;
use servers::Server;
use subject::{Counts, Subject, TurnFigures, calibrate, median_of};

/// Requests a second of the open loop.
const PACE: f64 = 500.0;

/// A subject with its turns of the open loop; those of the closed loop are in it.
struct PacedSubject {
    subject: Subject,
    paced: Vec<TurnFigures>,
}

impl PacedSubject {
    fn run_turns(&mut self, counts: &Counts) {
        self.subject.run_turn(counts);
        let requests = (counts.requests / 20).clamp(200, 5_000);
        self.paced
            .push(self.subject.measure(counts, requests, Some(PACE)));
    }
}

/// Median over the rounds of the CPU time as a multiple of the other's in the same round.
fn ratio(own: &[TurnFigures], other: &[TurnFigures]) -> f64 {
    let pairs = own.iter().zip(other);
    let mut ratios: Vec<f64> = pairs
        .map(|(own, other)| own.cpu_us / other.cpu_us.max(f64::MIN_POSITIVE))
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=upstream") => roles::upstream(),
        Some(role @ ("--role=relay" | "--role=floor-work")) => {
            let upstream = arguments.get(2).expect("the address of the upstream");
            roles::relay(upstream, role == "--role=floor-work")
        }
        _ => run(&Counts::from_environment(20_000)),
    }
}

fn run(counts: &Counts) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut subjects: Vec<PacedSubject> = subjects(folder.path(), counts)
        .into_iter()
        .map(|subject| PacedSubject {
            subject,
            paced: Vec::new(),
        })
        .collect();
    let before = calibrate();
    for paced in &mut subjects {
        paced.subject.warm_up(counts);
    }
    for round in 1..=counts.rounds {
        for subject in &mut subjects {
            subject.run_turns(counts);
        }
        eprintln!("round {round} of {}", counts.rounds);
    }
    let after = calibrate();
    report(counts, &subjects, before, after);
    report_raw_sync(folder.path(), counts);
}

fn subjects(folder: &Path, counts: &Counts) -> Vec<Subject> {
    let upstream = Server::role(&["--role=upstream"]);
    let relay = Server::role(&["--role=relay", &upstream.address.to_string()]);
    let floor = Server::role(&["--role=floor-work", &upstream.address.to_string()]);
    let mut subjects = vec![
        Subject::new(
            "direct",
            Load::new(upstream.address, "sk-none", "m-small", ""),
            upstream.into(),
        ),
        Subject::new(
            "bare relay",
            Load::new(relay.address, "sk-none", "m-small", ""),
            relay.into(),
        ),
        Subject::new(
            "floor-work",
            Load::new(floor.address, "sk-none", "m-small", ""),
            floor.into(),
        ),
    ];
    let upstream = subjects[0].server.address;
    for (name, sync) in [("gatekeeper os", "os"), ("gatekeeper disk", "disk")] {
        match Server::gatekeeper(&folder.join(sync), sync, upstream, "") {
            Ok((server, key)) => subjects.push(Subject::new(
                name,
                Load::new(server.address, &key, "m-small", ""),
                server.into(),
            )),
            Err(error) => println!("SKIPPED {name}: {error}"),
        }
    }
    println!(
        "{} requests a turn, {} connections, {} rounds",
        counts.requests, counts.connections, counts.rounds
    );
    subjects
}

fn report(counts: &Counts, subjects: &[PacedSubject], before: Duration, after: Duration) {
    let floor = &subjects[2];
    println!(
        "| {:<15} | {:>6} | {:>10} | {:>7} | {:>7} | {:>12} | {:>17} | {:>20} |",
        "subject",
        "req/s",
        "CPU µs/req",
        "p50 ms",
        "p99 ms",
        "× floor-work",
        "CPU µs/req, 500/s",
        "× floor-work, 500/s"
    );
    let widths = [17, 7, 11, 8, 8, 13, 18, 21];
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    println!("|{}:|", rule.join(":|").replacen(':', "-", 1));
    for PacedSubject { subject, paced } in subjects {
        let cpu = subject.median(|turn| turn.cpu_us);
        println!(
            "| {:<15} | {:>6.0} | {:>10.1} | {:>7.2} | {:>7.2} | {:>12.2} | {:>17.1} | {:>20.2} |",
            subject.name,
            subject.median(|turn| turn.requests_per_s),
            cpu,
            subject.median(|turn| turn.p50_ms),
            subject.median(|turn| turn.p99_ms),
            ratio(&subject.turns, &floor.subject.turns),
            median_of(paced, |turn| turn.cpu_us),
            ratio(paced, &floor.paced),
        );
    }
    for PacedSubject { subject, .. } in subjects {
        let turns: Vec<String> = subject
            .turns
            .iter()
            .map(|turn| format!("{:.1}", turn.cpu_us))
            .collect();
        let all = (counts.requests * counts.rounds) as f64;
        let threads = subject
            .threads_us
            .iter()
            .filter(|(_, cpu_us)| **cpu_us > 0.0);
        let threads: Vec<String> = threads
            .map(|(name, cpu_us)| format!("{name} {:.1}", cpu_us / all))
            .collect();
        println!(
            "{} CPU µs/req by round: {}; by thread: {}",
            subject.name,
            turns.join(" "),
            threads.join(", ")
        );
    }
    println!(
        "calibration work: {} ms before, {} ms after",
        before.as_millis(),
        after.as_millis()
    );
    println!(
        "(CPU of the server process alone, user + sys; medians of {})",
        counts.rounds
    );
}

/// Baseline of the disk: groups of one small record per connection, one `fdatasync` each.
fn report_raw_sync(folder: &Path, counts: &Counts) {
    let mut file = File::create(folder.join("raw")).expect("a file in the temporary folder");
    let group = vec![0x5a_u8; 300 * counts.connections];
    let syncs = (counts.requests / counts.connections).clamp(1, 500);
    let mut times: Vec<Duration> = Vec::new();
    let start = Instant::now();
    for _ in 0..syncs {
        let sync_start = Instant::now();
        file.write_all(&group).expect("the group is written");
        file.sync_data().expect("the group is synced");
        times.push(sync_start.elapsed());
    }
    let elapsed = start.elapsed();
    times.sort();
    println!(
        "raw group fdatasync: {:.0} records/s in groups of {}, p50 {:.2} ms, p99 {:.2} ms a sync",
        (syncs * counts.connections) as f64 / elapsed.as_secs_f64(),
        counts.connections,
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() * 99 / 100].as_secs_f64() * 1e3,
    );
}
