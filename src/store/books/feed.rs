//! Feed of the request log: ids of the feed rows in order of posting, for followers that want each request when it ends, however
//! early it began. In memory and bounded; the request log itself has all rows, in order of their start.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::event::HoldId;

/// 2 MB, some seconds of the fastest instance.
const ROWS_MAX: usize = 65_536;

/// Position between two rows of the feed of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// random per process: cursors of another process are invalid
    process: u64,
    rows: u64,
}

impl FeedCursor {
    /// Parses the form that `Display` writes.
    pub fn parse(text: &str) -> Option<FeedCursor> {
        let (process, rows) = text.strip_prefix("at_")?.split_once('.')?;
        let process = Some(process).filter(|process| process.len() == 16)?;
        Some(FeedCursor {
            process: u64::from_str_radix(process, 16).ok()?,
            rows: rows.parse().ok()?,
        })
    }

    /// Cursor this many rows later.
    pub(in crate::store) fn plus(self, rows: usize) -> FeedCursor {
        FeedCursor {
            rows: self.rows + rows as u64,
            ..self
        }
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at_{:016x}.{}", self.process, self.rows)
    }
}

/// Bounded list of the feed rows.
pub(in crate::store) struct Feed {
    process: u64,
    ring: Mutex<FeedRing>,
}

#[derive(Default)]
struct FeedRing {
    /// rows posted since the start
    posted: u64,
    ids: VecDeque<HoldId>,
}

impl Default for Feed {
    fn default() -> Feed {
        // `RandomState` is seeded randomly per process
        Feed {
            process: RandomState::new().build_hasher().finish(),
            ring: Mutex::default(),
        }
    }
}

impl Feed {
    /// Appends rows that are committed.
    pub(in crate::store) fn append(&self, ids: impl Iterator<Item = HoldId>) {
        let mut ring = self.lock();
        for id in ids {
            ring.posted += 1;
            ring.ids.push_back(id);
        }
        let excess = ring.ids.len().saturating_sub(ROWS_MAX);
        ring.ids.drain(..excess);
    }

    /// Cursor after the last row.
    pub(in crate::store) fn end(&self) -> FeedCursor {
        FeedCursor {
            process: self.process,
            rows: self.lock().posted,
        }
    }

    /// Rows after a cursor, oldest first. `None`: they are no longer in the feed, or never were.
    pub(in crate::store) fn since(
        &self,
        cursor: FeedCursor,
        rows_max: usize,
    ) -> Option<Vec<HoldId>> {
        let ring = self.lock();
        let behind = ring
            .posted
            .checked_sub(cursor.rows)
            .filter(|_| cursor.process == self.process)?;
        let from = ring.ids.len().checked_sub(usize::try_from(behind).ok()?)?;
        Some(ring.ids.iter().skip(from).take(rows_max).copied().collect())
    }

    fn lock(&self) -> MutexGuard<'_, FeedRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::RequestId;

    fn ids(numbers: std::ops::Range<u128>) -> impl Iterator<Item = HoldId> {
        numbers.map(|number| HoldId {
            request: RequestId(number),
            attempt: 1,
        })
    }

    #[test]
    fn feed_returns_the_rows_after_a_cursor_once_in_order() {
        let feed = Feed::default();
        feed.append(ids(0..3));
        let cursor = feed.end();
        assert_eq!(feed.since(cursor, 10), Some(Vec::new()));
        feed.append(ids(3..8));
        assert_eq!(feed.since(cursor, 2), Some(ids(3..5).collect()));
        assert_eq!(feed.since(cursor.plus(2), 10), Some(ids(5..8).collect()));
        assert_eq!(
            feed.since(cursor.plus(6), 10),
            None,
            "a cursor beyond the end"
        );
    }

    #[test]
    fn feed_cursor_too_old_or_of_another_process_is_unknown() {
        let feed = Feed::default();
        let first = feed.end();
        feed.append(ids(0..1));
        feed.append(ids(0..ROWS_MAX as u128));
        assert_eq!(feed.since(first, 1), None);
        assert_eq!(feed.since(first.plus(1), 1), Some(ids(0..1).collect()));
        assert_eq!(Feed::default().since(feed.end(), 1), None);
    }

    #[test]
    fn feed_cursor_text_round_trips() {
        let cursor = Feed::default().end().plus(12);
        assert_eq!(FeedCursor::parse(&cursor.to_string()), Some(cursor));
        for text in [
            "",
            "at_",
            "at_1.2",
            "at_0000000000000001",
            "at_0000000000000001.x",
            "req_0000000000000001.1",
        ] {
            assert_eq!(FeedCursor::parse(text), None, "{text}");
        }
    }
}
