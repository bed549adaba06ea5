//! When the log is to be synced. A sync costs the same whatever it covers, so what is written waits a little for company, and no
//! longer than who waits for it can bear. Takes counts and instants, says what is due; touches no file and no clock.

use std::time::{Duration, Instant};

/// Where nobody waits for the disk, a sync waits for so many records, and for so long; and a commit of the books after it.
pub(crate) const BATCH: usize = 4096;
pub(crate) const LINGER: Duration = Duration::from_millis(20);

/// With fewer than so many records in its last group, the next sync that clients wait for rests a while: a small part of what an
/// upstream takes.
const GROUP: usize = 16;
const REST: Duration = Duration::from_micros(500);

/// What is written and not synced, as far as time goes.
#[derive(Default)]
pub(crate) struct SyncPolicy {
    /// clients wait for the disk
    awaited: bool,
    oldest: Option<Instant>,
    /// no sync before, but for a whole group
    rests_until: Option<Instant>,
    /// somebody asked for all that is written
    wanted: bool,
}

/// What who syncs is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextSync {
    Now,
    /// look again then, or when called
    At(Instant),
    /// nothing, until called
    Nothing,
}

impl SyncPolicy {
    pub(crate) fn new(awaited: bool, oldest: Option<Instant>) -> SyncPolicy {
        SyncPolicy {
            awaited,
            oldest,
            ..SyncPolicy::default()
        }
    }

    /// One more record was written, `unsynced` in all: whether who syncs must be called. It looks for more before it rests, so not for
    /// every record.
    pub(crate) fn record_written(&mut self, now: Instant, unsynced: usize) -> bool {
        let first = self.oldest.is_none();
        self.oldest.get_or_insert(now);
        let enough = if self.awaited { GROUP } else { BATCH };
        (first && self.rests_until.is_none()) || unsynced == enough
    }

    /// Everything that is written by now is wanted on the disk.
    pub(crate) fn request_sync(&mut self) {
        self.wanted = true;
    }

    /// What is due with so many records unsynced; `hurried`: the store is closing.
    pub(crate) fn due(&mut self, now: Instant, unsynced: usize, hurried: bool) -> NextSync {
        self.rests_until = self.rests_until.filter(|until| now < *until);
        if unsynced == 0 {
            self.wanted = false;
            // a rest is over by the clock, also while nothing waits: nobody calls before
            return self
                .rests_until
                .filter(|_| !hurried)
                .map_or(NextSync::Nothing, NextSync::At);
        }
        let not_before = match self.awaited {
            true => self.rests_until.filter(|_| unsynced < GROUP),
            false => self
                .oldest
                .map(|since| since + LINGER)
                .filter(|_| unsynced < BATCH),
        };
        match not_before {
            Some(until) if now < until && !self.wanted && !hurried => NextSync::At(until),
            _ => {
                self.wanted = false;
                NextSync::Now
            }
        }
    }

    /// A sync that began then has covered so many records; `left`: more were written meanwhile.
    pub(crate) fn synced(&mut self, begun: Instant, now: Instant, covered: u64, left: bool) {
        self.rests_until = (self.awaited && covered < GROUP as u64).then(|| now + REST);
        self.oldest = left.then_some(begun);
    }

    /// How long the oldest of them has waited.
    pub(crate) fn waits(&self, now: Instant) -> Duration {
        self.oldest
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn nobody_waits_for_the_disk_so_a_sync_waits_for_a_batch_or_twenty_milliseconds() {
        let now = Instant::now();
        let mut company = SyncPolicy::new(false, None);
        assert_eq!(company.due(now, 0, false), NextSync::Nothing);
        assert!(company.record_written(now, 1), "the first calls");
        assert!(!company.record_written(now + US, 2), "the second does not");
        assert_eq!(company.due(now + US, 2, false), NextSync::At(now + LINGER));
        assert!(company.record_written(now + US, BATCH), "a batch calls");
        assert_eq!(company.due(now + US, BATCH, false), NextSync::Now);
        assert_eq!(company.due(now + LINGER, 2, false), NextSync::Now);
        company.synced(now + LINGER, now + LINGER * 2, 2, true);
        assert_eq!(
            company.due(now + LINGER * 2, 1, false),
            NextSync::Now,
            "what came during a sync waits from its begin on"
        );
        company.synced(now + LINGER * 2, now + LINGER * 2, 1, false);
        assert_eq!(company.waits(now + LINGER * 3), Duration::ZERO);
    }

    #[test]
    fn clients_wait_for_the_disk_so_only_a_small_group_makes_the_next_one_rest() {
        let now = Instant::now();
        let mut company = SyncPolicy::new(true, None);
        assert!(company.record_written(now, 1));
        assert_eq!(company.due(now, 1, false), NextSync::Now);
        company.synced(now, now, 1, false);
        assert_eq!(
            company.due(now, 0, false),
            NextSync::At(now + REST),
            "the clock ends a rest, nobody calls"
        );
        assert!(!company.record_written(now + US, 1));
        assert_eq!(company.due(now + US, 1, false), NextSync::At(now + REST));
        assert!(company.record_written(now + US, GROUP), "a group calls");
        assert_eq!(company.due(now + US, GROUP, false), NextSync::Now);
        assert_eq!(company.due(now + REST, 1, false), NextSync::Now);
        company.synced(now, now, GROUP as u64, false);
        assert!(company.record_written(now + US, 1));
        assert_eq!(
            company.due(now + US, 1, false),
            NextSync::Now,
            "after a whole group none rests"
        );
    }

    #[test]
    fn who_wants_all_on_disk_and_a_closing_store_wait_for_no_company() {
        let now = Instant::now();
        for awaited in [false, true] {
            let mut company = SyncPolicy::new(awaited, None);
            company.synced(now, now, 1, true);
            assert_eq!(company.due(now, 1, true), NextSync::Now, "closing");
            assert_eq!(
                company.due(now, 0, true),
                NextSync::Nothing,
                "closing, and all is synced"
            );
            assert_ne!(company.due(now, 1, false), NextSync::Now);
            company.request_sync();
            assert_eq!(company.due(now, 1, false), NextSync::Now);
            assert_ne!(company.due(now, 1, false), NextSync::Now, "once");
        }
    }
}
