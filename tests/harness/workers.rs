//! Concurrent calls: a bounded number of worker threads takes numbered turns until none is left.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `turn(state, number)` for 0..turns on `workers` threads and returns the results in the order of the numbers. Each
/// worker creates its state once, for example a connection.
pub fn run_workers<S, T: Send>(
    workers: usize,
    turns: usize,
    state: impl Fn(usize) -> S + Sync,
    turn: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = |worker: usize| {
        let mut own = state(worker);
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= turns {
                return done;
            }
            done.push((number, turn(&mut own, number)));
        }
    };
    let work = &work;
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers.min(turns))
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        handles
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker panicked"))
            .collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
