//! Sampler: reads the ledger every 5 ms on a thread of its own while calls spend, without HTTP, so that load does not delay
//! it. It panics if a `block` budget exceeds its limit.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use gatekeeper::domain::id::BudgetId;
use gatekeeper::domain::money::Money;
use gatekeeper::meter::Ledger;
use serde_json::Value;

use crate::harness::process::text;

const INTERVAL: Duration = Duration::from_millis(5);
/// Longest average interval: a machine that is ten times too slow and busy may skip 99 samples in 100.
const INTERVAL_MAX: Duration = Duration::from_millis(500);
const SAMPLES_MIN: usize = 3;

/// Number of samples, and of those with an open hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct SampleCounts {
    pub all: usize,
    pub held: usize,
}

impl SampleCounts {
    pub fn add(&mut self, other: SampleCounts) {
        self.all += other.all;
        self.held += other.held;
    }
}

/// Budget ids of an organization, team or key from its API response.
pub fn budgets(owner: &Value) -> Vec<BudgetId> {
    let budgets = owner["budgets"].as_array().expect("budgets");
    budgets
        .iter()
        .map(|budget| BudgetId::parse(&text(budget, "id")).expect("the id of a budget"))
        .collect()
}

/// Samples the budgets while the work runs. Panics if one exceeds its limit, if there are too few samples, or if none has a
/// hold.
pub fn sample_while<T>(
    ledger: &Ledger,
    budgets: &[BudgetId],
    work: impl FnOnce() -> T,
) -> (T, SampleCounts) {
    let start = Instant::now();
    let (stop, stopped) = mpsc::channel::<()>();
    let (result, samples) = std::thread::scope(|scope| {
        let sampler = scope.spawn(move || {
            let mut samples = SampleCounts::default();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                sample(ledger, budgets, &mut samples);
            }
            samples
        });
        let result = work();
        drop(stop);
        (result, sampler.join().expect("no budget exceeds its limit"))
    });
    let elapsed = start.elapsed();
    let samples_min = SAMPLES_MIN.max((elapsed.as_millis() / INTERVAL_MAX.as_millis()) as usize);
    assert!(
        samples.all >= samples_min,
        "{samples:?} in {elapsed:?}: at least {samples_min} expected"
    );
    assert!(
        samples.held > 0,
        "{samples:?} in {elapsed:?}: no sample has a hold"
    );
    (result, samples)
}

/// Reads every budget once.
fn sample(ledger: &Ledger, budgets: &[BudgetId], samples: &mut SampleCounts) {
    let mut held = false;
    for id in budgets {
        let status = ledger
            .budget_status(*id)
            .expect("the ledger knows the budget");
        let used = status.settled.plus(status.held);
        assert!(
            used <= status.limit,
            "{id}: settled {} + held {} of {}",
            status.settled,
            status.held,
            status.limit
        );
        held |= status.held > Money::ZERO;
    }
    samples.all += 1;
    samples.held += usize::from(held);
}
