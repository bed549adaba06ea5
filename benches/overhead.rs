//! Overhead per request and per streamed event, for an upstream called directly, through nginx (where it is installed), a bare
//! actix→awc relay, *floor-work* (the relay that also hashes the key and reads request and usage), and Gatekeeper with key, budget hold
//! and ledger (`os`, `disk`, and budgets on all levels above the key), of one or two builds. Closed loop over 64 connections, open loop
//! of 500 requests a second, and 64, 500 and 5,000 streams at once. Every server is a process of its own and only its CPU counts. The
//! subjects alternate, because CPU time drifts with the host: ratios are those of the same round, and only medians of one run are
//! compared.
//!
//! ```text
//! cargo bench --bench overhead                      20,000 requests per turn, 3 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         smoke run
//! GK_BENCH_STREAMS=64 …                             at most so many streams at once; 5,000 otherwise
//! GATEKEEPER_BIN=path …                             another binary
//! GATEKEEPER_DIST_BIN=path …                        a second one, the packaged build
//! ```
//! All traffic is on loopback; every run is bounded in count and time and ends its processes.

#[path = "overhead/load.rs"]
mod load;
#[path = "overhead/nginx.rs"]
mod nginx;
#[path = "overhead/roles.rs"]
mod roles;
#[path = "overhead/servers.rs"]
mod servers;
#[path = "overhead/streams.rs"]
mod streams;
#[path = "overhead/subject.rs"]
mod subject;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use load::Load;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use servers::{Governance, Server};
use streams::{SHAPES, StreamFigures, StreamSubject};
use subject::{Counts, Subject, TurnFigures, calibrate, median_of, median_of_values};

/// Requests a second of the open loop.
const PACE: f64 = 500.0;
/// Yardstick of all ratios.
const FLOOR: &str = "floor-work";
const RELEASE: &str = "release, os";
/// Packaged build, whose memory has bars.
const DIST: &str = "dist, os";

/// A subject with its turns of the open loop; those of the closed loop are in it.
struct PacedSubject {
    subject: Subject,
    paced: Vec<TurnFigures>,
}

impl PacedSubject {
    fn run_turns(&mut self, counts: &Counts) {
        self.subject.run_turn(counts);
        self.paced.push(
            self.subject
                .measure(counts, paced_requests(counts), Some(PACE)),
        );
    }
}

/// Requests of a turn of the open loop: four seconds of the default turn.
fn paced_requests(counts: &Counts) -> usize {
    (counts.requests / 10).clamp(200, 5_000)
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
    raise_descriptors();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut subjects, mut streamed) = subjects(folder.path());
    println!(
        "{} requests a turn, {} connections, {} rounds",
        counts.requests, counts.connections, counts.rounds
    );
    for subject in &streamed {
        let (name, idle_mb) = (subject.name, subject.idle_mb);
        println!("FIGURE memory of {name} at idle, MB: {idle_mb:.0}");
    }
    let before = calibrate();
    for paced in &mut subjects {
        paced.subject.warm_up(counts);
    }
    for subject in &mut streamed {
        subject.warmed_up();
    }
    for round in 1..=counts.rounds {
        for subject in &mut subjects {
            subject.run_turns(counts);
        }
        for subject in &mut streamed {
            subject.run_turns();
        }
        eprintln!("round {round} of {}", counts.rounds);
    }
    let after = calibrate();
    report(counts, &subjects, before, after);
    report_streams(&streamed);
    report_raw_sync(folder.path(), counts);
    assert_memory(&streamed);
}

/// This process and those that it starts may open as many sockets as the system lets them.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the limit can be raised to its maximum");
}

/// Kinds of streams up to `GK_BENCH_STREAMS`.
fn shapes() -> usize {
    let most = std::env::var("GK_BENCH_STREAMS").ok();
    let most = most.map_or(5_000, |text| text.parse().expect("a number of streams"));
    SHAPES.iter().filter(|shape| shape.streams <= most).count()
}

