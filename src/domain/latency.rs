//! Latencies as histograms of fixed buckets, so that sums of hours and days have quantiles.

/// Upper bounds of the buckets in milliseconds, inclusive; the last bucket has none. Stored rows count by position: bounds never change.
pub const BOUNDS_MS: [u64; BUCKETS - 1] = [
    25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 7_500,
    10_000, 15_000, 20_000, 30_000, 60_000, 120_000,
];

pub const BUCKETS: usize = 24;

/// Number of latencies in each bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram([u64; BUCKETS]);

/// Time until an answer was complete, and until its first content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    pub duration: Histogram,
    pub first_content: Histogram,
}

impl Histogram {
    /// Histogram of one latency.
    pub fn of(ms: u64) -> Histogram {
        let mut buckets = [0; BUCKETS];
        buckets[BOUNDS_MS.partition_point(|bound| *bound < ms)] = 1;
        Histogram(buckets)
    }

    pub fn buckets(&self) -> &[u64; BUCKETS] {
        &self.0
    }

    /// Buckets that are not empty, with their positions.
    pub fn filled(&self) -> impl Iterator<Item = (u8, u64)> {
        let numbered = self.0.iter().enumerate();
        numbered
            .filter(|(_, count)| **count > 0)
            .map(|(position, count)| (position as u8, *count))
    }

    /// `None` for a position without a bucket.
    pub fn of_filled(filled: impl IntoIterator<Item = (u8, u64)>) -> Option<Histogram> {
        let mut buckets = [0; BUCKETS];
        for (position, count) in filled {
            *buckets.get_mut(usize::from(position))? = count;
        }
        Some(Histogram(buckets))
    }

    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub fn combine(&mut self, other: &Histogram, combined: fn(u64, u64) -> u64) {
        for (count, of_other) in self.0.iter_mut().zip(other.0) {
            *count = combined(*count, of_other);
        }
    }

    /// Latency that this percentage of the latencies does not exceed, interpolated within its bucket; `None` without latencies. In the last
    /// bucket it is the lower bound.
    pub fn quantile_ms(&self, percent: u64) -> Option<u64> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(percent))
            .div_ceil(100)
            .max(1) as u64;
        let mut below = 0u64;
        for (position, in_bucket) in self.0.iter().enumerate() {
            if below.saturating_add(*in_bucket) < rank || *in_bucket == 0 {
                below = below.saturating_add(*in_bucket);
                continue;
            }
            let from_ms = match position {
                0 => 0,
                _ => BOUNDS_MS[position - 1],
            };
            let width_ms = BOUNDS_MS.get(position).map_or(0, |to_ms| to_ms - from_ms);
            let part = u128::from(rank - below) * u128::from(width_ms);
            return Some(from_ms + (part / u128::from(*in_bucket)) as u64);
        }
        None
    }
}

impl Latencies {
    pub fn combine(&mut self, other: &Latencies, combined: fn(u64, u64) -> u64) {
        self.duration.combine(&other.duration, combined);
        self.first_content.combine(&other.first_content, combined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_counted_in_the_bucket_that_its_bound_closes() {
        for (ms, position) in [
            (0, 0),
            (25, 0),
            (26, 1),
            (1_000, 10),
            (120_000, 22),
            (120_001, 23),
        ] {
            let filled: Vec<(u8, u64)> = Histogram::of(ms).filled().collect();
            assert_eq!(filled, [(position, 1)], "{ms}");
        }
        assert!(Histogram::of_filled([(24, 1)]).is_none());
    }

    #[test]
    fn quantile_is_interpolated_within_its_bucket() {
        let mut sum = Histogram::default();
        assert_eq!(sum.quantile_ms(50), None);
        for ms in 1..=1_000 {
            sum.combine(&Histogram::of(ms), u64::saturating_add);
        }
        assert_eq!(sum.count(), 1_000);
        for (percent, expected) in [(50, 500), (95, 950), (99, 990), (100, 1_000)] {
            assert_eq!(sum.quantile_ms(percent), Some(expected));
        }
        assert_eq!(Histogram::of(900_000).quantile_ms(95), Some(120_000));
        let mut less = sum;
        less.combine(&Histogram::of(700), u64::saturating_sub);
        assert_eq!(less.count(), 999);
    }
}
