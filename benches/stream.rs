//! Cost of translation: CPU time per unary response and per stream event, for a chat client at an upstream of the same
//! dialect (pass-through) and at one that speaks Anthropic's (translated both ways), with a bare actix→awc relay and
//! floor-work (`overhead`) as baselines. The upstream sends one event per millisecond, so that no two share a read. As in `overhead`, only the server's
//! CPU counts and medians of one run are compared.
//!
//! ```text
//! cargo bench --bench stream                        10,000 unary responses and 200 streams per turn, 3 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         smoke run
//! ```

#[path = "overhead/load.rs"]
mod load;
#[path = "overhead/roles.rs"]
mod roles;
#[path = "overhead/servers.rs"]
mod servers;
#[path = "overhead/subject.rs"]
mod subject;

use std::path::Path;
use std::rc::Rc;

use load::Load;
use servers::Server;
use subject::{Counts, Subject, calibrate};

const STREAMED: &str = r#","stream":true"#;

/// Unary and streamed requests to one model of one server.
struct Pair {
    unary: Subject,
    streamed: Subject,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=upstream") => roles::upstream(),
        Some(role @ ("--role=relay" | "--role=floor-work")) => {
            let upstream = arguments.get(2).expect("the address of the upstream");
            roles::relay(upstream, role == "--role=floor-work")
        }
        _ => run(&Counts::from_environment(10_000, 3)),
    }
}

fn run(counts: &Counts) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let upstream = Server::role(&["--role=upstream"]);
    let mut pairs = pairs(folder.path(), &upstream);
    // a stream has many events, so fewer streams are as much work
    let streams = Counts {
        requests: (counts.requests / 50).max(counts.connections),
        ..*counts
    };
    println!(
        "{} whole answers and {} streams of {} pieces a turn, {} connections, {} rounds",
        counts.requests,
        streams.requests,
        roles::EVENTS,
        counts.connections,
        counts.rounds
    );
    let before = calibrate();
    for pair in &mut pairs {
        pair.unary.warm_up(counts);
        pair.streamed.warm_up(&streams);
    }
    for round in 1..=counts.rounds {
        for pair in &mut pairs {
            pair.unary.run_turn(counts);
            pair.streamed.run_turn(&streams);
        }
        eprintln!("round {round} of {}", counts.rounds);
    }
    let after = calibrate();
    report(counts, &pairs);
    println!(
        "calibration work: {} ms before, {} ms after",
        before.as_millis(),
        after.as_millis()
    );
}

fn pairs(folder: &Path, upstream: &Server) -> Vec<Pair> {
    let relay = Rc::new(Server::role(&[
        "--role=relay",
        &upstream.address.to_string(),
    ]));
    let floor = Rc::new(Server::role(&[
        "--role=floor-work",
        &upstream.address.to_string(),
    ]));
    let mut pairs = vec![
        Pair::new("bare relay", &relay, "sk-none", "m-small"),
        Pair::new("floor-work", &floor, "sk-none", "m-small"),
    ];
    match Server::gatekeeper(&folder.join("gatekeeper"), "os", upstream.address, "") {
        Ok((server, key)) => {
            let server = Rc::new(server);
            pairs.push(Pair::new("same dialect", &server, &key, "m-small"));
            pairs.push(Pair::new("other dialect", &server, &key, "c-small"));
        }
        Err(error) => println!("SKIPPED gatekeeper: {error}"),
    }
    pairs
}

impl Pair {
    fn new(name: &'static str, server: &Rc<Server>, key: &str, model: &str) -> Pair {
        let subject = |more: &str| {
            Subject::new(
                name,
                Load::new(server.address, key, model, more),
                server.clone(),
            )
        };
        Pair {
            unary: subject(""),
            streamed: subject(STREAMED),
        }
    }

    /// CPU time per stream event: the excess over a unary response, divided by the events.
    fn event_us(&self) -> f64 {
        let cpu = |subject: &Subject| subject.median(|turn| turn.cpu_us);
        (cpu(&self.streamed) - cpu(&self.unary)) / roles::EVENTS as f64
    }
}

fn report(counts: &Counts, pairs: &[Pair]) {
    let unary_us = |pair: &Pair| pair.unary.median(|turn| turn.cpu_us);
    println!(
        "| subject | whole/s | CPU µs/whole | p50 ms | p99 ms | CPU µs/stream | CPU µs/piece |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for pair in pairs {
        println!(
            "| {} | {:.0} | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} |",
            pair.unary.name,
            pair.unary.median(|turn| turn.requests_per_s),
            unary_us(pair),
            pair.unary.median(|turn| turn.p50_ms),
            pair.unary.median(|turn| turn.p99_ms),
            pair.streamed.median(|turn| turn.cpu_us),
            pair.event_us(),
        );
        let turns: Vec<String> = pair
            .unary
            .turns
            .iter()
            .map(|turn| format!("{:.1}", turn.cpu_us))
            .collect();
        let streams: Vec<String> = pair
            .streamed
            .turns
            .iter()
            .map(|turn| format!("{:.0}", turn.cpu_us))
            .collect();
        eprintln!(
            "{} by round: whole {}; streams {}",
            pair.unary.name,
            turns.join(" "),
            streams.join(" ")
        );
    }
    if let [_, floor, same, other] = pairs {
        println!(
            "FIGURE other dialect, whole answer: {:.2} × the same dialect (goal 2)",
            unary_us(other) / unary_us(same)
        );
        println!(
            "FIGURE other dialect, streamed piece: {:.1} µs (goal 25), same dialect {:.1} µs",
            other.event_us(),
            same.event_us()
        );
        println!(
            "FIGURE streamed piece: {:.2} × floor-work (goal 1.15)",
            same.event_us() / floor.event_us()
        );
    }
    println!(
        "(CPU of the server process alone, user + sys; medians of {})",
        counts.rounds
    );
}
