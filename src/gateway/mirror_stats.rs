//! Figures of mirrored requests for `/metrics` and the health of a route: latency and cost per target, and the copies that were dropped.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::event::Status;
use crate::domain::money::Money;

/// Sums over the copies of one target since the start.
#[derive(Clone, Debug, Default)]
struct TargetSums {
    ok: u64,
    failed: u64,
    cost: Money,
    total_ms: u64,
    /// copies with content, and their time to it
    with_content: u64,
    first_content_ms: u64,
}

/// Figures of the copies of one target since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorFigures {
    pub ok: u64,
    pub failed: u64,
    pub cost: Money,
    /// of a copy, on average; `None` before the first
    pub total_ms: Option<u64>,
    /// of a copy with content, on average
    pub first_content_ms: Option<u64>,
}

/// A copy that has ended.
#[derive(Clone, Copy, Debug)]
pub struct MirroredCall {
    pub status: Status,
    pub cost: Money,
    pub total_ms: u64,
    pub first_content_ms: Option<u64>,
}

/// Figures of all copies.
#[derive(Debug, Default)]
pub struct MirrorStats {
    targets: Mutex<BTreeMap<String, TargetSums>>,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

impl MirrorStats {
    pub(super) fn note(&self, target: String, call: MirroredCall) {
        let mut targets = lock(&self.targets);
        let sums = targets.entry(target).or_default();
        match call.status {
            Status::Ok => sums.ok += 1,
            _ => sums.failed += 1,
        }
        sums.cost = sums.cost.plus(call.cost);
        sums.total_ms = sums.total_ms.saturating_add(call.total_ms);
        if let Some(first_content_ms) = call.first_content_ms {
            sums.with_content += 1;
            sums.first_content_ms = sums.first_content_ms.saturating_add(first_content_ms);
        }
    }

    pub(super) fn dropped(&self, reason: &'static str) {
        *lock(&self.dropped).entry(reason).or_default() += 1;
    }

    /// Figures of a target `provider/model`.
    pub fn of_target(&self, target: &str) -> MirrorFigures {
        let targets = lock(&self.targets);
        targets.get(target).map_or_else(Default::default, |sums| {
            let count = sums.ok + sums.failed;
            MirrorFigures {
                ok: sums.ok,
                failed: sums.failed,
                cost: sums.cost,
                total_ms: sums.total_ms.checked_div(count),
                first_content_ms: sums.first_content_ms.checked_div(sums.with_content),
            }
        })
    }

    /// Writes the figures in the text format of Prometheus; nothing before the first copy.
    pub fn write(&self, into: &mut String) {
        let targets = lock(&self.targets).clone();
        // writing to a String cannot fail
        let mut write = |name: &str, value: fn(&TargetSums) -> String| {
            if !targets.is_empty() {
                let _ = writeln!(into, "# TYPE {name} counter");
            }
            for (target, sums) in &targets {
                let target = target.replace(['"', '\\'], "_");
                let _ = writeln!(into, "{name}{{deployment=\"{target}\"}} {}", value(sums));
            }
        };
        write("gatekeeper_mirror_ok_total", |sums| sums.ok.to_string());
        write("gatekeeper_mirror_failed_total", |sums| {
            sums.failed.to_string()
        });
        write("gatekeeper_mirror_cost_usd_total", |sums| {
            sums.cost.to_string()
        });
        write("gatekeeper_mirror_ms_total", |sums| {
            sums.total_ms.to_string()
        });
        write("gatekeeper_mirror_first_content_total", |sums| {
            sums.with_content.to_string()
        });
        write("gatekeeper_mirror_first_content_ms_total", |sums| {
            sums.first_content_ms.to_string()
        });
        let dropped = lock(&self.dropped).clone();
        if !dropped.is_empty() {
            let _ = writeln!(into, "# TYPE gatekeeper_mirror_dropped_total counter");
        }
        for (reason, count) in dropped {
            let _ = writeln!(
                into,
                "gatekeeper_mirror_dropped_total{{reason=\"{reason}\"}} {count}"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
