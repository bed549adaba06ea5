//! Test harness: a scripted upstream that keeps its own bill, HTTP clients (personas), and the gateway as a process or in
//! process, whose `Drop` asserts that the books agree. Every wait has a condition and a deadline; all traffic is on
//! loopback.
#![allow(
    dead_code,
    unused_imports,
    reason = "the harness offers more than the tests use at present"
)]

pub mod client;
pub mod controlled_disk;
pub mod gate;
pub mod http;
pub mod in_process;
pub mod instance;
pub mod issuer;
pub mod model;
pub mod process;
pub mod proxy;
pub mod request;
pub mod rng;
pub mod script;
pub mod setup;
pub mod simulated_disk;
pub mod strict;
pub mod tls;
pub mod upstream;
pub mod workers;

mod self_test;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for a condition: it only ends what would never come, also on a machine that is ten times too slow.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Sets a flag when it goes out of scope, also by a panic, so that threads that run until the flag is set end.
pub struct SetOnDrop<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Polls the condition; panics with `what` at the deadline.
pub fn wait_until(what: &str, mut is_met: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_met() {
        assert!(
            start.elapsed() < DEADLINE,
            "condition not met within {DEADLINE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Parses a decimal amount of dollars into pico-dollars, the unit in which the tests compare money.
pub fn pico(usd: &str) -> i128 {
    let (sign, digits) = usd.strip_prefix('-').map_or((1, usd), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(part.len() <= 12, "`{usd}` has more than 12 decimal places");
    let whole: i128 = whole
        .parse()
        .unwrap_or_else(|_| panic!("invalid amount of dollars `{usd}`"));
    let part: i128 = format!("{part:0<12}")
        .parse()
        .unwrap_or_else(|_| panic!("invalid amount of dollars `{usd}`"));
    sign * (whole * 1_000_000_000_000 + part)
}

/// Formats pico-dollars as a decimal amount of dollars without trailing zeros.
pub fn usd(pico: i128) -> String {
    let sign = if pico < 0 { "-" } else { "" };
    let (whole, part) = (
        pico.unsigned_abs() / 1_000_000_000_000,
        pico.unsigned_abs() % 1_000_000_000_000,
    );
    let part = format!("{part:012}");
    match part.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        part => format!("{sign}{whole}.{part}"),
    }
}

/// Golden file: a recording of a vendor's documented format in `tests/golden/`.
pub fn golden(path: &str) -> String {
    String::from_utf8(golden_bytes(path)).unwrap_or_else(|_| panic!("{path} is not UTF-8"))
}

/// Golden file of a binary format.
pub fn golden_bytes(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Asserts that a generated table equals the file in `tests/`; `GK_WRITE_TABLES=1` writes the file first.
#[track_caller]
pub fn assert_table(file: &str, observed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file);
    if std::env::var_os("GK_WRITE_TABLES").is_some_and(|word| word == "1") {
        std::fs::write(&path, observed)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = observed
        .lines()
        .find(|line| !stored.lines().any(|other| other == *line))
        .unwrap_or("a surplus line");
    assert!(
        stored == observed,
        "tests/{file} is out of date, first in: {differs}\nGK_WRITE_TABLES=1 updates it"
    );
}

/// Repetitions of a test: the count in the environment variable (set by `.ci/long`), otherwise `default`.
pub fn repetitions(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("invalid count {variable}={text}")),
        Err(_) => default,
    }
}

/// Reports a test that cannot run on this machine, bypassing the runner's capture: `.ci/run` lists these lines.
pub fn print_skipped(name: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Prints a figure for the table of `.ci/long`, bypassing the runner's capture.
pub fn print_figure(name: &str, figure: &str) {
    let _ = writeln!(std::io::stderr(), "FIGURE {name}: {figure}");
}

/// Smallest request valid in both dialects: one turn, an output cap of 50 tokens.
pub fn hello(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})
}

/// `hello` as a stream.
pub fn hello_streamed(model: &str) -> Value {
    let mut body = hello(model);
    body["stream"] = json!(true);
    body
}
