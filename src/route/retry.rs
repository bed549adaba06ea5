//! Bounds of repeated attempts: the retry budget of a route, which keeps retries from multiplying an outage, and the backoff between
//! attempts at the same target. Time is passed in.

use std::sync::{Mutex, PoisonError};

/// Share of the requests that may be repeated: one in ten.
const REQUESTS_PER_RETRY: u64 = 10;
/// Extra attempts per second that are allowed at any rate of requests.
const FLOOR_PER_S: u64 = 10;
/// Seconds of the floor that a quiet route saves up.
const FLOOR_SAVED_S: u64 = 2;
/// Extra attempts that a busy route saves up.
const SAVED_MAX: u64 = 100;
/// Parts of one attempt in the counters: a tenth per request, a hundredth per ms of the floor.
const PARTS: u64 = 1_000;

/// Longest `retry-after` that a request waits for; a longer one is left to the client.
pub(super) const RETRY_AFTER_MAX_MS: u64 = 10_000;
const BACKOFF_FIRST_MS: u64 = 250;
const BACKOFF_MAX_MS: u64 = 5_000;

/// Extra attempts that a route may still make.
#[derive(Debug, Default)]
pub(super) struct RetryBudget(Mutex<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    /// earned by requests
    earned: u64,
    /// earned by time
    floor: u64,
    floor_ms: u64,
}

impl Default for BudgetState {
    fn default() -> BudgetState {
        BudgetState {
            earned: 0,
            floor: FLOOR_PER_S * FLOOR_SAVED_S * PARTS,
            floor_ms: 0,
        }
    }
}

impl RetryBudget {
    /// Counts one request.
    pub fn deposit(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.earned = (state.earned + PARTS / REQUESTS_PER_RETRY).min(SAVED_MAX * PARTS);
    }

    /// Takes one extra attempt, if there is one left.
    pub fn withdraw(&self, boot_ms: u64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_ms = boot_ms
            .saturating_sub(state.floor_ms)
            .min(FLOOR_SAVED_S * 1_000);
        state.floor_ms = state.floor_ms.max(boot_ms);
        let most = FLOOR_PER_S * FLOOR_SAVED_S * PARTS;
        state.floor = (state.floor + elapsed_ms * FLOOR_PER_S).min(most);
        let state = &mut *state;
        for account in [&mut state.earned, &mut state.floor] {
            if *account >= PARTS {
                *account -= PARTS;
                return true;
            }
        }
        false
    }
}

/// Wait before the n-th repetition, from 1: full jitter over a bound that doubles. `random` is any number.
pub(super) fn backoff_ms(repetition: u8, random: u64) -> u64 {
    let doublings = u32::from(repetition.saturating_sub(1)).min(16);
    let bound = (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS);
    random % (bound + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_budget_allows_a_tenth_of_the_requests_and_a_floor() {
        let budget = RetryBudget::default();
        let mut extra = 0;
        // 500 requests per second for 30 s, each of which asks for an extra attempt
        for request in 0..15_000_u64 {
            budget.deposit();
            extra += u64::from(budget.withdraw(request * 2));
        }
        let floor = FLOOR_PER_S * (30 + FLOOR_SAVED_S);
        assert!((1_500..=1_500 + floor).contains(&extra), "{extra}");
    }

    #[test]
    fn quiet_route_may_repeat_by_the_floor_alone() {
        let budget = RetryBudget::default();
        let taken = (0..100).filter(|_| budget.withdraw(0)).count() as u64;
        assert_eq!(taken, FLOOR_PER_S * FLOOR_SAVED_S);
        assert!(budget.withdraw(100) && !budget.withdraw(100));
    }

    #[test]
    fn backoff_doubles_its_bound_up_to_the_longest() {
        for (repetition, bound) in [(1, 250), (2, 500), (3, 1_000), (6, 5_000), (200, 5_000)] {
            assert_eq!(backoff_ms(repetition, bound), bound);
            assert_eq!(backoff_ms(repetition, bound + 1), 0);
        }
    }
}
