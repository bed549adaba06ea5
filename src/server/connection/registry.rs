//! Registry of open client connections: counts them by address and in all, and at a bound ends the connection that has waited
//! longest for its client. Shared by all workers; a lock is held for a few map operations only.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;

use super::bounds::ConnectionBounds;

/// Reason why the gateway ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum EndReason {
    /// at a bound, and no connection waited for its client
    Refused,
    /// at a bound, and this connection waited longest
    Displaced,
    /// request head incomplete
    HeadTimeout,
    /// no further request
    Idle,
    /// the client reads nothing
    Stalled,
    /// the answer was sent before the request body had come
    UnreadBody,
}

impl EndReason {
    const ALL: [EndReason; 6] = [
        EndReason::Refused,
        EndReason::Displaced,
        EndReason::HeadTimeout,
        EndReason::Idle,
        EndReason::Stalled,
        EndReason::UnreadBody,
    ];

    fn as_str(self) -> &'static str {
        match self {
            EndReason::Refused => "refused",
            EndReason::Displaced => "displaced",
            EndReason::HeadTimeout => "head_timeout",
            EndReason::Idle => "idle",
            EndReason::Stalled => "stalled",
            EndReason::UnreadBody => "unread_body",
        }
    }
}

/// Signal to one connection that it must end.
#[derive(Default)]
pub(in crate::server) struct Displacement {
    is_set: AtomicBool,
    waker: AtomicWaker,
}

impl Displacement {
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    pub fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[derive(Default)]
struct Address {
    open: usize,
    /// connections that wait for their client, the oldest first
    waiting: BTreeMap<u64, Arc<Displacement>>,
}

#[derive(Default)]
struct Connections {
    open: usize,
    next: u64,
    addresses: HashMap<IpAddr, Address>,
    waiting: BTreeMap<u64, IpAddr>,
}

/// All open client connections of the process.
pub(in crate::server) struct Registry {
    bounds: ConnectionBounds,
    connections: Mutex<Connections>,
    ended: [AtomicU64; EndReason::ALL.len()],
}

impl Registry {
    pub fn new(bounds: ConnectionBounds) -> Registry {
        Registry {
            bounds,
            connections: Mutex::default(),
            ended: Default::default(),
        }
    }

    /// Enters a new connection; `None` if it must be closed at once. At a bound, the connection that has waited longest is told
    /// to end: of the same address at the bound of an address, else of all.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entry> {
        let address = network(address);
        let displacement = Arc::new(Displacement::default());
        let mut connections = self.lock();
        let of_address = connections.addresses.get(&address);
        let oldest_here = || of_address.and_then(|known| known.waiting.keys().next().copied());
        let full_here = of_address.is_some_and(|known| known.open >= self.bounds.per_address);
        let oldest = if full_here {
            Some(oldest_here())
        } else if connections.open >= self.bounds.all {
            Some(connections.waiting.keys().next().copied())
        } else {
            None
        };
        let refused = connections.open >= self.bounds.hard() || oldest == Some(None);
        if refused {
            drop(connections);
            self.count(EndReason::Refused);
            return None;
        }
        if let Some(Some(number)) = oldest {
            connections.displace(number);
        }
        connections.open += 1;
        connections.addresses.entry(address).or_default().open += 1;
        drop(connections);
        let entry = Entry {
            registry: self.clone(),
            address,
            displacement,
            place: std::cell::Cell::new(None),
        };
        entry.wait();
        Some(entry)
    }

