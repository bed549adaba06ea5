//! Cost of the cache of answers: CPU time per exact hit beside a bare actix server that answers with as many bytes, and beside the same
//! request without a cache; then the parts of the semantic step alone (embedding, search, guards). As in `overhead`, every server is a
//! process of its own, only its CPU counts, and only medians of one run are compared.
//!
//! ```text
//! cargo bench --bench cache                         20,000 requests per turn, 3 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         smoke run
//! GATEKEEPER_BIN=path …                             another binary
//! ```

#[path = "cache/answer.rs"]
mod answer;
#[path = "overhead/load.rs"]
mod load;
#[path = "overhead/roles.rs"]
mod roles;
#[path = "overhead/servers.rs"]
mod servers;
#[path = "cache/steps.rs"]
mod steps;
#[path = "overhead/subject.rs"]
mod subject;

use std::path::Path;

use load::Load;
use servers::Server;
use subject::{Counts, Subject, calibrate};

/// The goal: CPU of an exact hit as a multiple of the bare answer's.
const GOAL: f64 = 2.0;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=upstream") => roles::upstream(),
        Some("--role=answer") => answer::serve(arguments.get(2).expect("the bytes of an answer")),
        Some(role @ ("--role=relay" | "--role=floor-work")) => {
            let upstream = arguments.get(2).expect("the address of the upstream");
            roles::relay(upstream, role == "--role=floor-work")
        }
        _ => run(&Counts::from_environment(20_000, 3)),
    }
}

fn run(counts: &Counts) {
    steps::report();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut subjects = match subjects(folder.path()) {
        Ok(subjects) => subjects,
        Err(error) => return println!("SKIPPED cache bench: {error}"),
    };
    println!(
        "{} requests a turn, {} connections, {} rounds",
        counts.requests, counts.connections, counts.rounds
    );
    let before = calibrate();
    for subject in &mut subjects {
        subject.warm_up(counts);
    }
    for round in 1..=counts.rounds {
        for subject in &mut subjects {
            subject.run_turn(counts);
        }
        eprintln!("round {round} of {}", counts.rounds);
    }
    let after = calibrate();
    report(counts, &subjects);
    println!(
        "calibration work: {} ms before, {} ms after",
        before.as_millis(),
        after.as_millis()
    );
}

fn subjects(folder: &Path) -> Result<Vec<Subject>, String> {
    let upstream = Server::role(&["--role=upstream"]);
    let address = upstream.address;
    let gatekeeper = |name: &str, settings: &str| {
        Server::gatekeeper(&folder.join(name), "os", address, settings)
    };
    let (plain, plain_key) = gatekeeper("plain", "")?;
    let (cached, cached_key) = gatekeeper("cached", "[cache]\nmode = \"exact\"\n")?;
    let load = |server: &Server, key: &str| Load::new(server.address, key, "m-small", "");
    let cached_load = load(&cached, &cached_key);
    // the first request fills the cache
    cached_load.connect(1).run(1, None);
    let bytes = answer::bytes_of(cached.address, &cached_key);
    let bare = Server::role(&["--role=answer", &bytes.to_string()]);
    let relay = Server::role(&["--role=relay", &address.to_string()]);
    Ok(vec![
        Subject::new("bare answer", load(&bare, "sk-none"), bare.into()),
        Subject::new("exact hit", cached_load, cached.into()),
        Subject::new("no cache", load(&plain, &plain_key), plain.into()),
        Subject::new("bare relay", load(&relay, "sk-none"), relay.into()),
        // the others need it until they are dropped
        Subject::new("upstream", load(&upstream, "sk-none"), upstream.into()),
    ])
}

fn report(counts: &Counts, subjects: &[Subject]) {
    println!("| subject     |  req/s | CPU µs/req | p50 ms | p99 ms | × bare answer |");
    println!("|-------------|-------:|-----------:|-------:|-------:|--------------:|");
    let bare = subjects[0].median(|turn| turn.cpu_us);
    for subject in subjects {
        let cpu = subject.median(|turn| turn.cpu_us);
        println!(
            "| {:<11} | {:>6.0} | {cpu:>10.1} | {:>6.2} | {:>6.2} | {:>13.2} |",
            subject.name,
            subject.median(|turn| turn.requests_per_s),
            subject.median(|turn| turn.p50_ms),
            subject.median(|turn| turn.p99_ms),
            cpu / bare.max(f64::MIN_POSITIVE),
        );
    }
    let all = (counts.requests * counts.rounds) as f64;
    let hit = &subjects[1];
    let threads = hit.threads_us.iter().filter(|(_, cpu_us)| **cpu_us > 0.0);
    let threads: Vec<String> = threads
        .map(|(name, cpu_us)| format!("{name} {:.1}", cpu_us / all))
        .collect();
    println!("exact hit CPU µs/req by thread: {}", threads.join(", "));
    println!(
        "FIGURE exact hit: {:.2} times the CPU of a bare answer of the same size, goal {GOAL}",
        hit.median(|turn| turn.cpu_us) / bare.max(f64::MIN_POSITIVE)
    );
}
