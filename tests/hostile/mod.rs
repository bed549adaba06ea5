//! A hostile world: clients, vendors and configurations that try to spend or to occupy what they must not.

mod aliases;
mod before_limits;
mod bounds;
mod deadlines;
mod fixed_prices;
mod torture;
mod upstreams;

use crate::harness::process::Gatekeeper;

/// Number of connections that the gateway has ended for a reason.
fn ended(gatekeeper: &Gatekeeper, reason: &str) -> u64 {
    let line = format!("gatekeeper_connections_ended_total{{reason=\"{reason}\"}} ");
    let metrics = gatekeeper.admin().get("/metrics").assert_status(200).text();
    let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
    count.expect(&line).parse().expect(&line)
}
