//! Result of a verification: counts of the rows compared and the differences found, at most 100 of them with their text.

use std::collections::BTreeMap;

use crate::domain::event::HoldId;

/// Differences reported with their text.
const DIFFERENCES_MAX: usize = 100;

/// Part of the store that can differ, in the order of the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Records,
    Balances,
    Rollups,
    Log,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Records, Part::Balances, Part::Rollups, Part::Log];

    pub fn as_str(self) -> &'static str {
        match self {
            Part::Records => "records",
            Part::Balances => "balances",
            Part::Rollups => "rollups",
            Part::Log => "log",
        }
    }
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub part: Part,
    pub row: String,
    /// stored and computed value
    pub says: String,
}

#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    pub records: u64,
    pub corrections: u64,
    pub balances: u64,
    pub rollups: u64,
    pub written: u64,
    pub synced: u64,
    pub applied: u64,
    /// hours and days before this are not compared, because their records were deleted; 0 if none were
    pub compared_from_ms: u64,
    /// the first differences; `count` has all
    pub differences: Vec<Difference>,
    /// number of differing rows of each part
    pub count: BTreeMap<Part, u64>,
}

impl VerifyReport {
    pub(super) fn add(&mut self, part: Part, row: impl Into<String>, says: impl Into<String>) {
        *self.count.entry(part).or_default() += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference {
                part,
                row: row.into(),
                says: says.into(),
            });
        }
    }
}

/// Name of a record in the report.
pub(super) fn record_name(id: HoldId) -> String {
    format!("{} attempt {}", id.request, id.attempt)
}
