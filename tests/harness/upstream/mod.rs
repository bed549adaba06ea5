//! Scripted upstream on 127.0.0.1: plays scripts byte for byte on its own thread, records every request, detects
//! disconnecting peers and keeps its own bill of what it sent. It never opens a connection and knows nothing of the
//! gateway.

mod records;
mod server;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::net::TcpSocket;
use tokio::sync::oneshot;

pub use self::records::{BillLine, Disconnect};
use self::records::{Records, SharedRecords};
use self::server::serve;
pub use super::request::ReceivedRequest;
use super::script::Script;
use super::strict::Places;
use super::{model, wait_until};

/// Scripted upstream; its thread ends on drop.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<SharedRecords>,
    thread: Option<UpstreamThread>,
    /// keeps the port bound but not listening
    _refusing: Option<TcpSocket>,
}

struct UpstreamThread {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Upstream {
    /// Starts an upstream that responds like an honest model with 10 input and 20 output tokens.
    pub fn start() -> Upstream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        listener
            .set_nonblocking(true)
            .expect("a listener can be non-blocking");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(SharedRecords {
            script: Mutex::new(Arc::new(model::with_usage(10, 20))),
            places: Places::of_this_test(),
            is_accepting: AtomicBool::new(false),
            records: Mutex::new(Records::default()),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || serve(listener, &served, stopped))
            .expect("a thread for the upstream");
        Upstream {
            address,
            shared,
            thread: Some(UpstreamThread {
                stop,
                handle: thread,
            }),
            _refusing: None,
        }
    }

    /// Upstream whose port is bound but refuses connections.
    pub fn refusing() -> Upstream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port on loopback");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(SharedRecords {
            script: Mutex::new(Arc::new(Script::closes())),
            places: Places::of_this_test(),
            is_accepting: AtomicBool::new(false),
            records: Mutex::new(Records::default()),
        });
        Upstream {
            address,
            shared,
            thread: None,
            _refusing: Some(socket),
        }
    }

    /// Sets the script for all further requests.
    pub fn respond_with(&self, script: Script) -> &Upstream {
        *self
            .shared
            .script
            .lock()
            .expect("no panic while the script is set") = Arc::new(script);
        self
    }

    /// Takes everything from now on, for tests of what vendors refuse themselves or never see.
    pub fn accepting(&self) -> &Upstream {
        self.shared.is_accepting.store(true, Ordering::SeqCst);
        self
    }

    /// The vendors that it plays: the providers that were put in front of it.
    pub fn places(&self) -> Places {
        self.shared.places.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.shared.records().requests.clone()
    }

    /// Forgets the requests so far, for a trial that sends too many to keep.
    pub fn forget_requests(&self) {
        self.shared.records().requests.clear();
    }

    /// Latest request; panics if there was none.
    pub fn last_request(&self) -> Arc<ReceivedRequest> {
        self.shared
            .records()
            .requests
            .last()
            .cloned()
            .expect("the upstream received a request")
    }

    pub fn request_count(&self) -> usize {
        self.shared.records().requests.len()
    }

    pub fn connection_count(&self) -> usize {
        self.shared.records().connections
    }

    /// Highest number of concurrent requests.
    pub fn in_flight_max(&self) -> usize {
        self.shared.records().in_flight_max
    }

    pub fn in_flight(&self) -> usize {
        self.shared.records().in_flight
    }

    /// The upstream's own bill: a line for each request whose response head was sent.
    pub fn bill(&self) -> Vec<BillLine> {
        self.shared.records().bill.clone()
    }

    /// Total of the bill in pico-dollars, at prices in pico-dollars per token.
    pub fn bill_total(&self, input_price: u64, output_price: u64) -> i128 {
        self.shared
            .records()
            .bill
            .iter()
            .map(|line| line.cost(input_price, output_price))
            .sum()
    }

    /// Connections closed by the peer before the response was complete.
    pub fn disconnects(&self) -> Vec<Disconnect> {
        self.shared
            .records()
            .disconnects
            .iter()
            .filter(|disconnect| disconnect.request.is_some())
            .copied()
            .collect()
    }

    /// Connections closed by the peer, idle ones too.
    pub fn closed_connections(&self) -> Vec<Disconnect> {
        self.shared.records().disconnects.clone()
    }

    pub fn wait_for_requests(&self, count: usize) -> &Upstream {
        wait_until(&format!("the upstream has {count} requests"), || {
            self.request_count() >= count
        });
        self
    }

    pub fn wait_for_disconnects(&self, count: usize) -> &Upstream {
        wait_until(&format!("{count} peers disconnected"), || {
            self.disconnects().len() >= count
        });
        self
    }

    /// Waits until so many connections are closed at this end.
    pub fn wait_for_closed(&self, count: usize) -> &Upstream {
        wait_until(&format!("{count} connections are closed"), || {
            self.shared.records().closed >= count
        });
        self
    }

    /// Waits until no request is in flight: from then on the bill is final.
    pub fn wait_until_idle(&self) -> &Upstream {
        wait_until("the upstream is idle", || self.in_flight() == 0);
        self
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(running) = self.thread.take() {
            let _ = running.stop.send(());
            if running.handle.join().is_err() && !std::thread::panicking() {
                panic!("the upstream thread panicked: invalid script or malformed request");
            }
        }
    }
}
