//! Counters of the data plane for `/metrics`: calls by status, refusals by error code, latencies of reply heads and first contents.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::api_error::ErrorCode;
use crate::domain::cache::{CacheNote, CacheOutcome};
use crate::domain::event::Status;
use crate::domain::money::Money;
use crate::gateway::latency_counts::LatencyCounts;

#[derive(Default)]
pub struct Metrics {
    ended: [AtomicU64; Status::ALL.len()],
    refused: Mutex<BTreeMap<&'static str, u64>>,
    heads: LatencyCounts,
    first_contents: LatencyCounts,
    lookups: [AtomicU64; CacheOutcome::ALL.len()],
    saved: Mutex<Money>,
}

impl Metrics {
    pub(super) fn ended(&self, status: Status) {
        if let Some(place) = Status::ALL.iter().position(|known| *known == status) {
            self.ended[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a lookup in the cache.
    pub(super) fn looked_up(&self, note: &CacheNote) {
        self.lookups[note.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if note.outcome.is_hit() {
            let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
            *saved = saved.plus(note.saved);
        }
    }

    pub(super) fn refused(&self, code: ErrorCode) {
        *self
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(code.as_str())
            .or_default() += 1;
    }

    /// Records the latency of a reply head, upstream time included.
    pub(super) fn answered(&self, took: Duration) {
        self.heads.record(took.as_millis() as u64);
    }

    /// Records the time from admission to the first content.
    pub(super) fn began_content(&self, ms: u64) {
        self.first_contents.record(ms);
    }

    /// Writes the counters in the text format of Prometheus.
    pub fn write(&self, into: &mut String) {
        let _ = writeln!(into, "# TYPE gatekeeper_requests_total counter");
        for (status, count) in Status::ALL.iter().zip(&self.ended) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(
                into,
                "gatekeeper_requests_total{{status=\"{}\"}} {count}",
                status.as_str()
            );
        }
        self.write_lookups(into);
        let _ = writeln!(into, "# TYPE gatekeeper_refused_total counter");
        for (code, count) in self
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let _ = writeln!(into, "gatekeeper_refused_total{{code=\"{code}\"}} {count}");
        }
        self.heads.write(into, "gatekeeper_answer_seconds");
        let contents = "gatekeeper_first_content_seconds";
        self.first_contents.write(into, contents);
    }

    fn write_lookups(&self, into: &mut String) {
        let _ = writeln!(into, "# TYPE gatekeeper_cache_lookups_total counter");
        for (outcome, count) in CacheOutcome::ALL.iter().zip(&self.lookups) {
            let (outcome, count) = (outcome.as_str(), count.load(Ordering::Relaxed));
            let _ = writeln!(
                into,
                "gatekeeper_cache_lookups_total{{outcome=\"{outcome}\"}} {count}"
            );
        }
        let saved = *self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(into, "# TYPE gatekeeper_cache_saved_usd_total counter");
        let _ = writeln!(into, "gatekeeper_cache_saved_usd_total {saved}");
    }
}
