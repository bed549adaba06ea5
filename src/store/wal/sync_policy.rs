//! Group commit: delays fsync briefly so that one covers several records, bounded by the latency that clients accept. Takes counts and
//! instants, returns the next action of the sync thread; reads no clock and touches no file.

use std::time::{Duration, Instant};

/// Size limit of a sync cycle when no client waits for the disk, and of a commit of the books.
pub(in crate::store) const BATCH: usize = 4096;
/// Age limit of a sync cycle when no client waits for the disk.
const LINGER: Duration = Duration::from_millis(20);

/// When clients wait for the disk: after a group smaller than this the next fsync is delayed, by a small part of an upstream's latency.
const GROUP_MIN: usize = 16;
const GROUP_DELAY: Duration = Duration::from_micros(500);

/// Timing state of the unsynced records.
#[derive(Default)]
pub(in crate::store) struct SyncPolicy {
    clients_wait: bool,
    oldest: Option<Instant>,
    /// end of the rest after an fsync, at which the thread wakes by itself: a record of the meantime needs no wake-up, whose system call
    /// a request would pay. When clients wait, the earliest next fsync of a group smaller than `GROUP_MIN`, else the next fsync.
    rest_until: Option<Instant>,
    /// a caller waits until everything written is synced
    requested: bool,
}

/// Next action of the sync thread.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum NextSync {
    Now,
    /// ask again at this instant, or when woken
    At(Instant),
    /// sleep until woken
    Idle,
}

impl SyncPolicy {
    pub(in crate::store) fn new(clients_wait: bool, oldest: Option<Instant>) -> SyncPolicy {
        SyncPolicy {
            clients_wait,
            oldest,
            ..SyncPolicy::default()
        }
    }

    /// Counts a written record, `unsynced` in all; `true` if the sync thread must be woken. It rechecks before it sleeps, so not every
    /// record wakes it.
    pub(in crate::store) fn record_written(&mut self, now: Instant, unsynced: usize) -> bool {
        let first = self.oldest.is_none();
        self.oldest.get_or_insert(now);
        let enough = if self.clients_wait { GROUP_MIN } else { BATCH };
        (first && self.rest_until.is_none()) || unsynced == enough
    }

    /// Requests an fsync of everything written by now, without delay.
    pub(in crate::store) fn request_sync(&mut self) {
        self.requested = true;
    }

    /// Next action with this many unsynced records; a closing store is not delayed.
    pub(in crate::store) fn next(
        &mut self,
        now: Instant,
        unsynced: usize,
        closing: bool,
    ) -> NextSync {
        if unsynced == 0 {
            self.requested = false;
            self.rest_until = self.rest_until.filter(|until| now < *until);
            let rest = self.rest_until.filter(|_| !closing);
            return rest.map_or(NextSync::Idle, NextSync::At);
        }
        let due = match self.clients_wait {
            true => self.rest_until.filter(|_| unsynced < GROUP_MIN),
            false => {
                let by_age = self.oldest.map(|since| since + LINGER);
                let dues = by_age.into_iter().chain(self.rest_until);
                dues.min().filter(|_| unsynced < BATCH)
            }
        };
        match due {
            Some(until) if now < until && !self.requested && !closing => NextSync::At(until),
            _ => {
                self.requested = false;
                NextSync::Now
            }
        }
    }

    /// Notes an fsync that covered this many records; `more`: further ones were written since it started.
    pub(in crate::store) fn sync_completed(
        &mut self,
        started: Instant,
        now: Instant,
        covered: u64,
        more: bool,
    ) {
        self.rest_until = match self.clients_wait {
            true => (covered < GROUP_MIN as u64).then(|| now + GROUP_DELAY),
            false => Some(started + LINGER),
        };
        self.oldest = more.then_some(started);
    }

