//! Overhead per request and per streamed event, for an upstream called directly, through nginx (where it is installed), a bare
//! actix→awc relay, *floor-work* (the relay that also hashes the key and reads request and usage), and Gatekeeper with key, budget hold
//! and ledger (`os`, `disk`, and budgets on all levels above the key), of one or two builds. Closed loop over 64 connections, open loop
//! of 500 requests a second, and 64, 500 and 5,000 streams at once. Every server is a process of its own and only its CPU counts.
//!
//! CPU time drifts with the host, and a ratio is worth what its yardstick is. So the turns are short and many, each turn of a subject
//! stands between two of floor-work, whose mean it is divided by, and the order of the subjects turns round from one round to the next;
//! the table has medians. Everything runs on one core (`core.rs`), and every server has one worker; so requests a second and latencies are
//! those of a machine that also has the client and the upstream to run. A turn begins when its connections are open and used. Streams are
//! measured in every third round, because they take longer.
//!
//! ```text
//! cargo bench --bench overhead                      4,000 requests a turn, 11 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         smoke run
//! GK_BENCH_STREAMS=64 …                             at most so many streams at once; 5,000 otherwise
//! GK_BENCH_SUBJECT='dist, os' …                     this subject alone, beside floor-work
//! GK_BENCH_CORES=all …                              the scheduler places all processes; one core otherwise
//! GATEKEEPER_BIN=path …                             another binary
//! GATEKEEPER_DIST_BIN=path …                        a second one, the packaged build
//! ```
//! All traffic is on loopback; every run is bounded in count and time and ends its processes.

#[path = "overhead/core.rs"]
mod core;
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

/// Rounds for each one with streams.
const STREAM_INTERVAL: usize = 3;

/// A subject with its turns of the open loop; those of the closed loop are in it.
struct PacedSubject {
    subject: Subject,
    paced: Vec<TurnFigures>,
    /// CPU time of each turn as a multiple of floor-work's beside it
    ratios: Ratios,
}

#[derive(Default)]
struct Ratios {
    closed: Vec<f64>,
    paced: Vec<f64>,
}

impl PacedSubject {
    fn run_closed(&mut self, counts: &Counts) -> f64 {
        self.subject.run_turn(counts);
        self.subject.turns.last().map_or(0.0, |turn| turn.cpu_us)
    }

    fn run_paced(&mut self, counts: &Counts) -> f64 {
        let requests = paced_requests(counts);
        let turn = self.subject.measure(counts, requests, Some(PACE));
        self.paced.push(turn);
        turn.cpu_us
    }
}

/// Requests of a turn of the open loop, 0.8 seconds of the default turn.
fn paced_requests(counts: &Counts) -> usize {
    (counts.requests / 10).clamp(200, 5_000)
}

/// A turn of each subject between two of floor-work, whose mean is its yardstick.
fn alternate(
    floor: &mut PacedSubject,
    subjects: &mut [&mut PacedSubject],
    turn: impl Fn(&mut PacedSubject) -> f64,
    ratios: impl Fn(&mut Ratios) -> &mut Vec<f64>,
) {
    let mut before = turn(floor);
    for subject in subjects {
        let own = turn(subject);
        let after = turn(floor);
        let mean = ((before + after) / 2.0).max(f64::MIN_POSITIVE);
        ratios(&mut subject.ratios).push(own / mean);
        before = after;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=upstream") => roles::upstream(),
        Some(role @ ("--role=relay" | "--role=floor-work")) => {
            let upstream = arguments.get(2).expect("the address of the upstream");
            roles::relay(upstream, role == "--role=floor-work")
        }
        _ => run(&Counts::from_environment(4_000, 11)),
    }
}

