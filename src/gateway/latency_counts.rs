//! Latencies as a histogram of Prometheus: counts per bucket without a lock, since the start of the process.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::latency::{BOUNDS_MS, BUCKETS};

/// Buckets are those of reports.
#[derive(Default)]
pub(super) struct LatencyCounts {
    buckets: [AtomicU64; BUCKETS],
    sum_ms: AtomicU64,
}

impl LatencyCounts {
    pub fn record(&self, ms: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Cumulative buckets with their bounds in seconds; writing to a String cannot fail.
    pub fn write(&self, into: &mut String, name: &str) {
        let _ = writeln!(into, "# TYPE {name} histogram");
        let mut count = 0;
        for (position, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS_MS.get(position).map(|ms| *ms as f64 / 1_000.0);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            let _ = writeln!(into, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let sum = self.sum_ms.load(Ordering::Relaxed) as f64 / 1_000.0;
        let _ = writeln!(into, "{name}_sum {sum}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let counts = LatencyCounts::default();
        for ms in [0, 25, 26, 400, 3_600_000] {
            counts.record(ms);
        }
        let mut text = String::new();
        counts.write(&mut text, "x_seconds");
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.025\"} 2",
            "x_seconds_bucket{le=\"0.05\"} 3",
            "x_seconds_bucket{le=\"0.4\"} 4",
            "x_seconds_bucket{le=\"120\"} 4",
            "x_seconds_bucket{le=\"+Inf\"} 5",
            "x_seconds_sum 3600.451",
            "x_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
