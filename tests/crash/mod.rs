//! The books when things go wrong: a killed process, a slow or failing disk, a damaged or foreign data folder.

mod books;
mod counts;
mod failing;
mod faults;
mod folder;
mod full;
mod images;
mod kill;
mod stall;

use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

/// Both dialects, a team that may spend a lot, and its key; with further lines of `[ledger]`.
fn house(upstream: &Upstream, ledger: &str) -> (InProcessGateway, Key) {
    let mut gateway = Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger(&format!("segment_mb = 1\n{ledger}"))
        .start_in_process();
    let team = gateway.team_with_budget("eng", "1000");
    let key = gateway.key_of(&team);
    (gateway, key)
}