fn run(counts: &Counts) {
    match std::env::var("GK_BENCH_CORES").as_deref() {
        Ok("all") => {}
        _ => core::bind(),
    }
    raise_descriptors();
    // those that are measured; the others run idle
    let only = std::env::var("GK_BENCH_SUBJECT").ok();
    let is_measured = |name: &str| {
        only.as_deref()
            .is_none_or(|only| only == name || name == FLOOR)
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut floor, mut subjects, mut streamed) = subjects(folder.path());
    println!(
        "{} requests a turn, {} connections, {} rounds",
        counts.requests, counts.connections, counts.rounds
    );
    for subject in &streamed {
        let (name, idle_mb) = (subject.name, subject.idle_mb);
        println!("FIGURE memory of {name} at idle, MB: {idle_mb:.0}");
    }
    let before = calibrate();
    for paced in subjects.iter_mut().chain([&mut floor]) {
        paced.subject.warm_up(counts);
    }
    for subject in &mut streamed {
        subject.warmed_up();
    }
    for round in 1..=counts.rounds {
        let mut order: Vec<&mut PacedSubject> = subjects
            .iter_mut()
            .filter(|paced| is_measured(paced.subject.name))
            .collect();
        if round % 2 == 0 {
            order.reverse();
        }
        let (closed, paced) = (PacedSubject::run_closed, PacedSubject::run_paced);
        alternate(
            &mut floor,
            &mut order,
            |subject| closed(subject, counts),
            |ratios| &mut ratios.closed,
        );
        alternate(
            &mut floor,
            &mut order,
            |subject| paced(subject, counts),
            |ratios| &mut ratios.paced,
        );
        if round % STREAM_INTERVAL == 1 {
            let subjects = streamed.iter_mut();
            subjects
                .filter(|subject| is_measured(subject.name))
                .for_each(StreamSubject::run_turns);
            // the yardstick again, on the other side of the subjects
            streamed[0].run_turns();
        }
        eprintln!("round {round} of {}", counts.rounds);
    }
    let after = calibrate();
    subjects.retain(|paced| is_measured(paced.subject.name));
    streamed.retain(|subject| is_measured(subject.name));
    report(counts, &floor, &subjects, before, after);
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

/// The yardstick, the other servers, and those that are measured with streams.
fn subjects(folder: &Path) -> (PacedSubject, Vec<PacedSubject>, Vec<StreamSubject>) {
    let upstream = Rc::new(Server::role(&["--role=upstream"]));
    let address = upstream.address;
    let relay = |role| Rc::new(Server::role(&[role, &address.to_string()]));
    let floor = relay("--role=floor-work");
    let mut streamed = vec![StreamSubject::new(
        FLOOR,
        floor.clone(),
        "sk-none",
        shapes(),
    )];
    let mut servers = vec![
        ("direct", upstream, "sk-none".to_owned()),
        ("bare relay", relay("--role=relay"), "sk-none".to_owned()),
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
    let paced = |(name, server, key): (&'static str, Rc<Server>, String)| {
        let load = Load::new(server.address, &key, "m-small", "");
        PacedSubject {
            subject: Subject::new(name, load, server),
            paced: Vec::new(),
            ratios: Ratios::default(),
        }
    };
    let floor = paced((FLOOR, floor, "sk-none".to_owned()));
    (floor, servers.into_iter().map(paced).collect(), streamed)
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
            let pairs = floor.turns[number].chunks_exact(2);
            let means = pairs.map(|pair| (pair[0].event_us + pair[1].event_us) / 2.0);
            let pairs = subject.turns[number].iter().zip(means);
            let ratios: Vec<f64> = pairs
                .map(|(own, mean)| own.event_us / mean.max(f64::MIN_POSITIVE))
                .collect();
            let ratio = match subject.name {
                FLOOR => 1.0,
                _ => median_of_values(ratios),
            };
            println!(
                "| {} | {} | {:.1} | {:.2} | {:.1} | {:.1} | {:.0} |",
                shape.streams,
                subject.name,
                median(|turn| turn.event_us),
                ratio,
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

fn report(
    counts: &Counts,
    floor: &PacedSubject,
    subjects: &[PacedSubject],
    before: Duration,
    after: Duration,
) {
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
    let all = || std::iter::once(floor).chain(subjects);
    for PacedSubject {
        subject,
        paced,
        ratios,
    } in all()
    {
        let cpu = subject.median(|turn| turn.cpu_us);
        println!(
            "| {:<15} | {:>6.0} | {:>10.1} | {:>7.2} | {:>7.2} | {:>12.2} | {:>17.1} | {:>20.2} |",
            subject.name,
            subject.median(|turn| turn.requests_per_s),
            cpu,
            subject.median(|turn| turn.p50_ms),
            subject.median(|turn| turn.p99_ms),
            median_ratio(&ratios.closed),
            median_of(paced, |turn| turn.cpu_us),
            median_ratio(&ratios.paced),
        );
    }
    for paced in all() {
        let (subject, ratios) = (&paced.subject, &paced.ratios);
        let requests = counts.requests * subject.turns.len();
        let paced_requests = paced_requests(counts) * paced.paced.len();
        let cpu = |turns: &[TurnFigures]| turns.iter().map(|turn| turn.cpu_us).collect();
        println!(
            "{} by round: CPU µs/req {}, ratio {}; by thread: {}\n  at 500/s by round: CPU µs/req {}, ratio {}; by thread: {}",
            subject.name,
            quartiles(cpu(&subject.turns)),
            quartiles(ratios.closed.clone()),
            by_thread(&subject.threads_us, requests),
            quartiles(cpu(&paced.paced)),
            quartiles(ratios.paced.clone()),
            by_thread(&subject.paced_threads_us, paced_requests),
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

/// Multiple of floor-work; the yardstick itself has none.
fn median_ratio(ratios: &[f64]) -> f64 {
    match ratios {
        [] => 1.0,
        ratios => median_of_values(ratios.to_vec()),
    }
}

/// Least value, quarter, half, three quarters and largest value: the middle half shows how firm a median is.
fn quartiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return "1".to_owned();
    };
    let at = [0, 1, 2, 3, 4].map(|quarter| format!("{:.2}", values[last * quarter / 4]));
    at.join(" ")
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
