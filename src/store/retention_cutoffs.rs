//! Retention cutoffs: the instant before which rows of each kind are deleted, either as configured or as done so far.

use crate::domain::event::Charge;

/// Longest window other than `total`.
const WINDOW_MS_MAX: u64 = 32 * 86_400_000;

/// Rows before these instants are deleted; 0 keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionCutoffs {
    pub requests_ms: u64,
    pub refusals_ms: u64,
    pub hours_ms: u64,
    pub days_ms: u64,
}

impl RetentionCutoffs {
    /// A window that began before this ended before the first kept request.
    pub(in crate::store) fn balances_ms(&self) -> u64 {
        self.requests_ms.saturating_sub(WINDOW_MS_MAX)
    }

    /// True if the balance of a window is kept; that of `total`, which began at 0, always is.
    pub(in crate::store) fn has_balance(&self, charge: &Charge) -> bool {
        charge.window_start_ms == 0 || charge.window_start_ms >= self.balances_ms()
    }
}
