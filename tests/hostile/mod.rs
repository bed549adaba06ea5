//! A hostile world: clients, vendors and configurations that try to spend or to occupy what they must not.

mod aliases;
mod before_limits;
mod bounds;
mod deadlines;
mod fairness;
mod fixed_prices;
mod fuzz;
mod memory;
mod over_ceiling;
mod soak;
mod streams;
mod torture;
mod upstreams;

use crate::harness;
use crate::harness::process::Gatekeeper;

/// Number of connections that the gateway has ended for a reason.
fn ended(gatekeeper: &Gatekeeper, reason: &str) -> u64 {
    let line = format!("gatekeeper_connections_ended_total{{reason=\"{reason}\"}} ");
    let metrics = gatekeeper.admin().get("/metrics").assert_status(200).text();
    let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
    count.expect(&line).parse().expect(&line)
}

/// Count of a trial: small unless the long run sets it.
fn count_from_env(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}")),
        Err(_) => otherwise,
    }
}

/// A figure of the long run's table.
fn print_figure(name: &str, value: &str) {
    harness::print_figure(&format!("hostile, {name}"), value);
}

/// Resident memory of a process.
fn resident_mb(pid: u32) -> f64 {
    status_mb(pid, "VmRSS:")
}

/// Most resident memory that a process had.
fn resident_peak_mb(pid: u32) -> f64 {
    status_mb(pid, "VmHWM:")
}

fn status_mb(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect(name).split_whitespace().next();
    words.and_then(|kb| kb.parse::<f64>().ok()).expect(name) / 1024.0
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    entries(pid, "fd")
}

fn threads(pid: u32) -> usize {
    entries(pid, "task")
}

fn entries(pid: u32, folder: &str) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{pid}/{folder}"));
    entries.expect("a process of this user").count()
}
