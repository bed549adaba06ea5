//! What the tests stand on: a scripted upstream that keeps its own bill, personas that speak raw HTTP, and the real
//! process in a folder of its own whose end checks the books. Nothing here sleeps for luck: every wait has a condition
//! and a deadline, and every traffic is on loopback.
#![allow(
    dead_code,
    unused_imports,
    reason = "the harness speaks more words than the tests of one day use"
)]

pub mod client;
pub mod controlled_disk;
pub mod http;
pub mod in_process;
pub mod instance;
pub mod model;
pub mod process;
pub mod rng;
pub mod script;
pub mod setup;
pub mod simulated_disk;
pub mod upstream;
pub mod workers;

mod self_test;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a test waits for a thing that must happen before it calls it missing.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// SetOnDrop a flag when it goes out of scope, also by a panic: whoever loops until then ends, and the panic is told.
pub struct SetOnDrop<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Asks until the answer is yes; panics with `what` at the deadline.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(
            start.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A decimal amount of dollars as integer pico-dollars, the unit in which the tests compare money.
pub fn pico(usd: &str) -> i128 {
    let (sign, digits) = usd.strip_prefix('-').map_or((1, usd), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(part.len() <= 12, "`{usd}` is finer than a pico-dollar");
    let whole: i128 = whole
        .parse()
        .unwrap_or_else(|_| panic!("`{usd}` is not an amount of dollars"));
    let part: i128 = format!("{part:0<12}")
        .parse()
        .unwrap_or_else(|_| panic!("`{usd}` is not an amount of dollars"));
    sign * (whole * 1_000_000_000_000 + part)
}

/// Integer pico-dollars as a decimal amount of dollars, without trailing zeros.
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

/// A recording of a vendor's documented format, byte for byte: `tests/golden/`.
pub fn golden(path: &str) -> String {
    String::from_utf8(golden_bytes(path)).unwrap_or_else(|_| panic!("{path} is not UTF-8"))
}

/// The same of a format that is no text.
pub fn golden_bytes(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Holds a generated table against the one that is kept in `tests/`; with `GK_WRITE_TABLES=1` it is written instead.
#[track_caller]
pub fn assert_table(file: &str, observed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file);
    if std::env::var_os("GK_WRITE_TABLES").is_some_and(|word| word == "1") {
        std::fs::write(&path, observed)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = observed
        .lines()
        .find(|line| !kept.lines().any(|other| other == *line))
        .unwrap_or("a line too many");
    assert!(
        kept == observed,
        "tests/{file} is not what was observed, first in: {differs}\nGK_WRITE_TABLES=1 writes it anew"
    );
}

/// How often a test does its thing: the variable's count, else a count for every day. `.ci/long` sets the variables.
pub fn repetitions(variable: &str, every_day: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a count")),
        Err(_) => every_day,
    }
}

/// Says that a test cannot run here, past the test runner's capture: `.ci/run` shows these lines at its end.
pub fn print_skipped(name: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// A figure for the table of `.ci/long`, past the test runner's capture.
pub fn print_figure(name: &str, figure: &str) {
    let _ = writeln!(std::io::stderr(), "FIGURE {name}: {figure}");
}

/// The least that both dialects take: one turn, and a cap of 50 tokens.
pub fn hello(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})
}

/// The same, streamed.
pub fn hello_streamed(model: &str) -> Value {
    let mut body = hello(model);
    body["stream"] = json!(true);
    body
}
