//! Bounds of open connections, from the configuration or from the process's limit of descriptors. Descriptors are kept back for
//! the admin socket, the books and the log, and every connection may need a second one for its upstream.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;

/// Descriptors that connections of clients and their upstream calls never take.
const RESERVED: usize = 96;
/// Fewer connections serve nobody; more than a process of this kind is asked for need a setting.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 16..=32_768;

/// Descriptors that the process asks for: twice the connections, and what is kept back.
const DESCRIPTORS: u64 = 2 * *CONNECTIONS.end() as u64 + RESERVED as u64;

/// Bounds of open client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct ConnectionBounds {
    pub all: usize,
    pub per_address: usize,
}

impl ConnectionBounds {
    pub fn new(limits: &Limits) -> ConnectionBounds {
        ConnectionBounds::for_descriptors(limits, descriptors())
    }

    fn for_descriptors(limits: &Limits, descriptors: usize) -> ConnectionBounds {
        let possible = descriptors.saturating_sub(RESERVED) / 2;
        let possible = possible.clamp(*CONNECTIONS.start(), *CONNECTIONS.end());
        let all = limits.connections_max.unwrap_or(possible);
        let half = (all / 2).max(1);
        ConnectionBounds {
            all,
            per_address: limits.connections_per_address_max.unwrap_or(half).min(all),
        }
    }

    /// Connections that are open at most, with those that were told to end and have not ended yet.
    pub fn hard(&self) -> usize {
        self.all + self.all / 4
    }
}

/// Number of descriptors that the process may open, raised as far as it may raise it. Service managers set a low number for the
/// sake of programs that cannot handle a high one.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < wanted {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => current = wanted,
            Err(error) => tracing::debug!(%error, "failed to raise the limit of descriptors"),
        }
    }
    usize::try_from(current).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_bounds_leave_descriptors_for_upstreams_and_books() {
        let bounds =
            |descriptors| ConnectionBounds::for_descriptors(&Limits::default(), descriptors);
        assert_eq!((bounds(512).all, bounds(512).per_address), (208, 104));
        assert!(bounds(512).hard() * 2 + RESERVED <= 512 + 2 * 208 / 4);
        assert_eq!(bounds(64).all, 16);
        assert_eq!(bounds(usize::MAX).all, 32_768);
        let set = Limits {
            connections_max: Some(100),
            connections_per_address_max: Some(1_000),
            ..Limits::default()
        };
        let bounds = ConnectionBounds::for_descriptors(&set, 1 << 20);
        assert_eq!((bounds.all, bounds.per_address), (100, 100));
    }
}
