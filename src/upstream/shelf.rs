//! Idle connections to one origin. The connection used last is used first, so that those above the need grow old and are closed.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Bounds of idle connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleLimits {
    pub idle_max: Duration,
    pub lifetime_max: Duration,
    /// to one origin
    pub count_max: usize,
}

pub(super) struct Shelf {
    limits: IdleLimits,
    /// the connection used last is the last
    idle: RefCell<Vec<IdleConnection>>,
}

struct IdleConnection {
    connection: Box<Connection>,
    since: Instant,
}

impl IdleConnection {
    fn is_usable(&mut self, now: Instant, limits: IdleLimits) -> bool {
        let age = now.saturating_duration_since(self.connection.opened());
        let idle = now.saturating_duration_since(self.since);
        age < limits.lifetime_max && idle < limits.idle_max && self.connection.is_idle(idle)
    }
}

impl Shelf {
    pub fn new(limits: IdleLimits) -> Shelf {
        Shelf {
            limits,
            idle: RefCell::default(),
        }
    }

    /// Takes a connection that the peer has not closed, as far as that is known.
    pub fn take(&self) -> Option<Box<Connection>> {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while let Some(mut last) = idle.pop() {
            if last.is_usable(now, self.limits) {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection whose response is complete; one with bytes behind the response is closed.
    pub fn put(&self, mut connection: Box<Connection>) {
        let mut idle = self.idle.borrow_mut();
        if !connection.received.is_empty() || idle.len() >= self.limits.count_max {
            return;
        }
        connection.rest();
        idle.push(IdleConnection {
            connection,
            since: Instant::now(),
        });
    }

    /// Closes connections that are too old or closed by the peer; returns `true` if any is left.
    pub fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.is_usable(now, self.limits));
        !idle.is_empty()
    }
}
