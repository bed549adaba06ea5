//! Cooperative yielding for the writer thread. A thread woken by the disk or a client may queue behind the writer for its whole time
//! slice of some milliseconds, even beside an idle core; so the writer yields every few rows. The time spent yielding is bounded per
//! commit, because on a busy machine a yielding thread waits for all others, and the books must keep up.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Rows between two yields: by estimate 50 µs of work of the packaged build.
const ROWS: usize = 256;
/// Time spent yielding per commit.
const YIELD_MAX: Duration = Duration::from_millis(10);

/// Yielding during one commit.
#[derive(Default)]
pub(in crate::store) struct Yielder {
    spent: Cell<Duration>,
}

impl Yielder {
    /// Passes the items through, yielding after every `ROWS`.
    pub(in crate::store) fn over<I: IntoIterator>(
        &self,
        items: I,
    ) -> impl Iterator<Item = I::Item> {
        items.into_iter().enumerate().map(|(at, item)| {
            if at % ROWS == ROWS - 1 {
                self.yield_now();
            }
            item
        })
    }

    fn yield_now(&self) {
        let spent = self.spent.get();
        if spent < YIELD_MAX {
            let started = Instant::now();
            std::thread::yield_now();
            self.spent.set(spent + started.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yielder_passes_every_item_and_bounds_the_time_spent() {
        let yielder = Yielder::default();
        assert!(yielder.over(0..ROWS).eq(0..ROWS));
        assert!(yielder.spent.get() > Duration::ZERO, "it yielded");
        yielder.spent.set(YIELD_MAX);
        assert!(yielder.over(0..ROWS).eq(0..ROWS));
        assert_eq!(yielder.spent.get(), YIELD_MAX);
    }
}
