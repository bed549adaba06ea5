//! Registry of open client connections: counts them by address and in all, and at a bound ends the connection that has waited
//! longest for its client. Shared by all workers; a lock is held for a few map operations only, and not for each request: a place
//! among the waiting is brought up to date when a connection must go.

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

/// Signal to one connection that it must end, and the wait that decides about it.
#[derive(Default)]
pub(in crate::server) struct Displacement {
    is_set: AtomicBool,
    waker: AtomicWaker,
    /// number of its present wait; 0 while it works for its client
    wait: AtomicU64,
    /// number of its place among the waiting, perhaps that of an earlier wait; 0 without one. Changed under the lock only
    place: AtomicU64,
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
    /// connections that waited for their client when they took their place, the oldest first
    waiting: BTreeMap<u64, Arc<Displacement>>,
}

#[derive(Default)]
struct Connections {
    open: usize,
    addresses: HashMap<IpAddr, Address>,
    waiting: BTreeMap<u64, IpAddr>,
}

/// All open client connections of the process.
pub(in crate::server) struct Registry {
    bounds: ConnectionBounds,
    connections: Mutex<Connections>,
    /// number of the last wait
    waits: AtomicU64,
    ended: [AtomicU64; EndReason::ALL.len()],
}

impl Registry {
    pub fn new(bounds: ConnectionBounds) -> Registry {
        Registry {
            bounds,
            connections: Mutex::default(),
            waits: AtomicU64::new(0),
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
        let full_here = of_address.is_some_and(|known| known.open >= self.bounds.per_address);
        let is_full = connections.open >= self.bounds.all;
        let mut refused = connections.open >= self.bounds.hard();
        if !refused && (full_here || is_full) {
            let oldest = connections.take_oldest(full_here.then_some(address));
            refused = oldest.is_none_or(|oldest| {
                // it stays counted until it has ended
                oldest.set();
                false
            });
        }
        if refused {
            drop(connections);
            self.count(EndReason::Refused);
            return None;
        }
        connections.open += 1;
        connections.addresses.entry(address).or_default().open += 1;
        drop(connections);
        let entry = Entry {
            registry: self.clone(),
            address,
            displacement,
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
    /// Takes the connection that has waited longest, of one address or of all, from the waiting. On the way, those that wait anew get
    /// their present place, and those that work lose theirs.
    fn take_oldest(&mut self, of: Option<IpAddr>) -> Option<Arc<Displacement>> {
        loop {
            let (number, address) = match of {
                Some(address) => {
                    let known = self.addresses.get(&address)?;
                    (*known.waiting.keys().next()?, address)
                }
                None => self.waiting.iter().next().map(|(at, of)| (*at, *of))?,
            };
            let displacement = self.remove(number, address)?;
            if displacement.wait.load(Ordering::SeqCst) == number {
                return Some(displacement);
            }
            displacement.place.store(0, Ordering::SeqCst);
            self.place(address, &displacement);
        }
    }

    /// Gives a connection that waits a place, unless it has one. One that begins to wait meanwhile sees that it has none.
    fn place(&mut self, address: IpAddr, displacement: &Arc<Displacement>) {
        let wait = displacement.wait.load(Ordering::SeqCst);
        if wait == 0 || displacement.place.load(Ordering::SeqCst) != 0 {
            return;
        }
        displacement.place.store(wait, Ordering::SeqCst);
        self.waiting.insert(wait, address);
        if let Some(known) = self.addresses.get_mut(&address) {
            known.waiting.insert(wait, displacement.clone());
        }
    }

    fn remove(&mut self, number: u64, address: IpAddr) -> Option<Arc<Displacement>> {
        self.waiting.remove(&number);
        let known = self.addresses.get_mut(&address)?;
        known.waiting.remove(&number)
    }
}

/// One open connection in the registry, until dropped.
pub(in crate::server) struct Entry {
    registry: Arc<Registry>,
    address: IpAddr,
    displacement: Arc<Displacement>,
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
        let displacement = &self.displacement;
        if displacement.wait.load(Ordering::Relaxed) != 0 {
            return;
        }
        let number = self.registry.waits.fetch_add(1, Ordering::Relaxed) + 1;
        displacement.wait.store(number, Ordering::SeqCst);
        if displacement.place.load(Ordering::SeqCst) == 0 {
            let mut connections = self.registry.lock();
            connections.place(self.address, displacement);
        }
    }

    /// The connection works for its client and may not be displaced.
    pub fn work(&self) {
        self.displacement.wait.store(0, Ordering::Release);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut connections = self.registry.lock();
        let place = self.displacement.place.load(Ordering::SeqCst);
        connections.remove(place, self.address);
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
