//! Set of alerts already sent for a budget window, and the default alert threshold. Plain data; decides nothing.

use crate::domain::alert::AlertKind;

/// Default alert threshold in percent of a budget's limit.
pub const THRESHOLD_PERCENT: u8 = 85;

/// Alerts already sent for a window: one bit per kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SentAlerts(u8);

impl SentAlerts {
    fn bit(kind: AlertKind) -> u8 {
        match kind {
            AlertKind::Threshold => 1,
            AlertKind::Limit => 2,
        }
    }

    pub(super) fn has(self, kind: AlertKind) -> bool {
        self.0 & SentAlerts::bit(kind) != 0
    }

    pub(super) fn has_all(self) -> bool {
        AlertKind::ALL.into_iter().all(|kind| self.has(kind))
    }

    pub(super) fn mark_sent(&mut self, kind: AlertKind) {
        self.0 |= SentAlerts::bit(kind);
    }

    pub(super) fn requeue(&mut self, kind: AlertKind) {
        self.0 &= !SentAlerts::bit(kind);
    }
}
