//! Crashes and faults: a killed process, power cuts, a slow, failing or full disk, a damaged or foreign data folder.

mod data_folder;
mod disk_operations;
mod expected_books;
mod failing_disk;
mod faults;
mod full_disk;
mod kill;
mod power_cuts;
mod segments;
mod stalled_disk;
mod workload;

use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

/// A gateway with two dialects, further lines of `[ledger]`, and a key of a team with a large budget.
fn fixture(upstream: &Upstream, ledger: &str) -> (InProcessGateway, Key) {
    let mut gateway = Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger(&format!("segment_mb = 1\n{ledger}"))
        .start_in_process();
    let team = gateway.team_with_budget("eng", "1000");
    let key = gateway.key_of(&team);
    (gateway, key)
}
