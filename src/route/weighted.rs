//! Smooth weighted round robin: in every run of calls each target gets its share, to within one call. Holds one number per target.

use std::sync::{Mutex, PoisonError};

/// Credits of the targets of one route.
#[derive(Debug)]
pub(super) struct WeightedTurn(Mutex<Vec<i64>>);

impl WeightedTurn {
    pub fn new(targets: usize) -> WeightedTurn {
        WeightedTurn(Mutex::new(vec![0; targets]))
    }

    /// Chooses among these places with their weights; `None` if there are none.
    pub fn choose(&self, eligible: impl Iterator<Item = (usize, u64)>) -> Option<usize> {
        let mut credits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut total, mut best) = (0, None::<(usize, i64)>);
        for (place, weight) in eligible {
            let Some(credit) = credits.get_mut(place) else {
                continue;
            };
            let weight = i64::try_from(weight).unwrap_or(i64::MAX >> 16);
            *credit += weight;
            total += weight;
            if best.is_none_or(|(_, highest)| *credit > highest) {
                best = Some((place, *credit));
            }
        }
        let (place, _) = best?;
        credits[place] -= total;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_turn_is_exact_over_any_thousand_calls() {
        let turn = WeightedTurn::new(3);
        let weights = [(0, 1), (1, 3), (2, 6)];
        let calls: Vec<usize> = (0..3_000)
            .filter_map(|_| turn.choose(weights.into_iter()))
            .collect();
        for run in calls.windows(1_000).step_by(97) {
            for (place, weight) in weights {
                let count = run.iter().filter(|chosen| **chosen == place).count() as i64;
                let expected = weight as i64 * 100;
                assert!((count - expected).abs() <= 2, "{place}: {count}");
            }
        }
        assert_eq!(turn.choose(std::iter::empty()), None);
    }
}
