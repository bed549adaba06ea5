//! Counters of the data plane for `/metrics`: calls by status, refusals by error code, latency of reply heads.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::api_error::ErrorCode;
use crate::domain::cache::{CacheNote, CacheOutcome};
use crate::domain::event::Status;
use crate::domain::money::Money;

/// Slowest latency that is told apart, in ms.
const LATENCY_MAX_MS: u64 = 3_600_000;
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 1.0];

#[derive(Default)]
pub struct Metrics {
    ended: [AtomicU64; Status::ALL.len()],
    refused: Mutex<BTreeMap<&'static str, u64>>,
    latency: Mutex<Option<Histogram<u64>>>,
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
        let took_ms = (took.as_millis() as u64).clamp(1, LATENCY_MAX_MS);
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.is_none() {
            *latency = Histogram::new_with_bounds(1, LATENCY_MAX_MS, 2).ok();
        }
        if let Some(histogram) = latency.as_mut() {
            histogram.saturating_record(took_ms);
        }
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
        if let Some(histogram) = self
            .latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            let _ = writeln!(into, "# TYPE gatekeeper_answer_ms summary");
            for quantile in QUANTILES {
                let value = histogram.value_at_quantile(quantile);
                let _ = writeln!(
                    into,
                    "gatekeeper_answer_ms{{quantile=\"{quantile}\"}} {value}"
                );
            }
            let _ = writeln!(into, "gatekeeper_answer_ms_count {}", histogram.len());
        }
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
