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

use crate::harness::inside::Inside;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

/// Both dialects, a team that may spend a lot, and its key; with further lines of `[ledger]`.
fn house(upstream: &Upstream, ledger: &str) -> (Inside, Key) {
    let mut inside = Gatekeeper::before(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger(&format!("segment_mb = 1\n{ledger}"))
        .starts_inside();
    let team = inside.team_with_budget("eng", "1000");
    let key = inside.key_of(&team);
    (inside, key)
}