    /// Age of the oldest unsynced record.
    pub(in crate::store) fn oldest_age(&self, now: Instant) -> Duration {
        self.oldest
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn sync_policy_without_waiting_clients_syncs_per_batch_or_20_ms() {
        let now = Instant::now();
        let mut policy = SyncPolicy::new(false, None);
        assert_eq!(policy.next(now, 0, false), NextSync::Idle);
        assert!(
            policy.record_written(now, 1),
            "the first record wakes the thread"
        );
        assert!(
            !policy.record_written(now + US, 2),
            "the second record does not"
        );
        assert_eq!(policy.next(now + US, 2, false), NextSync::At(now + LINGER));
        assert!(policy.record_written(now + US, BATCH), "a full batch does");
        assert_eq!(policy.next(now + US, BATCH, false), NextSync::Now);
        assert_eq!(policy.next(now + LINGER, 2, false), NextSync::Now);
        policy.sync_completed(now + LINGER, now + LINGER * 2, 2, true);
        assert_eq!(
            policy.next(now + LINGER * 2, 1, false),
            NextSync::Now,
            "records written during an fsync age from its start"
        );
        policy.sync_completed(now + LINGER * 2, now + LINGER * 2, 1, false);
        assert_eq!(policy.oldest_age(now + LINGER * 3), Duration::ZERO);
    }

    #[test]
    fn sync_policy_after_an_fsync_wakes_by_itself_and_needs_no_record_to_wake_it() {
        let now = Instant::now();
        let mut policy = SyncPolicy::new(false, None);
        assert!(policy.record_written(now, 1));
        policy.sync_completed(now + LINGER, now + LINGER + US, 1, false);
        let end = now + LINGER * 2;
        assert_eq!(policy.next(now + LINGER + US, 0, false), NextSync::At(end));
        assert!(!policy.record_written(end - US, 1), "no wake-up");
        assert_eq!(policy.next(end - US, 1, false), NextSync::At(end));
        assert_eq!(policy.next(end, 1, false), NextSync::Now);
        policy.sync_completed(end, end + US, 1, false);
        let end = end + LINGER;
        assert_eq!(policy.next(end, 0, false), NextSync::Idle);
        assert!(policy.record_written(end + US, 1), "the thread is idle");
        let due = NextSync::At(end + US + LINGER);
        assert_eq!(policy.next(end + US, 1, false), due);
    }

    #[test]
    fn sync_policy_with_waiting_clients_delays_only_after_a_small_group() {
        let now = Instant::now();
        let mut policy = SyncPolicy::new(true, None);
        assert!(policy.record_written(now, 1));
        assert_eq!(policy.next(now, 1, false), NextSync::Now);
        policy.sync_completed(now, now, 1, false);
        assert_eq!(
            policy.next(now, 0, false),
            NextSync::At(now + GROUP_DELAY),
            "the delay ends by the clock, without a wake-up"
        );
        assert!(!policy.record_written(now + US, 1));
        assert_eq!(
            policy.next(now + US, 1, false),
            NextSync::At(now + GROUP_DELAY)
        );
        assert!(
            policy.record_written(now + US, GROUP_MIN),
            "a full group wakes the thread"
        );
        assert_eq!(policy.next(now + US, GROUP_MIN, false), NextSync::Now);
        assert_eq!(policy.next(now + GROUP_DELAY, 1, false), NextSync::Now);
        policy.sync_completed(now, now, GROUP_MIN as u64, false);
        assert!(policy.record_written(now + US, 1));
        assert_eq!(
            policy.next(now + US, 1, false),
            NextSync::Now,
            "no delay after a full group"
        );
    }

    #[test]
    fn sync_policy_requested_or_closing_syncs_without_delay() {
        let now = Instant::now();
        for clients_wait in [false, true] {
            let mut policy = SyncPolicy::new(clients_wait, None);
            policy.sync_completed(now, now, 1, true);
            assert_eq!(policy.next(now, 1, true), NextSync::Now, "closing");
            assert_eq!(
                policy.next(now, 0, true),
                NextSync::Idle,
                "closing with everything synced"
            );
            assert_ne!(policy.next(now, 1, false), NextSync::Now);
            policy.request_sync();
            assert_eq!(policy.next(now, 1, false), NextSync::Now);
            assert_ne!(
                policy.next(now, 1, false),
                NextSync::Now,
                "a request holds for one fsync"
            );
        }
    }
}
