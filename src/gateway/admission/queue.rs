//! Queue of requests that wait for room in a budget. A waiter holds nothing; it queues at the first budget that lacks room
//! and is tried again when room comes free there or a limit changes. Smaller requests may pass the first waiter for two
//! seconds; then it goes first: before new requests, and before waiters of other queues that came later and need its budget.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::domain::id::BudgetId;

/// Time during which the first waiter may be passed on its own budget.
const PASSABLE: Duration = Duration::from_secs(2);
/// Waiters that are tried each time room comes free.
const WAKE_MAX: usize = 8;
/// Interval at which a waiter is tried anyway: its key may be revoked, the process may stop, a window may end.
const RETRY: Duration = Duration::from_millis(250);

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
    fn is_impassable(&self) -> bool {
        self.since.elapsed() >= PASSABLE
    }
}

#[derive(Default)]
struct Queues {
    next: u64,
    by_budget: HashMap<BudgetId, VecDeque<QueueEntry>>,
}

pub(in crate::gateway) struct Queue {
    queues: Mutex<Queues>,
    /// spares the lock while the queue is empty
    waiting: AtomicUsize,
    /// bound of one budget's queue
    len_max: usize,
}

/// A place in a queue; dropping it leaves the queue, however the wait ended.
pub(in crate::gateway) struct QueueTicket<'a> {
    queue: &'a Queue,
    budget: BudgetId,
    number: u64,
    since: Instant,
    waiter: Arc<Waiter>,
}

/// The queue of this budget is full.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct QueueFull;

impl Queue {
    pub(in crate::gateway) fn new(len_max: usize) -> Queue {
        Queue {
            queues: Mutex::default(),
            waiting: AtomicUsize::new(0),
            len_max,
        }
    }

    pub(in crate::gateway) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns the first of these budgets whose first waiter this request may not pass: a new request (no `ticket`) passes no
    /// impassable waiter, a waiter only those that came after it. So the longest wait is never prolonged.
    pub(in crate::gateway) fn blocked(
        &self,
        budgets: &[BudgetId],
        ticket: Option<&QueueTicket<'_>>,
    ) -> Option<BudgetId> {
        if self.waiting() == 0 {
            return None;
        }
        let queues = self.lock();
        let goes_first = |budget: &&BudgetId| {
            let first = queues.by_budget.get(budget).and_then(VecDeque::front);
            first.is_some_and(|first| {
                first.is_impassable() && ticket.is_none_or(|ticket| first.number < ticket.number)
            })
        };
        budgets.iter().find(goes_first).copied()
    }

