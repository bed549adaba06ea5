//! The writer's manners. A thread that has just been woken, by the disk or by a client, may be queued behind the writer for its
//! whole slice of some milliseconds, even beside an idle processor. So it gives way between a few rows; but only for so long,
//! because on a busy machine who gives way waits for everybody else, and the books must keep up.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Rows from one giving way to the next: some 20 to 50 µs of work.
const ROWS: usize = 16;
/// What is given away in one commit at the most.
const GIVEN_MAX: Duration = Duration::from_millis(10);

/// How one commit shares the processor.
#[derive(Default)]
pub(crate) struct Yielder {
    given: Cell<Duration>,
}

impl Yielder {
    /// The same items, with a pause between a few of them for who else wants to run.
    pub(crate) fn over<I: IntoIterator>(&self, items: I) -> impl Iterator<Item = I::Item> {
        items.into_iter().enumerate().map(|(at, item)| {
            if at % ROWS == ROWS - 1 {
                self.yield_now();
            }
            item
        })
    }

    fn yield_now(&self) {
        let given = self.given.get();
        if given < GIVEN_MAX {
            let begun = Instant::now();
            std::thread::yield_now();
            self.given.set(given + begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out_and_what_is_given_away_has_an_end() {
        let pace = Yielder::default();
        assert!(pace.over(0..100).eq(0..100));
        let given = pace.given.get();
        assert!(given > Duration::ZERO, "it gave way");
        pace.given.set(GIVEN_MAX);
        assert!(pace.over(0..100).eq(0..100));
        assert_eq!(pace.given.get(), GIVEN_MAX);
    }
}
