//! What a budget has to say for itself: that most of it is spent, that it is at its limit. Once for each window.

use crate::domain::budget::Budget;
use crate::domain::money::Money;
use crate::domain::zone::Window;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// so many percent are spent
    Threshold,
    /// all is spent, or a call was refused after the threshold had been passed
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

/// One of them, as it stood at that instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub kind: AlertKind,
    pub budget: Budget,
    pub window: Window,
    pub settled: Money,
    pub at_ms: u64,
    /// the threshold that held
    pub threshold_percent: u8,
}

impl Alert {
    /// What is spent of the limit, in whole percent, rounded down; 100 of a limit of nothing.
    pub fn percent(&self) -> u64 {
        let percent = self
            .settled
            .pico()
            .saturating_mul(100)
            .checked_div(self.budget.limit.pico());
        percent.map_or(100, |percent| u64::try_from(percent).unwrap_or(0))
    }
}
