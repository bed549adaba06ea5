//! Who waits for room in a budget. A waiter holds nothing; it queues at the first budget that lacks room and is tried again
//! when room comes free there or a limit changes. Smaller requests may pass the first in line for two seconds, then it goes
//! first: before newcomers, and before whoever waits in another line for less long and would take of its budget.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::domain::id::BudgetId;

/// How long the first in line lets others pass on its own budget.
const PASSED_FOR: Duration = Duration::from_secs(2);
/// Waiters that are tried in vain each time room comes free.
const TRIED_IN_VAIN: usize = 8;
/// How often a waiter looks whether it is still wanted: its key may be revoked, the process may stop, a window may end.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Waiter {
    woken: Notify,
}

struct QueueEntry {
    number: u64,
    since: Instant,
    waiter: Arc<Waiter>,
}

impl QueueEntry {
    fn patience_is_over(&self) -> bool {
        self.since.elapsed() >= PASSED_FOR
    }
}

#[derive(Default)]
struct Lines {
    next: u64,
    by_budget: HashMap<BudgetId, VecDeque<QueueEntry>>,
}

pub(crate) struct Queue {
    lines: Mutex<Lines>,
    /// so that nobody takes the lock while nobody waits
    waiting: AtomicUsize,
    /// places in one budget's line
    places_max: usize,
}

/// A place in a line; leaves it when dropped, however the wait ended.
pub(crate) struct QueueTicket<'a> {
    queue: &'a Queue,
    budget: BudgetId,
    number: u64,
    since: Instant,
    waiter: Arc<Waiter>,
}

