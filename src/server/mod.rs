//! The listener: HTTP in, HTTP out. Serves the API on a TCP socket and the local admin socket with the parts that it is given.
//! Decides nothing about a request; besides the simulator, the only folder that names actix-web.

mod api;
mod app;
mod endpoint_row;
mod extract;
mod health;
mod home_page;
mod inference;
mod respond;
#[cfg(test)]
mod test_worker;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::task::JoinHandle;
use actix_web::{App, HttpServer};

use crate::config::Config;

pub use crate::server::app::endpoints;
pub use crate::server::endpoint_row::{EndpointAccess, EndpointRow};
pub use crate::server::worker::Worker;

/// Idle connections are closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections that wait to be accepted: the usual maximum of the system (`net.core.somaxconn`), which shortens a longer queue.
/// actix-web accepts until none is left, so a burst waits for one wake-up.
const BACKLOG: i32 = 4_096;
/// Deadline for the first request head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

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
    let client_stall_ms = config.limits.client_stall_ms;
    let server = HttpServer::new(move || App::new().app_data(new_worker()).configure(app::routes))
        .on_connect(move |connection, data| extract::note_peer(connection, data, client_stall_ms))
        .workers(config.workers)
        // else a client that disconnects before the head goes unnoticed, and its upstream call runs on
        .h1_allow_half_closed(false)
        // an event does not wait for the acknowledgement of the one before
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(2)
        .disable_signals()
        .listen(sockets.api)?
        .listen_uds(sockets.admin)?
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
