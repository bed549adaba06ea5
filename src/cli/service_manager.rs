//! Service manager: takes the listening socket that systemd passes to the process, and reports readiness, liveness and the
//! stop to it. Without systemd every report is a no-op. Must never wait for the manager.

use std::convert::Infallible;
use std::env;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;

use super::admin::AdminClient;
use super::failure::Failure;

/// Connection to the manager's notification socket.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// time without a sign of life after which the manager kills the process
    watchdog: Option<Duration>,
}

/// Time to close the books after the drain.
const CLOSE_MS: u64 = 15_000;

/// Returns the socket of `gatekeeper.socket`, if the process was started by it.
pub fn inherited_listener() -> Result<Option<TcpListener>, Failure> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(Failure::configuration(format!(
            "{} sockets passed by the service manager; leave one ListenStream= in gatekeeper.socket",
            passed.len()
        )));
    }
    passed.take_tcp_listener(0).map_err(|error| {
        Failure::configuration(format!(
            "unusable socket passed by the service manager: {error}; use ListenStream=IP:PORT in gatekeeper.socket"
        ))
    })
}

impl ServiceManager {
    /// Reads the variables of `Type=notify` and `WatchdogSec=`.
    pub fn from_environment() -> ServiceManager {
        let socket = env::var("NOTIFY_SOCKET")
            .ok()
            .and_then(|path| connect(&path));
        let watchdog = env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|micros| micros.parse().ok())
            .map(Duration::from_micros);
        ServiceManager { socket, watchdog }
    }

    pub fn ready(&self) {
        self.notify("READY=1\nSTATUS=serving requests");
    }

    /// Reports the stop, and asks for as much time as the drain may take, should `TimeoutStopSec=` of the unit be shorter.
    pub fn stopping(&self, drain_ms: u64) {
        let time_us = drain_ms.saturating_add(CLOSE_MS).saturating_mul(1_000);
        self.notify(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={time_us}\nSTATUS=waiting for running requests"
        ));
    }

    /// Reports a sign of life three times per watchdog period, each time after a worker has answered on the admin socket. Never
    /// returns.
    pub async fn keep_alive(&self, admin: &AdminClient) -> Infallible {
        let Some(period) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(period / 3).await;
            let answer = tokio::time::timeout(period / 3, admin.call("GET", "/healthz", None));
            match answer.await {
                Ok(Ok((200, _))) => self.notify("WATCHDOG=1"),
                _ => tracing::error!(
                    "no answer on the admin socket; the service manager will restart the process"
                ),
            }
        }
    }

    fn notify(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::warn!(%error, "failed to notify the service manager");
        }
    }
}

/// Connects to a path, or to an abstract socket, whose name begins with `@`. The datagrams never block: a full queue loses one.
fn connect(path: &str) -> Option<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    let connected = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    connected
        .map_err(|error| tracing::warn!(%error, "failed to reach the service manager"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_manager_receives_states_on_its_socket() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).expect("a socket");
        let manager = ServiceManager {
            socket: connect(&path.display().to_string()),
            watchdog: None,
        };
        let mut buffer = [0; 256];
        let mut received = || {
            let length = receiver.recv(&mut buffer).expect("a datagram");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        manager.ready();
        assert!(received().starts_with("READY=1\n"));
        manager.stopping(30_000);
        assert!(received().starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\n"));
    }

    #[test]
    fn service_manager_absent_is_ignored() {
        ServiceManager::default().ready();
        assert!(connect("/nowhere/notify").is_none());
    }
}
