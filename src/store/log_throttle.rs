//! Throttles log messages about a repeating failure: the first is logged at once, then one every 10 s, and the recovery once.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(10);

/// Time of the last message; `None` while nothing fails.
#[derive(Default)]
pub(super) struct LogThrottle(Option<Instant>);

impl LogThrottle {
    /// Counts a failure; `true` if it is to be logged.
    pub(super) fn should_log(&mut self) -> bool {
        let due = self.0.is_none_or(|logged| logged.elapsed() >= INTERVAL);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }

    /// Counts a success; `true` if it ends a series of failures.
    pub(super) fn recovered(&mut self) -> bool {
        self.0.take().is_some()
    }
}
