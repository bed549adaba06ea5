//! What the benches measure: a server under a load, turn by turn, its CPU alone. Medians of one run are compared, never figures of
//! two runs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::load::{Load, Turn};
use super::servers::Server;

/// How much is measured.
pub struct Counts {
    pub requests: usize,
    pub rounds: usize,
    pub connections: usize,
}

/// One thing that is measured, and what its turns gave.
pub struct Subject {
    pub name: &'static str,
    pub server: Rc<Server>,
    load: Load,
    pub turns: Vec<Measured>,
    /// over all turns
    pub threads_us: BTreeMap<String, f64>,
}

#[derive(Clone, Copy)]
pub struct Measured {
    pub cpu_us: f64,
    pub requests_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Counts {
    /// `requests` a turn where the environment says nothing.
    pub fn from_environment(requests: usize) -> Counts {
        let count = |name: &str, default: usize| {
            std::env::var(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name}={text} is not a count"))
            })
        };
        Counts {
            requests: count("GK_BENCH_REQUESTS", requests).clamp(1, 5_000_000),
            rounds: count("GK_BENCH_ROUNDS", 3).clamp(1, 100),
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
        }
    }

    pub fn warms_up(&mut self, counts: &Counts) {
        self.load
            .run(counts.connections, (counts.requests / 10).clamp(1, 2_000));
    }

    pub fn takes_a_turn(&mut self, counts: &Counts) {
        let (before, threads_before) = (self.server.cpu_us(), self.server.cpu_us_by_thread());
        let Turn { elapsed, latency } = self.load.run(counts.connections, counts.requests);
        // what the server still does for these requests (writing the books) is theirs
        std::thread::sleep(Duration::from_millis(200));
        let cpu_us = self.server.cpu_us() - before;
        for (thread, after_us) in self.server.cpu_us_by_thread() {
            let before_us = threads_before.get(&thread).copied().unwrap_or(0.0);
            *self.threads_us.entry(thread).or_default() += after_us - before_us;
        }
        let requests = counts.requests as f64;
        self.turns.push(Measured {
            cpu_us: cpu_us / requests,
            requests_per_s: requests / elapsed.as_secs_f64(),
            p50_ms: latency.value_at_quantile(0.50) as f64 / 1e3,
            p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        });
    }

    pub fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// A fixed piece of work; its time tells how fast the machine is just now.
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