    /// Joins the end of a budget's queue.
    pub(in crate::gateway) fn join(&self, budget: BudgetId) -> Result<QueueTicket<'_>, QueueFull> {
        let mut queues = self.lock();
        let number = queues.next;
        queues.next += 1;
        self.insert(queues, budget, number, Instant::now())
    }

    /// Moves a ticket to another budget's queue, where it keeps its age.
    pub(in crate::gateway) fn move_ticket<'q>(
        &'q self,
        from: QueueTicket<'q>,
        budget: BudgetId,
    ) -> Result<QueueTicket<'q>, QueueFull> {
        self.insert(self.lock(), budget, from.number, from.since)
    }

    fn insert(
        &self,
        mut queues: MutexGuard<'_, Queues>,
        budget: BudgetId,
        number: u64,
        since: Instant,
    ) -> Result<QueueTicket<'_>, QueueFull> {
        let line = queues.by_budget.entry(budget).or_default();
        if line.len() >= self.len_max {
            return Err(QueueFull);
        }
        let waiter = Arc::new(Waiter::default());
        let before = line.partition_point(|entry| entry.number < number);
        let entry = QueueEntry {
            number,
            since,
            waiter: waiter.clone(),
        };
        line.insert(before, entry);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(QueueTicket {
            queue: self,
            budget,
            number,
            since,
            waiter,
        })
    }

    /// Wakes the first waiters of budgets in which room came free.
    pub(in crate::gateway) fn wake(&self, freed: &[BudgetId]) {
        if self.waiting() == 0 {
            return;
        }
        let queues = self.lock();
        for budget in freed {
            let Some(line) = queues.by_budget.get(budget) else {
                continue;
            };
            let impassable = line.front().is_some_and(QueueEntry::is_impassable);
            let woken = if impassable { 1 } else { WAKE_MAX };
            line.iter()
                .take(woken)
                .for_each(|entry| entry.waiter.woken.notify_one());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueTicket<'_> {
    pub(in crate::gateway) fn budget(&self) -> BudgetId {
        self.budget
    }

    /// Returns when another try is worthwhile: room came free, a limit changed, or the retry interval or the deadline is over.
    pub(in crate::gateway) async fn turn(
        &self,
        deadline: Instant,
        changes: &mut watch::Receiver<u64>,
    ) {
        let retry_at = Instant::now() + RETRY;
        let worth_trying = async {
            tokio::select! {
                () = self.waiter.woken.notified() => {}
                _ = changes.changed() => {}
            }
        };
        let _ = tokio::time::timeout_at(deadline.min(retry_at).into(), worth_trying).await;
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        let mut queues = self.queue.lock();
        let Some(line) = queues.by_budget.get_mut(&self.budget) else {
            return;
        };
        line.retain(|entry| entry.number != self.number);
        // the next waiter may fit into what is free already
        if let Some(next) = line.front() {
            next.waiter.woken.notify_one();
        } else {
            queues.by_budget.remove(&self.budget);
        }
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_full_refuses_until_a_ticket_is_dropped() {
        let queue = Queue::new(1);
        let first = queue.join(BudgetId(1)).expect("room in the queue");
        assert_eq!(queue.join(BudgetId(1)).err(), Some(QueueFull));
        assert!(
            queue.join(BudgetId(2)).is_ok(),
            "another budget has its own queue"
        );
        drop(first);
        assert!(queue.join(BudgetId(1)).is_ok());
        assert_eq!(queue.waiting(), 0);
    }

    /// Ages the first waiter by two seconds.
    fn age_first(queue: &Queue, budget: BudgetId) {
        if let Some(entry) = queue
            .lock()
            .by_budget
            .get_mut(&budget)
            .and_then(VecDeque::front_mut)
        {
            entry.since = Instant::now()
                .checked_sub(PASSABLE)
                .expect("the clock runs for two seconds");
        }
    }

    #[test]
    fn first_waiter_is_passable_for_two_seconds() {
        let queue = Queue::new(10);
        let (team, other) = (BudgetId(1), BudgetId(2));
        let first = queue.join(team).expect("room in the queue");
        let second = queue.join(team).expect("room in the queue");
        assert_eq!(
            (
                queue.blocked(&[team], None),
                queue.blocked(&[team], Some(&second))
            ),
            (None, None)
        );
        age_first(&queue, team);
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
    fn waiter_of_another_queue_never_passes_an_older_one() {
        let queue = Queue::new(10);
        let (team, key) = (BudgetId(1), BudgetId(2));
        let of_team = queue.join(team).expect("room in the queue");
        let of_key = queue.join(key).expect("room in the queue");
        age_first(&queue, team);
        age_first(&queue, key);
        assert_eq!(
            queue.blocked(&[key, team], Some(&of_key)),
            Some(team),
            "the team's room goes to the older waiter"
        );
        assert_eq!(
            queue.blocked(&[team, key], Some(&of_team)),
            None,
            "both would wait for each other"
        );
        assert_eq!(queue.blocked(&[key], None), Some(key));
    }

    #[test]
    fn moved_ticket_keeps_its_age() {
        let queue = Queue::new(10);
        let (team, key) = (BudgetId(1), BudgetId(2));
        let first = queue.join(key).expect("room in the queue");
        let second = queue.join(team).expect("room in the queue");
        let first = queue.move_ticket(first, team).expect("room in the queue");
        assert_eq!((first.budget(), queue.waiting()), (team, 2));
        age_first(&queue, team);
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
    async fn changed_limit_wakes_a_waiter_at_once() {
        use futures_util::FutureExt;
        let queue = Queue::new(10);
        let waits = queue.join(BudgetId(1)).expect("room in the queue");
        let (changed, mut changes) = watch::channel(0);
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_none());
        changed.send_replace(1);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_some());
        queue.wake(&[BudgetId(1)]);
        assert!(waits.turn(deadline, &mut changes).now_or_never().is_some());
    }
}
