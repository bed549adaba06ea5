//! Pending refusals: collects rows and counts outside the ledger's log and lock until the writer takes them with its next commit, at
//! the latest after a second. Bounded, and lost by `kill -9`, which is acceptable: no money is involved.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::id::KeyId;
use crate::domain::refusal::Refusal;

/// Pending rows; further refusals are only counted.
const ROWS_MAX: usize = 1_000;
/// Pending counts by key and minute; further refusals are in the metrics alone.
const COUNTS_MAX: usize = 10_000;
const LINGER: Duration = Duration::from_secs(1);
const MINUTE_MS: u64 = 60_000;

/// One key in one minute, as the key of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store) struct Minute {
    pub key: KeyId,
    pub start_ms: u64,
}

/// Refusals of one commit.
#[derive(Default)]
pub(in crate::store) struct RefusalBatch {
    pub rows: Vec<Refusal>,
    pub counts: HashMap<Minute, u64>,
    /// number of the last refusal in it
    upto: u64,
}

/// Refusals between gateway and writer.
pub struct Refusals {
    pending: Mutex<PendingRefusals>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct PendingRefusals {
    batch: RefusalBatch,
    /// instant at which they are written even if no record is posted
    due: Option<Instant>,
    /// refusals that no report counts, because the books could not be written for long
    uncounted: u64,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals {
            pending: Mutex::default(),
            written: watch::channel(0).0,
        }
    }
}

impl Refusals {
    /// Counts a refusal, and adds its row if `as_row`.
    pub fn add(&self, refusal: Refusal, as_row: bool) {
        let mut pending = self.lock();
        pending.due.get_or_insert_with(|| Instant::now() + LINGER);
        let PendingRefusals {
            batch, uncounted, ..
        } = &mut *pending;
        batch.upto += 1;
        let minute = Minute {
            key: refusal.key,
            start_ms: refusal.at_ms - refusal.at_ms % MINUTE_MS,
        };
        let full = batch.counts.len() >= COUNTS_MAX;
        match batch.counts.get_mut(&minute) {
            Some(count) => *count += 1,
            None if full => *uncounted += 1,
            None => drop(batch.counts.insert(minute, 1)),
        }
        if as_row && batch.rows.len() < ROWS_MAX {
            batch.rows.push(refusal);
        }
    }

    /// Number of refusals that no report counts.
    pub fn uncounted(&self) -> u64 {
        self.lock().uncounted
    }

    /// Returns once every refusal added by now is written.
    pub(in crate::store) async fn wait_written(&self) {
        let added = self.lock().batch.upto;
        // `self` owns the sender, so the channel cannot close
        let _ = self
            .written
            .subscribe()
            .wait_for(|written| *written >= added)
            .await;
    }

    /// Makes those pending due now; `false` if there are none.
    pub(in crate::store) fn request_writing(&self) -> bool {
        let mut pending = self.lock();
        let is_pending = pending.due.is_some();
        pending.due = is_pending.then(Instant::now);
        is_pending
    }

    pub(in crate::store) fn has_pending(&self) -> bool {
        self.lock().due.is_some()
    }

    /// Instant at which pending refusals are written even if no record is posted.
    pub(in crate::store) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// Takes everything pending.
    pub(in crate::store) fn take(&self) -> RefusalBatch {
        let mut pending = self.lock();
        pending.due = None;
        let upto = pending.batch.upto;
        let empty = RefusalBatch {
            upto,
            ..RefusalBatch::default()
        };
        std::mem::replace(&mut pending.batch, empty)
    }

    pub(in crate::store) fn mark_written(&self, batch: &RefusalBatch) {
        self.written.send_replace(batch.upto);
    }

    /// Returns a batch that could not be written; older rows take precedence over newer ones.
    pub(in crate::store) fn put_back(&self, failed: RefusalBatch) {
        let mut pending = self.lock();
        if failed.is_empty() {
            return;
        }
        pending.due.get_or_insert_with(|| Instant::now() + LINGER);
        let newer = std::mem::replace(&mut pending.batch, failed);
        let batch = &mut pending.batch;
        batch.upto = newer.upto;
        let free = ROWS_MAX.saturating_sub(batch.rows.len());
        batch.rows.extend(newer.rows.into_iter().take(free));
        for (minute, count) in newer.counts {
            *batch.counts.entry(minute).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingRefusals> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefusalBatch {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_error::ErrorCode;
    use crate::domain::attribution::Attribution;
    use crate::domain::id::{OrganizationId, RequestId, TeamId};

    fn refusal(key: u64, at_ms: u64) -> Refusal {
        Refusal {
            request: RequestId::new(at_ms, 1),
            at_ms,
            organization: OrganizationId(1),
            team: TeamId(2),
            key: KeyId(key),
            model_asked: "m".into(),
            attribution: Attribution::default(),
            dialect: "chat".into(),
            code: ErrorCode::BudgetExceeded,
        }
    }

    #[test]
    fn refusals_flood_stays_within_row_and_count_limits() {
        let refusals = Refusals::default();
        for number in 0..20_000 {
            refusals.add(refusal(3, 60_000 + number), true);
        }
        for key in 0..20_000 {
            refusals.add(refusal(key, 0), false);
        }
        let batch = refusals.take();
        assert_eq!(
            (batch.rows.len(), batch.counts.len()),
            (ROWS_MAX, COUNTS_MAX)
        );
        assert_eq!(
            batch.counts[&Minute {
                key: KeyId(3),
                start_ms: 60_000
            }],
            20_000
        );
        assert_eq!(refusals.uncounted(), 10_001);
    }

    #[test]
    fn refusals_failed_batch_is_merged_with_newer_refusals() {
        let refusals = Refusals::default();
        refusals.add(refusal(3, 0), true);
        let first = refusals.take();
        refusals.add(refusal(3, 1), true);
        refusals.put_back(first);
        let both = refusals.take();
        assert_eq!((both.rows.len(), both.rows[0].at_ms, both.upto), (2, 0, 2));
        assert_eq!(both.counts.values().sum::<u64>(), 2);
        assert!(!refusals.has_pending());
    }
}