    pub fn count(&self, reason: EndReason) {
        self.ended[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the metrics in the text format of Prometheus.
    pub fn write_metrics(&self, into: &mut String) {
        let open = self.lock().open;
        let _ = writeln!(
            into,
            "# TYPE gatekeeper_connections_open gauge\ngatekeeper_connections_open {open}\n\
             # TYPE gatekeeper_connections_ended_total counter"
        );
        for reason in EndReason::ALL {
            let count = self.ended[reason as usize].load(Ordering::Relaxed);
            let _ = writeln!(
                into,
                "gatekeeper_connections_ended_total{{reason=\"{}\"}} {count}",
                reason.as_str()
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Tells a waiting connection to end. It stays counted until it has.
    fn displace(&mut self, number: u64) {
        let address = self.waiting.remove(&number);
        let known = address.and_then(|address| self.addresses.get_mut(&address));
        if let Some(displacement) = known.and_then(|known| known.waiting.remove(&number)) {
            displacement.set();
        }
    }
}

/// One open connection in the registry, until dropped.
pub(in crate::server) struct Entry {
    registry: Arc<Registry>,
    address: IpAddr,
    displacement: Arc<Displacement>,
    /// number among the waiting
    place: std::cell::Cell<Option<u64>>,
}

impl Entry {
    pub fn displacement(&self) -> &Displacement {
        &self.displacement
    }

    pub fn count(&self, reason: EndReason) {
        self.registry.count(reason);
    }

    /// The connection waits for its client from now on and may be displaced.
    pub fn wait(&self) {
        if self.place.get().is_some() {
            return;
        }
        let mut connections = self.registry.lock();
        let number = connections.next;
        connections.next += 1;
        connections.waiting.insert(number, self.address);
        if let Some(known) = connections.addresses.get_mut(&self.address) {
            known.waiting.insert(number, self.displacement.clone());
        }
        drop(connections);
        self.place.set(Some(number));
    }

    /// The connection works for its client and may not be displaced.
    pub fn work(&self) {
        let Some(number) = self.place.take() else {
            return;
        };
        let mut connections = self.registry.lock();
        connections.waiting.remove(&number);
        if let Some(known) = connections.addresses.get_mut(&self.address) {
            known.waiting.remove(&number);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.work();
        let mut connections = self.registry.lock();
        connections.open -= 1;
        if let Some(known) = connections.addresses.get_mut(&self.address) {
            known.open -= 1;
            if known.open == 0 {
                connections.addresses.remove(&self.address);
            }
        }
    }
}

/// The address that is counted: of IPv6 the network of 64 bits, all of which one client may have.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(all: usize, per_address: usize) -> Arc<Registry> {
        Arc::new(Registry::new(ConnectionBounds { all, per_address }))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn connection_at_the_bound_displaces_the_one_that_waits_longest() {
        let registry = registry(8, 8);
        let open: Vec<Entry> = (0..8)
            .map(|last| registry.enter(address(last)).expect("room"))
            .collect();
        open[0].work();
        open[1].work();
        open[1].wait();
        let next = registry.enter(address(20)).expect("a place");
        let displaced = |entry: &Entry| entry.displacement().is_set();
        let numbers: Vec<usize> = (0..8).filter(|at| displaced(&open[*at])).collect();
        assert_eq!(
            numbers,
            [2],
            "0 works, 1 has waited for a shorter time than 2"
        );
        drop((open, next));
        assert!(registry.lock().addresses.is_empty() && registry.lock().open == 0);
        assert!(registry.lock().waiting.is_empty());
    }

    #[test]
    fn address_at_its_bound_displaces_its_own_and_is_refused_while_all_work() {
        let registry = registry(100, 2);
        let other = registry.enter(address(1)).expect("room");
        let own: Vec<Entry> = (0..2)
            .map(|_| registry.enter(address(2)).expect("room"))
            .collect();
        let third = registry.enter(address(2)).expect("a place");
        assert!(!other.displacement().is_set() && own[0].displacement().is_set());
        for entry in own.iter().chain([&third]) {
            entry.work();
        }
        assert!(registry.enter(address(2)).is_none());
        assert!(registry.enter(address(3)).is_some());
        let mut text = String::new();
        registry.write_metrics(&mut text);
        assert!(text.contains("gatekeeper_connections_ended_total{reason=\"refused\"} 1"));
    }

    #[test]
    fn network_of_ipv6_counts_as_one_address() {
        let v6 = |text: &str| network(text.parse().expect(text));
        assert_eq!(v6("2001:db8:1:2::3"), v6("2001:db8:1:2:ffff::4"));
        assert_ne!(v6("2001:db8:1:2::3"), v6("2001:db8:1:3::3"));
        assert_eq!(v6("::ffff:10.0.0.1"), address(1));
    }
}
