//! Values of settings that were changed through the API, over those of the configuration.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

/// Names, with the range of their values.
pub(super) const SETTINGS: [(&str, u64, u64); 5] = [
    ("alerts.threshold_percent", 1, 100),
    ("retention.days_days", 0, 36_500),
    ("retention.hours_days", 0, 36_500),
    ("retention.refused_days", 0, 36_500),
    ("retention.requests_days", 0, 36_500),
];

pub(super) type Values = BTreeMap<String, u64>;

/// Values of the books over those of the configuration.
#[derive(Debug, Default)]
pub(super) struct StoredSettings {
    /// of the configuration file, or defaults
    pub configured: Values,
    pub stored: ArcSwap<Values>,
    /// held while settings are changed
    pub turn: Mutex<()>,
}

impl StoredSettings {
    pub fn value(&self, name: &str) -> Option<u64> {
        let stored = self.stored.load();
        stored.get(name).or(self.configured.get(name)).copied()
    }
}
