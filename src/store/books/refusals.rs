//! What was refused, on its way to the books: takes rows and counts beside the ledger's log and lock, hands them to the
//! writer, who writes them with what it books anyway, at the latest after a second. Bounded; what is kept here is lost by
//! `kill -9`, which may be: there is no money in it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::id::KeyId;
use crate::domain::refusal::Refusal;

/// Rows that wait to be written; what comes beyond them is only counted.
const ROWS_MAX: usize = 1_000;
/// Keys and minutes whose counts wait to be written; what comes beyond them is in the metrics alone.
const COUNTS_MAX: usize = 10_000;
const LINGER: Duration = Duration::from_secs(1);
const MINUTE_MS: u64 = 60_000;

/// Refusals of one key in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Minute {
    pub key: KeyId,
    pub start_ms: u64,
}

/// What the writer writes at once.
#[derive(Default)]
pub(crate) struct RefusalBatch {
    pub rows: Vec<Refusal>,
    pub counts: HashMap<Minute, u64>,
    /// everything up to this number is in it
    upto: u64,
}

pub struct Refusals {
    kept: Mutex<PendingRefusals>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct PendingRefusals {
    refused: RefusalBatch,
    since: Option<Instant>,
    /// refusals that are in no report, because the books could not be written for long
    uncounted: u64,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals {
            kept: Mutex::default(),
            written: watch::channel(0).0,
        }
    }
}

impl Refusals {
    /// Counts a refusal, and keeps it as a row if it is to be one.
    pub fn note(&self, refusal: Refusal, as_row: bool) {
        let mut kept = self.lock();
        kept.since.get_or_insert_with(Instant::now);
        let PendingRefusals {
            refused, uncounted, ..
        } = &mut *kept;
        refused.upto += 1;
        let minute = Minute {
            key: refusal.key,
            start_ms: refusal.at_ms - refusal.at_ms % MINUTE_MS,
        };
        let full = refused.counts.len() >= COUNTS_MAX;
        match refused.counts.get_mut(&minute) {
            Some(count) => *count += 1,
            None if full => *uncounted += 1,
            None => drop(refused.counts.insert(minute, 1)),
        }
        if as_row && refused.rows.len() < ROWS_MAX {
            refused.rows.push(refusal);
        }
    }

    /// Refusals that no report counts.
    pub fn uncounted(&self) -> u64 {
        self.lock().uncounted
    }

    /// Returns once everything noted by now is written.
    pub(crate) async fn written(&self) {
        let noted = self.lock().refused.upto;
        // the sender lives as long as this, so an error cannot come
        let _ = self
            .written
            .subscribe()
            .wait_for(|written| *written >= noted)
            .await;
    }

    pub(crate) fn waiting(&self) -> bool {
        self.lock().since.is_some()
    }

    /// When what waits is to be written even if nothing is booked.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lock().since.map(|since| since + LINGER)
    }

    pub(crate) fn take(&self) -> RefusalBatch {
        let mut kept = self.lock();
        kept.since = None;
        let upto = kept.refused.upto;
        std::mem::replace(
            &mut kept.refused,
            RefusalBatch {
                upto,
                ..RefusalBatch::default()
            },
        )
    }

    pub(crate) fn mark_written(&self, refused: &RefusalBatch) {
        self.written.send_replace(refused.upto);
    }

    /// Puts back what could not be written; newer rows give way to older ones.
    pub(crate) fn put_back(&self, refused: RefusalBatch) {
        let mut kept = self.lock();
        if refused.is_empty() {
            return;
        }
        kept.since.get_or_insert_with(Instant::now);
        let newer = std::mem::replace(&mut kept.refused, refused);
        kept.refused.upto = newer.upto;
        let room = ROWS_MAX.saturating_sub(kept.refused.rows.len());
        kept.refused.rows.extend(newer.rows.into_iter().take(room));
        for (minute, count) in newer.counts {
            *kept.refused.counts.entry(minute).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingRefusals> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_flood_takes_no_more_than_its_bounds() {
        let refusals = Refusals::default();
        for number in 0..20_000 {
            refusals.note(refusal(3, 60_000 + number), true);
        }
        for key in 0..20_000 {
            refusals.note(refusal(key, 0), false);
        }
        let refused = refusals.take();
        assert_eq!(
            (refused.rows.len(), refused.counts.len()),
            (ROWS_MAX, COUNTS_MAX)
        );
        assert_eq!(
            refused.counts[&Minute {
                key: KeyId(3),
                start_ms: 60_000
            }],
            20_000
        );
        assert_eq!(refusals.uncounted(), 10_001);
    }

    #[test]
    fn what_could_not_be_written_waits_with_what_came_since() {
        let refusals = Refusals::default();
        refusals.note(refusal(3, 0), true);
        let first = refusals.take();
        refusals.note(refusal(3, 1), true);
        refusals.put_back(first);
        let both = refusals.take();
        assert_eq!((both.rows.len(), both.rows[0].at_ms, both.upto), (2, 0, 2));
        assert_eq!(both.counts.values().sum::<u64>(), 2);
        assert!(!refusals.waiting());
    }
}
