//! Budget alerts: threshold passed, limit reached. Each kind is raised at most once per budget window.

use crate::domain::budget::Budget;
use crate::domain::money::Money;
use crate::domain::zone::Window;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// the configured percentage of the limit is spent
    Threshold,
    /// the limit is spent, or a call was refused after the threshold was passed
    Limit,
}

impl AlertKind {
    pub const ALL: [AlertKind; 2] = [AlertKind::Threshold, AlertKind::Limit];

    pub fn as_str(self) -> &'static str {
        match self {
            AlertKind::Threshold => "budget.threshold",
            AlertKind::Limit => "budget.limit",
        }
    }
}

/// One alert with the state of its budget when it was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub kind: AlertKind,
    pub budget: Budget,
    pub window: Window,
    pub settled: Money,
    pub at_ms: u64,
    /// configured threshold at `at_ms`
    pub threshold_percent: u8,
}

impl Alert {
    /// Spent share of the limit in whole percent, rounded down; 100 for a limit of zero.
    pub fn percent(&self) -> u64 {
        let percent = self
            .settled
            .pico()
            .saturating_mul(100)
            .checked_div(self.budget.limit.pico());
        percent.map_or(100, |percent| u64::try_from(percent).unwrap_or(0))
    }
}
