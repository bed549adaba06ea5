//! The listener: HTTP in, HTTP out. Serves the API on a TCP socket and the local admin socket with the parts that it is given.
//! Decides nothing about a request; besides the simulator, the only folder that names actix-web.

mod api;
mod app;
mod connection;
mod extract;
mod health;
mod home_page;
mod inference;
mod listener;
mod respond;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use actix_server::{Server, ServerHandle};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::rt::task::JoinHandle;

use crate::config::Config;
use crate::server::connection::{ConnectionBounds, Registry};
use crate::server::listener::{ListenerParts, serve};

pub use crate::server::worker::Worker;

/// Connections that wait to be accepted: the usual maximum of the system (`net.core.somaxconn`), which shortens a longer queue.
/// actix-server accepts until none is left, so a burst waits for one wake-up.
const BACKLOG: i32 = 4_096;

/// Runs a future on the runtime that the listener needs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

/// TCP socket whose queue of new connections has [`BACKLOG`] places; that of the standard library has 128.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // a second call of listen(2) changes the queue only
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Sockets to serve on, already bound.
pub struct Sockets {
    pub api: TcpListener,
    /// local admin socket
    pub admin: UnixListener,
}

/// A running listener; its owner stops it.
pub struct Listener {
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

/// Starts to serve; each worker thread makes its own `Worker`. Call it inside `block_on`.
pub fn listen(
    config: &Config,
    new_worker: impl Fn() -> Worker + Clone + Send + 'static,
    sockets: Sockets,
) -> io::Result<Listener> {
    let limits = config.limits;
    let bounds = ConnectionBounds::new(&limits);
    let parts = ListenerParts {
        registry: Arc::new(Registry::new(bounds)),
        limits,
    };
    let builder = Server::build()
        .workers(config.workers)
        // connections beyond the hard bound wait in the system's queue; the admin socket's share the number
        .max_concurrent_connections(bounds.hard() / config.workers + 16)
        .shutdown_timeout(2)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let (api, admin) = (
        (new_worker.clone(), parts.clone(), stopping.clone()),
        (new_worker, parts, stopping),
    );
    let server = builder
        .listen("api", sockets.api, move || {
            let (new_worker, parts, stopping) = api.clone();
            serve::<TcpStream>(new_worker, parts, stopping)
        })?
        .listen_uds("admin", sockets.admin, move || {
            let (new_worker, parts, stopping) = admin.clone();
            serve::<UnixStream>(new_worker, parts, stopping)
        })?
        .run();
    Ok(Listener {
        handle: server.handle(),
        task: actix_web::rt::spawn(server),
    })
}

impl Listener {
    /// Stops accepting, waits shortly for open connections, then closes them.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(%error, "listener failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_of_connections_is_queued_by_the_system() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connected: Vec<TcpStream> = (0..300)
            .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
            .collect();
        assert_eq!(connected.len(), 300, "without being accepted");
    }
}
