//! Connection pools of one worker: a client with its open connections per kind of destination and authority. A pool that no call
//! uses is dropped by the clock, so idle connections close without a next call. Must never end a call that runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use actix_rt::task::JoinHandle;
use foldhash::fast::RandomState;

use super::connection::{ClientTls, TlsFileError};
use crate::domain::egress::ConnectionConfig;

/// Destinations of one kind share their TLS settings.
struct Kind {
    tls: ClientTls,
    /// by authority
    pools: HashMap<String, Pool, RandomState>,
}

struct Pool {
    client: awc::Client,
    usage: Rc<PoolUsage>,
}

struct PoolUsage {
    calls: Cell<usize>,
    last_end: Cell<Instant>,
}

impl Pool {
    fn begin(&self) -> (awc::Client, PooledCall) {
        self.usage.calls.set(self.usage.calls.get() + 1);
        (self.client.clone(), PooledCall(self.usage.clone()))
    }

    fn is_used(&self, idle_max: Duration) -> bool {
        self.usage.calls.get() > 0 || self.usage.last_end.get().elapsed() < idle_max
    }
}

/// A call that uses a pool; it ends with this value.
pub(super) struct PooledCall(Rc<PoolUsage>);

impl Drop for PooledCall {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get() - 1);
        self.0.last_end.set(Instant::now());
    }
}

pub(super) struct Pools {
    idle_max: Duration,
    kinds: RefCell<HashMap<ConnectionConfig, Kind, RandomState>>,
    sweeper: RefCell<Option<JoinHandle<()>>>,
}

impl Pools {
    pub fn new(idle_max: Duration) -> Rc<Pools> {
        Rc::new(Pools {
            idle_max,
            kinds: RefCell::default(),
            sweeper: RefCell::default(),
        })
    }

    /// Begins a call: its client, made by `build` if there is none.
    pub fn begin(
        self: &Rc<Self>,
        destination: &ConnectionConfig,
        url: &str,
        load: impl FnOnce() -> Result<ClientTls, TlsFileError>,
        build: impl FnOnce(&ClientTls) -> awc::Client,
    ) -> Result<(awc::Client, PooledCall), TlsFileError> {
        let authority = authority(url);
        let mut kinds = self.kinds.borrow_mut();
        let known = kinds
            .get(destination)
            .and_then(|kind| kind.pools.get(authority));
        if let Some(pool) = known {
            return Ok(pool.begin());
        }
        if !kinds.contains_key(destination) {
            let kind = Kind {
                tls: load()?,
                pools: HashMap::default(),
            };
            kinds.insert(destination.clone(), kind);
        }
        let kind = kinds
            .get_mut(destination)
            .expect("the kind was found or inserted");
        let pool = Pool {
            client: build(&kind.tls),
            usage: Rc::new(PoolUsage {
                calls: Cell::new(0),
                last_end: Cell::new(Instant::now()),
            }),
        };
        let begun = pool.begin();
        kind.pools.insert(authority.to_owned(), pool);
        self.sweep();
        Ok(begun)
    }

    /// Drops the pool of a destination with its open connections.
    pub fn discard(&self, destination: &ConnectionConfig, url: &str) {
        if let Some(kind) = self.kinds.borrow_mut().get_mut(destination) {
            kind.pools.remove(authority(url));
        }
    }

    /// Starts the task that drops unused pools, unless it runs. It ends with the last pool.
    fn sweep(self: &Rc<Self>) {
        let mut sweeper = self.sweeper.borrow_mut();
        if sweeper.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (pools, pause) = (Rc::downgrade(self), self.idle_max / 3);
        *sweeper = Some(actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if !Weak::upgrade(&pools).is_some_and(|pools| pools.drop_unused()) {
                    return;
                }
            }
        }));
    }

    /// Returns `true` if any pool is left.
    fn drop_unused(&self) -> bool {
        let mut kinds = self.kinds.borrow_mut();
        for kind in kinds.values_mut() {
            kind.pools.retain(|_, pool| pool.is_used(self.idle_max));
        }
        kinds.values().any(|kind| !kind.pools.is_empty())
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get_mut() {
            sweeper.abort();
        }
    }
}

/// Host and port of a URL as written.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;
    use crate::domain::egress::EgressConfig;

    /// Answers one request of a connection and reports when the peer has closed it.
    fn serve(listener: TcpListener, closed: mpsc::Sender<()>) {
        for mut stream in listener.incoming().flatten() {
            let closed = closed.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let _ = stream.read(&mut bytes);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
                let _ = closed.send(());
            });
        }
    }

    fn call(pools: &Rc<Pools>, url: &str) -> (awc::Client, PooledCall) {
        let destination = ConnectionConfig::default();
        let load = || ClientTls::load(&EgressConfig::default(), &destination);
        let begun = pools.begin(&destination, url, load, |_| awc::Client::default());
        begun.expect("roots load")
    }

    #[test]
    fn pool_unused_closes_its_connections_by_the_clock_and_a_running_call_keeps_it() {
        actix_rt::System::new().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
            let (sender, closed) = mpsc::channel();
            std::thread::spawn(move || serve(listener, sender));
            let pools = Pools::new(Duration::from_millis(30));
            let (client, running) = call(&pools, &url);
            drop(client.get(&url).send().await.expect("an answer"));
            drop(client);
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(pools.drop_unused(), "a call runs");
            assert!(closed.try_recv().is_err(), "a call runs");
            drop(running);
            let deadline = Instant::now() + Duration::from_secs(60);
            while closed.try_recv().is_err() {
                assert!(Instant::now() < deadline, "an idle connection stays open");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(!pools.drop_unused(), "no pool is left");
        });
    }

    #[test]
    fn authority_is_host_and_port_of_a_url() {
        for (url, expected) in [
            ("https://api.example.com/v1/chat", "api.example.com"),
            ("http://127.0.0.1:80?x=1", "127.0.0.1:80"),
            ("http://[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(authority(url), expected);
        }
    }
}