/// The line of this budget is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Queue {
    pub(crate) fn new(places_max: usize) -> Queue {
        Queue {
            lines: Mutex::default(),
            waiting: AtomicUsize::new(0),
            places_max,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A budget of these in whose line somebody has waited so long that this request may not pass: a newcomer (`place` is
    /// none) passes nobody, a waiter only those who came after it. So the one who waits longest is never held up.
    pub(crate) fn blocked(
        &self,
        budgets: &[BudgetId],
        place: Option<&QueueTicket<'_>>,
    ) -> Option<BudgetId> {
        if self.waiting() == 0 {
            return None;
        }
        let lines = self.lock();
        let goes_first = |budget: &&BudgetId| {
            let first = lines.by_budget.get(budget).and_then(VecDeque::front);
            first.is_some_and(|first| {
                first.patience_is_over() && place.is_none_or(|place| first.number < place.number)
            })
        };
        budgets.iter().find(goes_first).copied()
    }

    /// Joins the end of a budget's line.
    pub(crate) fn join(&self, budget: BudgetId) -> Result<QueueTicket<'_>, QueueFull> {
        let mut lines = self.lock();
        let number = lines.next;
        lines.next += 1;
        self.stand(lines, budget, number, Instant::now())
    }

    /// Leaves a line for that of another budget, and stands there as if it had always waited there.
    pub(crate) fn moved<'q>(
        &'q self,
        from: QueueTicket<'q>,
        budget: BudgetId,
    ) -> Result<QueueTicket<'q>, QueueFull> {
        self.stand(self.lock(), budget, from.number, from.since)
    }

    fn stand(
        &self,
        mut lines: MutexGuard<'_, Lines>,
        budget: BudgetId,
        number: u64,
        since: Instant,
    ) -> Result<QueueTicket<'_>, QueueFull> {
        let line = lines.by_budget.entry(budget).or_default();
        if line.len() >= self.places_max {
            return Err(QueueFull);
        }
        let waiter = Arc::new(Waiter::default());
        let before = line.partition_point(|place| place.number < number);
        line.insert(
            before,
            QueueEntry {
                number,
                since,
                waiter: waiter.clone(),
            },
        );
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(QueueTicket {
            queue: self,
            budget,
            number,
            since,
            waiter,
        })
    }

    /// Room came free in these budgets: the first in each line are tried again.
    pub(crate) fn wake(&self, freed: &[BudgetId]) {
        if self.waiting() == 0 {
            return;
        }
        let lines = self.lock();
        for budget in freed {
            let Some(line) = lines.by_budget.get(budget) else {
                continue;
            };
            let passed = line.front().is_some_and(QueueEntry::patience_is_over);
            let tried = if passed { 1 } else { TRIED_IN_VAIN };
            line.iter()
                .take(tried)
                .for_each(|place| place.waiter.woken.notify_one());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueTicket<'_> {
    pub(crate) fn budget(&self) -> BudgetId {
        self.budget
    }

    /// Returns when it is worth trying again, or at the deadline: when room came free, when a limit changed, and now and
    /// then.
    pub(crate) async fn turn(&self, deadline: Instant, changes: &mut watch::Receiver<u64>) {
        let look_again = Instant::now() + LOOK_AGAIN;
        let worth_trying = async {
            tokio::select! {
                () = self.waiter.woken.notified() => {}
                _ = changes.changed() => {}
            }
        };
        let _ = tokio::time::timeout_at(deadline.min(look_again).into(), worth_trying).await;
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        let mut lines = self.queue.lock();
        let Some(line) = lines.by_budget.get_mut(&self.budget) else {
            return;
        };
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
        assert_eq!(queue.join(BudgetId(1)).err(), Some(QueueFull));
        assert!(
            queue.join(BudgetId(2)).is_ok(),
            "another budget has its own line"
        );
        drop(first);
        assert!(queue.join(BudgetId(1)).is_ok());
        assert_eq!(queue.waiting(), 0);
    }

    /// As if the first in this line had come two seconds ago.
    fn loses_patience(queue: &Queue, budget: BudgetId) {
        if let Some(place) = queue
            .lock()
            .by_budget
            .get_mut(&budget)
            .and_then(VecDeque::front_mut)
        {
            place.since = Instant::now()
                .checked_sub(PASSED_FOR)
                .expect("the clock runs for two seconds");
        }
    }

    #[test]
    fn newcomers_may_pass_until_the_first_has_waited_long_enough() {
        let queue = Queue::new(10);
        let (team, other) = (BudgetId(1), BudgetId(2));
        let first = queue.join(team).expect("place");
        let second = queue.join(team).expect("place");
        assert_eq!(
            (
                queue.blocked(&[team], None),
                queue.blocked(&[team], Some(&second))
            ),
            (None, None)
        );
        loses_patience(&queue, team);
        assert_eq!(queue.blocked(&[other, team], None), Some(team));
        assert_eq!(
            (
                queue.blocked(&[team], Some(&first)),
                queue.blocked(&[team], Some(&second))
            ),
            (None, Some(team))
        );
    }

    #[test]
    fn who_waits_in_another_line_passes_nobody_who_has_waited_longer() {
        let queue = Queue::new(10);
        let (team, key) = (BudgetId(1), BudgetId(2));
        let of_team = queue.join(team).expect("place");
        let of_key = queue.join(key).expect("place");
        loses_patience(&queue, team);
        loses_patience(&queue, key);
        assert_eq!(
            queue.blocked(&[key, team], Some(&of_key)),
            Some(team),
            "the team's room is meant for the other"
        );
        assert_eq!(
            queue.blocked(&[team, key], Some(&of_team)),
            None,
            "both would wait for each other"
        );
        assert_eq!(queue.blocked(&[key], None), Some(key));
    }

    #[test]
    fn who_changes_the_line_keeps_its_turn() {
        let queue = Queue::new(10);
        let (team, key) = (BudgetId(1), BudgetId(2));
        let first = queue.join(key).expect("place");
        let second = queue.join(team).expect("place");
        let first = queue.moved(first, team).expect("place");
        assert_eq!((first.budget(), queue.waiting()), (team, 2));
        loses_patience(&queue, team);
        assert_eq!(
            (
                queue.blocked(&[team], Some(&first)),
                queue.blocked(&[team], Some(&second))
            ),
            (None, Some(team))
        );
        drop((first, second));
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test]
    async fn a_changed_limit_is_noticed_at_once() {
        use futures_util::FutureExt;
        let queue = Queue::new(10);
        let waits = queue.join(BudgetId(1)).expect("place");
        let (changed, mut changes) = watch::channel(0);
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_none());
        changed.send_replace(1);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_some());
        queue.wake(&[BudgetId(1)]);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_some());
    }
}
