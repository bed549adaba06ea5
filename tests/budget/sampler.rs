//! Whoever looks at the ledger itself every 5 ms while others spend: through no door, on a thread of its own, so that no
//! load on the door keeps it from looking. No `block` budget may ever stand above its limit.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use gatekeeper::domain::id::BudgetId;
use gatekeeper::domain::money::Money;
use gatekeeper::meter::Ledger;
use serde_json::Value;

use crate::harness::process::text;

const EVERY: Duration = Duration::from_millis(5);
/// A machine that gives the sampler a tenth of its turns still counts as watched: every 50 ms of a race one look, and three
/// in all.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(50);
const LOOKS_MIN: usize = 3;

/// How often it looked, and how many of these looks saw something held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    pub all: usize,
    pub held: usize,
}

impl Looks {
    pub fn add(&mut self, other: Looks) {
        self.all += other.all;
        self.held += other.held;
    }
}

/// The budgets of an organization, team or key as the API shows it.
pub fn budgets(owner: &Value) -> Vec<BudgetId> {
    let budgets = owner["budgets"].as_array().expect("budgets");
    budgets
        .iter()
        .map(|budget| BudgetId::parse(&text(budget, "id")).expect("the id of a budget"))
        .collect()
}

/// Does the work while every one of the budgets is looked at. Panics if one stood above its limit, or if nobody really
/// looked: too seldom, or never while something was held.
pub fn watched<T>(ledger: &Ledger, budgets: &[BudgetId], work: impl FnOnce() -> T) -> (T, Looks) {
    let began = Instant::now();
    let (over, is_over) = mpsc::channel::<()>();
    let (done, looks) = std::thread::scope(|scope| {
        let sampler = scope.spawn(move || {
            let mut looks = Looks::default();
            while is_over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                look(ledger, budgets, &mut looks);
            }
            looks
        });
        let done = work();
        drop(over);
        (
            done,
            sampler.join().expect("a budget stood above its limit"),
        )
    });
    let took = began.elapsed();
    let least = LOOKS_MIN.max((took.as_millis() / LOOK_AT_LEAST_EVERY.as_millis()) as usize);
    assert!(
        looks.all >= least,
        "{looks:?} in {took:?}: at least {least} expected"
    );
    assert!(looks.held > 0, "{looks:?} in {took:?}: nobody saw a hold");
    (done, looks)
}

/// One look at every budget.
fn look(ledger: &Ledger, budgets: &[BudgetId], looks: &mut Looks) {
    let mut held = false;
    for id in budgets {
        let standing = ledger
            .budget_status(*id)
            .expect("the ledger knows the budget");
        let taken = standing.settled.plus(standing.held);
        assert!(
            taken <= standing.limit,
            "{id}: settled {} + held {} of {}",
            standing.settled,
            standing.held,
            standing.limit
        );
        held |= standing.held > Money::ZERO;
    }
    looks.all += 1;
    looks.held += usize::from(held);
}
