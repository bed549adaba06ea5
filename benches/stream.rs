//! What another dialect costs: CPU microseconds per whole answer and per streamed piece, for a chat client at an upstream of its
//! own dialect (bytes passed on, usage read along) and at one that speaks Anthropic's (translated both ways), with a bare
//! actix→awc relay as the yardstick. The upstream sends a piece a millisecond, so that no two share a read. Like `overhead`, it
//! counts the server's CPU alone and compares medians of one run.
//!
//! ```text
//! cargo bench --bench stream                        10,000 whole answers and 200 streams a turn, 3 rounds
//! GK_BENCH_REQUESTS=500 GK_BENCH_ROUNDS=1 …         a smoke run
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

/// One server asked for one model, whole and streamed.
struct Pair {
    whole: Subject,
    streamed: Subject,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=upstream") => roles::upstream(),
        Some("--role=relay") => {
            roles::relay(arguments.get(2).expect("the relay is told its upstream"))
        }
        _ => conduct(&Counts::from_environment(10_000)),
    }
}

fn conduct(counts: &Counts) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let upstream = Server::role(&["--role=upstream"]);
    let mut pairs = pairs(folder.path(), &upstream);
    // a stream is so many pieces: fewer of them are as much work
    let streams = Counts {
        requests: (counts.requests / 50).max(counts.connections),
        ..*counts
    };
    println!(
        "{} whole answers and {} streams of {} pieces a turn, {} connections, {} rounds",
        counts.requests,
        streams.requests,
        roles::PIECES,
        counts.connections,
        counts.rounds
    );
    let before = calibrate();
    for pair in &mut pairs {
        pair.whole.warms_up(counts);
        pair.streamed.warms_up(&streams);
    }
    for round in 1..=counts.rounds {
        for pair in &mut pairs {
            pair.whole.takes_a_turn(counts);
            pair.streamed.takes_a_turn(&streams);
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
    let mut pairs = vec![Pair::new("bare relay", &relay, "sk-none", "m-small")];
    match Server::gatekeeper(&folder.join("gatekeeper"), "os", upstream.address) {
        Ok((server, key)) => {
            let server = Rc::new(server);
            pairs.push(Pair::new("same dialect", &server, &key, "m-small"));
            pairs.push(Pair::new("other dialect", &server, &key, "c-small"));
        }
        Err(why) => println!("SKIPPED gatekeeper: {why}"),
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
            whole: subject(""),
            streamed: subject(STREAMED),
        }
    }

    /// CPU of one streamed piece: what a stream costs beyond a whole answer, by its pieces.
    fn piece_us(&self) -> f64 {
        let cpu = |subject: &Subject| subject.median(|turn| turn.cpu_us);
        (cpu(&self.streamed) - cpu(&self.whole)) / roles::PIECES as f64
    }
}

fn report(counts: &Counts, pairs: &[Pair]) {
    let whole = |pair: &Pair| pair.whole.median(|turn| turn.cpu_us);
    println!(
        "| subject | whole/s | CPU µs/whole | p50 ms | p99 ms | CPU µs/stream | CPU µs/piece |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for pair in pairs {
        println!(
            "| {} | {:.0} | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} |",
            pair.whole.name,
            pair.whole.median(|turn| turn.requests_per_s),
            whole(pair),
            pair.whole.median(|turn| turn.p50_ms),
            pair.whole.median(|turn| turn.p99_ms),
            pair.streamed.median(|turn| turn.cpu_us),
            pair.piece_us(),
        );
        let turns: Vec<String> = pair
            .whole
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
            pair.whole.name,
            turns.join(" "),
            streams.join(" ")
        );
    }
    if let [_, same, other] = pairs {
        println!(
            "FIGURE other dialect, whole answer: {:.2} × the same dialect (goal 2)",
            whole(other) / whole(same)
        );
        println!(
            "FIGURE other dialect, streamed piece: {:.1} µs (goal 25), same dialect {:.1} µs",
            other.piece_us(),
            same.piece_us()
        );
    }
    println!(
        "(CPU of the server process alone, user + sys; medians of {})",
        counts.rounds
    );
}
