//! Subject of a bench: a server under a load, measured turn by turn by the CPU time of its process. Only medians of one
//! run are comparable.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::load::{Load, Turn};
use super::servers::Server;

/// Wait after a turn: the writer of a gateway posts the last requests within 300 ms, and its work counts.
pub const POSTED: Duration = Duration::from_millis(350);

/// Size of a bench.
pub struct Counts {
    pub requests: usize,
    pub rounds: usize,
    pub connections: usize,
}

/// A server under measurement with the figures of its turns.
pub struct Subject {
    pub name: &'static str,
    pub server: Rc<Server>,
    load: Load,
    pub turns: Vec<TurnFigures>,
    /// CPU time by thread, sum of all turns of the closed loop
    pub threads_us: BTreeMap<String, f64>,
    /// CPU time by thread, sum of all turns of the open loop
    pub paced_threads_us: BTreeMap<String, f64>,
}

#[derive(Clone, Copy)]
pub struct TurnFigures {
    pub cpu_us: f64,
    pub requests_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Counts {
    /// Reads the counts from the environment; these are the defaults.
    pub fn from_environment(requests: usize, rounds: usize) -> Counts {
        let count = |name: &str, default: usize| {
            std::env::var(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name}={text} is not a count"))
            })
        };
        Counts {
            requests: count("GK_BENCH_REQUESTS", requests).clamp(1, 5_000_000),
            rounds: count("GK_BENCH_ROUNDS", rounds).clamp(1, 100),
            connections: count("GK_BENCH_CONNECTIONS", 64).clamp(1, 1_000),
        }
    }
}

impl Subject {
    pub fn new(name: &'static str, load: Load, server: Rc<Server>) -> Subject {
        Subject {
            name,
            server,
            load,
            turns: Vec::new(),
            threads_us: BTreeMap::new(),
            paced_threads_us: BTreeMap::new(),
        }
    }

    pub fn warm_up(&mut self, counts: &Counts) {
        let mut connections = self.load.connect(counts.connections);
        connections.run(counts.requests.min(2_000), None);
    }

    pub fn run_turn(&mut self, counts: &Counts) {
        let figures = self.measure(counts, counts.requests, None);
        self.turns.push(figures);
    }

    /// Runs requests, as fast as answers come or at a rate.
    pub fn measure(&mut self, counts: &Counts, requests: usize, rate: Option<f64>) -> TurnFigures {
        let mut connections = self.load.connect(counts.connections);
        // not counted: connections are accepted and those to the upstream opened
        connections.run(requests.min(4 * counts.connections), None);
        std::thread::sleep(POSTED);
        let (before, threads_before) = (self.server.cpu_us(), self.server.cpu_us_by_thread());
        let Turn { elapsed, latency } = connections.run(requests, rate);
        std::thread::sleep(POSTED);
        let cpu_us = self.server.cpu_us() - before;
        let threads_us = match rate {
            None => &mut self.threads_us,
            Some(_) => &mut self.paced_threads_us,
        };
        for (thread, after_us) in self.server.cpu_us_by_thread() {
            let before_us = threads_before.get(&thread).copied().unwrap_or(0.0);
            *threads_us.entry(thread).or_default() += after_us - before_us;
        }
        let requests = requests as f64;
        TurnFigures {
            cpu_us: cpu_us / requests,
            requests_per_s: requests / elapsed.as_secs_f64(),
            p50_ms: latency.value_at_quantile(0.50) as f64 / 1e3,
            p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        }
    }

    pub fn median(&self, figure: impl Fn(&TurnFigures) -> f64) -> f64 {
        median_of(&self.turns, figure)
    }
}

/// Middle of the values of a figure.
pub fn median_of(turns: &[TurnFigures], figure: impl Fn(&TurnFigures) -> f64) -> f64 {
    median_of_values(turns.iter().map(figure).collect())
}

pub fn median_of_values(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs a fixed amount of work and returns its duration, a measure of the machine's current speed.
pub fn calibrate() -> Duration {
    let start = Instant::now();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..100_000_000_u64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    start.elapsed()
}
