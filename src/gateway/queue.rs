//! Who waits for room in a budget. A waiter holds nothing; it queues at the first budget that lacks room and is tried again
//! when room comes free there. Smaller requests may pass the first in line for two seconds, then it goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::domain::id::BudgetId;

/// How long the first in line lets others pass on its own budget.
const PASSED_FOR: Duration = Duration::from_secs(2);
/// Waiters that are tried in vain each time room comes free.
const TRIED_IN_VAIN: usize = 8;

#[derive(Default)]
struct Waiter {
    woken: Notify,
}

struct Place {
    number: u64,
    since: Instant,
    waiter: Arc<Waiter>,
}

#[derive(Default)]
struct Lines {
    next: u64,
    by_budget: HashMap<BudgetId, VecDeque<Place>>,
}

pub(super) struct Queue {
    lines: Mutex<Lines>,
    /// so that nobody takes the lock while nobody waits
    waiting: AtomicUsize,
    /// places in one budget's line
    places_max: usize,
}

/// A place in a line; leaves it when dropped, however the wait ended.
pub(super) struct Waiting<'a> {
    queue: &'a Queue,
    budget: BudgetId,
    number: u64,
    waiter: Arc<Waiter>,
}

/// The line of this budget is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineFull;

impl Queue {
    pub(super) fn new(places_max: usize) -> Queue {
        Queue { lines: Mutex::default(), waiting: AtomicUsize::new(0), places_max }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether somebody has waited so long for one of these budgets that no newcomer may pass: then the budget.
    pub(super) fn blocked(&self, budgets: &[BudgetId]) -> Option<BudgetId> {
        if self.waiting() == 0 {
            return None;
        }
        let lines = self.lock();
        let patience_over = |budget: &&BudgetId| {
            lines.by_budget.get(budget).and_then(VecDeque::front).is_some_and(|first| first.since.elapsed() >= PASSED_FOR)
        };
        budgets.iter().find(patience_over).copied()
    }

    /// Joins the end of a budget's line.
    pub(super) fn join(&self, budget: BudgetId) -> Result<Waiting<'_>, LineFull> {
        let mut lines = self.lock();
        let number = lines.next;
        lines.next += 1;
        let line = lines.by_budget.entry(budget).or_default();
        if line.len() >= self.places_max {
            return Err(LineFull);
        }
        let waiter = Arc::new(Waiter::default());
        line.push_back(Place { number, since: Instant::now(), waiter: waiter.clone() });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Waiting { queue: self, budget, number, waiter })
    }

    /// Room came free in these budgets: the first in each line are tried again.
    pub(super) fn wake(&self, freed: &[BudgetId]) {
        if self.waiting() == 0 {
            return;
        }
        let lines = self.lock();
        for budget in freed {
            let Some(line) = lines.by_budget.get(budget) else { continue };
            let passed = line.front().is_some_and(|first| first.since.elapsed() >= PASSED_FOR);
            let tried = if passed { 1 } else { TRIED_IN_VAIN };
            line.iter().take(tried).for_each(|place| place.waiter.woken.notify_one());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    pub(super) fn budget(&self) -> BudgetId {
        self.budget
    }

    /// Returns when it is worth trying again, or at the deadline; looks again by itself now and then, so that a wake-up
    /// meant for somebody who left is not missed.
    pub(super) async fn turn(&self, deadline: Instant) {
        let look_again = Instant::now() + Duration::from_millis(250);
        let _ = tokio::time::timeout_at(deadline.min(look_again).into(), self.waiter.woken.notified()).await;
    }

    /// Whether it may try now: nobody before it has waited past patience.
    pub(super) fn may_try(&self) -> bool {
        let lines = self.queue.lock();
        let first = lines.by_budget.get(&self.budget).and_then(VecDeque::front);
        first.is_none_or(|first| first.number == self.number || first.since.elapsed() < PASSED_FOR)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut lines = self.queue.lock();
        let Some(line) = lines.by_budget.get_mut(&self.budget) else { return };
        line.retain(|place| place.number != self.number);
        // who comes next may fit into what is free already
        if let Some(next) = line.front() {
            next.waiter.woken.notify_one();
        } else {
            lines.by_budget.remove(&self.budget);
        }
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_end_and_leaving_it_frees_the_place() {
        let queue = Queue::new(1);
        let first = queue.join(BudgetId(1)).expect("there is a place");
        assert_eq!(queue.join(BudgetId(1)).err(), Some(LineFull));
        assert!(queue.join(BudgetId(2)).is_ok(), "another budget has its own line");
        drop(first);
        assert!(queue.join(BudgetId(1)).is_ok());
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn newcomers_may_pass_until_the_first_has_waited_long_enough() {
        let queue = Queue::new(10);
        let first = queue.join(BudgetId(1)).expect("place");
        let second = queue.join(BudgetId(1)).expect("place");
        assert_eq!(queue.blocked(&[BudgetId(1)]), None);
        assert!(second.may_try());
        if let Some(place) = queue.lock().by_budget.get_mut(&BudgetId(1)).and_then(VecDeque::front_mut) {
            place.since = Instant::now().checked_sub(PASSED_FOR).expect("the clock runs for two seconds");
        }
        assert_eq!(queue.blocked(&[BudgetId(2), BudgetId(1)]), Some(BudgetId(1)));
        assert!(first.may_try() && !second.may_try());
    }
}