/// The servers, and those of them that are measured with streams.
fn subjects(folder: &Path) -> (Vec<PacedSubject>, Vec<StreamSubject>) {
    let upstream = Rc::new(Server::role(&["--role=upstream"]));
    let address = upstream.address;
    let relay = Server::role(&["--role=relay", &address.to_string()]);
    let floor = Rc::new(Server::role(&["--role=floor-work", &address.to_string()]));
    let mut streamed = vec![StreamSubject::new(
        FLOOR,
        floor.clone(),
        "sk-none",
        shapes(),
    )];
    let mut servers = vec![
        ("direct", upstream, "sk-none".to_owned()),
        ("bare relay", Rc::new(relay), "sk-none".to_owned()),
        (FLOOR, floor, "sk-none".to_owned()),
    ];
    match nginx::start(&folder.join("nginx"), address) {
        Ok(nginx) => servers.push(("nginx", Rc::new(nginx), "sk-none".to_owned())),
        Err(error) => println!("SKIPPED nginx: {error}"),
    }
    let dist = std::env::var_os("GATEKEEPER_DIST_BIN").map(PathBuf::from);
    let (team, all_levels) = (Governance::Team, Governance::AllLevels);
    for (name, sync, binary, governance) in [
        (RELEASE, "os", None, team),
        ("release, disk", "disk", None, team),
        (DIST, "os", dist.as_deref(), team),
        ("dist, levels", "os", dist.as_deref(), all_levels),
        ("dist, disk", "disk", dist.as_deref(), team),
    ] {
        let folder = folder.join(name.replace(", ", "-"));
        let started = match binary {
            Some(binary) => Server::gatekeeper_of(binary, &folder, sync, address, "", governance),
            None if name.starts_with("dist") => Err("GATEKEEPER_DIST_BIN is not set".to_owned()),
            None => Server::gatekeeper(&folder, sync, address, ""),
        };
        match started {
            Ok((server, key)) => {
                let server = Rc::new(server);
                if sync == "os" && governance == team {
                    streamed.push(StreamSubject::new(name, server.clone(), &key, shapes()));
                }
                servers.push((name, server, key));
            }
            Err(error) => println!("SKIPPED {name}: {error}"),
        }
    }
    let paced = servers.into_iter().map(|(name, server, key)| {
        let load = Load::new(server.address, &key, "m-small", "");
        PacedSubject {
            subject: Subject::new(name, load, server),
            paced: Vec::new(),
        }
    });
    (paced.collect(), streamed)
}

/// Streams: CPU time per event with the floor's of the same round, times to the first content, memory.
fn report_streams(subjects: &[StreamSubject]) {
    println!(
        "\n| streams | subject | CPU µs/event | × floor-work | first content p50 ms | p99 ms | memory MB |\n\
         |---:|---|---:|---:|---:|---:|---:|"
    );
    let floor = &subjects[0];
    for (number, shape) in SHAPES.iter().enumerate().take(shapes()) {
        for subject in subjects {
            let median = |figure: fn(&StreamFigures) -> f64| subject.median(number, figure);
            let pairs = subject.turns[number].iter().zip(&floor.turns[number]);
            let ratios =
                pairs.map(|(own, floor)| own.event_us / floor.event_us.max(f64::MIN_POSITIVE));
            println!(
                "| {} | {} | {:.1} | {:.2} | {:.1} | {:.1} | {:.0} |",
                shape.streams,
                subject.name,
                median(|turn| turn.event_us),
                median_of_values(ratios.collect()),
                median(|turn| turn.first_p50_ms),
                median(|turn| turn.first_p99_ms),
                subject.memory_mb(number),
            );
        }
    }
    println!();
}

/// Bars of the memory of the packaged build, where it was measured.
fn assert_memory(subjects: &[StreamSubject]) {
    let dist = subjects.iter().find(|subject| subject.name == DIST);
    for (number, mb_max) in [(1, 50.0), (2, 220.0)] {
        let Some(dist) = dist.filter(|_| number < shapes()) else {
            continue;
        };
        let mb = dist.memory_mb(number);
        let streams = SHAPES[number].streams;
        println!("FIGURE memory with {streams} streams, MB: {mb:.0} (bar {mb_max})");
        assert!(
            mb <= mb_max,
            "{mb} MB with {streams} streams, {mb_max} allowed"
        );
    }
}

fn report(counts: &Counts, subjects: &[PacedSubject], before: Duration, after: Duration) {
    let floor = subjects.iter().find(|paced| paced.subject.name == FLOOR);
    let floor = floor.expect("floor-work was measured");
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
    for paced in subjects {
        let subject = &paced.subject;
        println!(
            "{} CPU µs/req by round: {}; by thread: {}\n  at 500/s by round: {}; by thread: {}",
            subject.name,
            by_round(&subject.turns),
            by_thread(&subject.threads_us, counts.requests * counts.rounds),
            by_round(&paced.paced),
            by_thread(
                &subject.paced_threads_us,
                paced_requests(counts) * counts.rounds
            ),
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

fn by_round(turns: &[TurnFigures]) -> String {
    let turns = turns.iter().map(|turn| format!("{:.1}", turn.cpu_us));
    turns.collect::<Vec<_>>().join(" ")
}

/// CPU time by thread, per request, of the threads that worked.
fn by_thread(threads_us: &BTreeMap<String, f64>, requests: usize) -> String {
    let busy = threads_us.iter().filter(|(_, cpu_us)| **cpu_us > 0.0);
    let busy = busy.map(|(name, cpu_us)| format!("{name} {:.1}", cpu_us / requests as f64));
    busy.collect::<Vec<_>>().join(", ")
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
