//! The newest rows of the request log in the order in which they were booked, for whoever follows it: a request is told when
//! it has ended, however early it began. In memory and bounded; the request log itself knows them all, by their beginning.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::event::HoldId;

/// 2 MB, some seconds of the fastest instance.
const KEPT: usize = 65_536;

/// A place between two bookings of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// no number of another process means anything
    life: u64,
    number: u64,
}

impl FeedCursor {
    /// The form that `Display` gives.
    pub fn parse(text: &str) -> Option<FeedCursor> {
        let (life, number) = text.strip_prefix("at_")?.split_once('.')?;
        let life = Some(life).filter(|life| life.len() == 16)?;
        Some(FeedCursor {
            life: u64::from_str_radix(life, 16).ok()?,
            number: number.parse().ok()?,
        })
    }

    /// The place behind so many more rows.
    pub(crate) fn behind(self, rows: usize) -> FeedCursor {
        FeedCursor {
            number: self.number + rows as u64,
            ..self
        }
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at_{:016x}.{}", self.life, self.number)
    }
}

pub(crate) struct Feed {
    life: u64,
    kept: Mutex<FeedRing>,
}

#[derive(Default)]
struct FeedRing {
    /// rows since the start
    booked: u64,
    ids: VecDeque<HoldId>,
}

impl Default for Feed {
    fn default() -> Feed {
        // a hasher begins with what no other process has
        Feed {
            life: RandomState::new().build_hasher().finish(),
            kept: Mutex::default(),
        }
    }
}

impl Feed {
    /// Rows were booked; they can be read.
    pub(crate) fn note(&self, ids: impl Iterator<Item = HoldId>) {
        let mut kept = self.lock();
        for id in ids {
            kept.booked += 1;
            kept.ids.push_back(id);
        }
        let over = kept.ids.len().saturating_sub(KEPT);
        kept.ids.drain(..over);
    }

    /// The place behind the last row.
    pub(crate) fn place(&self) -> FeedCursor {
        FeedCursor {
            life: self.life,
            number: self.lock().booked,
        }
    }

    /// The rows behind a place, oldest first. `None`: they are not known any more, or never were.
    pub(crate) fn since(&self, place: FeedCursor, rows_max: usize) -> Option<Vec<HoldId>> {
        let kept = self.lock();
        let behind = kept
            .booked
            .checked_sub(place.number)
            .filter(|_| place.life == self.life)?;
        let from = kept.ids.len().checked_sub(usize::try_from(behind).ok()?)?;
        Some(kept.ids.iter().skip(from).take(rows_max).copied().collect())
    }

    fn lock(&self) -> MutexGuard<'_, FeedRing> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn what_follows_a_place_is_told_once_in_order() {
        let newest = Feed::default();
        newest.note(ids(0..3));
        let place = newest.place();
        assert_eq!(newest.since(place, 10), Some(Vec::new()));
        newest.note(ids(3..8));
        assert_eq!(newest.since(place, 2), Some(ids(3..5).collect()));
        assert_eq!(newest.since(place.behind(2), 10), Some(ids(5..8).collect()));
        assert_eq!(
            newest.since(place.behind(6), 10),
            None,
            "it was never reached"
        );
    }

    #[test]
    fn what_is_too_long_ago_or_of_another_life_is_not_known() {
        let newest = Feed::default();
        let first = newest.place();
        newest.note(ids(0..1));
        newest.note(ids(0..KEPT as u128));
        assert_eq!(newest.since(first, 1), None);
        assert_eq!(newest.since(first.behind(1), 1), Some(ids(0..1).collect()));
        assert_eq!(Feed::default().since(newest.place(), 1), None);
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = Feed::default().place().behind(12);
        assert_eq!(FeedCursor::parse(&place.to_string()), Some(place));
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
