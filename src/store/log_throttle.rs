//! Something that fails, perhaps again and again, and is said now and then.

use std::time::{Duration, Instant};

/// While something keeps failing it is said again so often.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// When it was last said; `None`: nothing fails.
#[derive(Default)]
pub(super) struct LogThrottle(Option<Instant>);

impl LogThrottle {
    /// Whether to say it now.
    pub(super) fn should_log(&mut self) -> bool {
        let news = self.0.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
        if news {
            self.0 = Some(Instant::now());
        }
        news
    }

    /// Whether it is over just now.
    pub(super) fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}
