//! Sockets to HTTP: serves the API and control plane on TCP, plain or with TLS, and on the local admin socket. HTTP/1.1 only:
//! actix-web's own TLS listener would offer HTTP/2 first, so the services are put together here.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerBuilder, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::rt::task::JoinHandle;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::config::Config;
use crate::server::app;
use crate::server::certificates::Certificates;
use crate::server::extract;
use crate::server::surface::Surface;
use crate::server::worker::Worker;

/// Idle connections are closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Deadline for the first request head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Deadline for a TLS handshake, from the connection on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted: the usual maximum of the system (`net.core.somaxconn`), which shortens a longer queue.
/// actix-server accepts until none is left, so a burst waits for one wake-up.
const BACKLOG: i32 = 4_096;
/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;
const PLAIN_HTTP_REFUSAL: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 52\r\n\r\nthis port speaks TLS only; use https:// in the URL\r\n";

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
    /// address of the control plane, if it has its own
    pub admin: Option<TcpListener>,
    /// local admin socket
    pub local: UnixListener,
}

/// A running listener; its owner stops it.
pub struct Listener {
    handle: ServerHandle,
    stopping: Arc<Notify>,
    task: JoinHandle<io::Result<()>>,
}

/// Starts to serve; each worker thread makes its own `Worker`. Call it inside `block_on`.
pub fn listen(
    config: &Config,
    certificates: Option<&Arc<Certificates>>,
    new_worker: impl Fn() -> Worker + Clone + Send + 'static,
    sockets: Sockets,
) -> io::Result<Listener> {
    let tls = certificates.map(Certificates::server_config).transpose();
    let tls = tls.map_err(io::Error::other)?;
    let stopping = Arc::new(Notify::new());
    let connections = Connections {
        new_worker,
        stopping: stopping.clone(),
        client_stall_ms: config.limits.client_stall_ms,
    };
    let builder = Server::build()
        .workers(config.workers)
        .shutdown_timeout(2)
        .disable_signals();
    let api = match sockets.admin {
        Some(_) => Surface::Models,
        None => Surface::Everything,
    };
    let mut builder = connections.serve_tcp(builder, "api", sockets.api, api, tls.as_ref())?;
    if let Some(admin) = sockets.admin {
        builder = connections.serve_tcp(
            builder,
            "admin",
            admin,
            Surface::Administration,
            tls.as_ref(),
        )?;
    }
    let server = connections.serve_local(builder, sockets.local)?.run();
    Ok(Listener {
        handle: server.handle(),
        stopping,
        task: actix_web::rt::spawn(server),
    })
}

impl Listener {
    /// Stops accepting, waits shortly for open connections, then closes them.
    pub async fn stop(self) {
        self.stopping.notify_waiters();
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(%error, "listener failed");
        }
    }
}

/// Settings of every connection.
#[derive(Clone)]
struct Connections<W> {
    new_worker: W,
    stopping: Arc<Notify>,
    client_stall_ms: u64,
}

/// HTTP/1.1 on one kind of stream: a macro, because the type of the service cannot be written down.
macro_rules! http {
    ($connections:expr, $stream:ty, $surface:expr) => {{
        let (stall_ms, stopping) = ($connections.client_stall_ms, $connections.stopping.clone());
        let worker = ($connections.new_worker)();
        let surface = $surface;
        let app = App::new()
            .app_data(worker)
            .configure(move |routes| app::routes(routes, surface));
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        HttpService::<$stream, _, _>::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(Duration::from_secs(1))
            // else a client that disconnects before the head goes unnoticed, and its upstream call runs on
            .h1_allow_half_closed(false)
            .on_connect_ext(move |stream: &$stream, data| {
                extract::note_peer(stream as &dyn Any, data, surface, stall_ms);
            })
            // scheme and host of its own are asked by nothing: links are made from `public_url`
            .h1(map_config(app, |()| AppConfig::default()))
    }};
}

impl<W> Connections<W>
where
    W: Fn() -> Worker + Clone + Send + 'static,
{
    fn serve_tcp(
        &self,
        builder: ServerBuilder,
        name: &str,
        listener: TcpListener,
        surface: Surface,
        tls: Option<&ServerConfig>,
    ) -> io::Result<ServerBuilder> {
        let connections = self.clone();
        match tls.cloned() {
            None => builder.listen(name, listener, move || {
                fn_service(|stream: TcpStream| async move {
                    let peer = stream.peer_addr().ok();
                    // an event does not wait for the acknowledgement of the one before
                    let _ = stream.set_nodelay(true);
                    Ok((stream, peer))
                })
                .and_then(http!(connections, TcpStream, surface))
            }),
            Some(tls) => builder.listen(name, listener, move || {
                let mut acceptor = Acceptor::new(tls.clone());
                acceptor.set_handshake_timeout(HANDSHAKE_TIMEOUT);
                fn_service(refuse_plain_http)
                    .and_then(acceptor.map_err(TlsError::into_service_error))
                    .map(|stream: TlsStream<TcpStream>| {
                        let peer = stream.get_ref().0.peer_addr().ok();
                        (stream, peer)
                    })
                    .and_then(
                        http!(connections, TlsStream<TcpStream>, surface)
                            .map_err(TlsError::Service),
                    )
            }),
        }
    }

    fn serve_local(
        &self,
        builder: ServerBuilder,
        listener: UnixListener,
    ) -> io::Result<ServerBuilder> {
        let connections = self.clone();
        builder.listen_uds("local", listener, move || {
            fn_service(|stream: UnixStream| async move { Ok((stream, None)) }).and_then(http!(
                connections,
                UnixStream,
                Surface::Everything
            ))
        })
    }
}

/// Answers a client that speaks plain HTTP to the TLS port, which would otherwise see a closed connection.
async fn refuse_plain_http(
    mut stream: TcpStream,
) -> Result<TcpStream, TlsError<io::Error, actix_http::error::DispatchError>> {
    let mut first = [0];
    let peeked = tokio::time::timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await;
    match peeked {
        Err(_) => Err(TlsError::Timeout),
        Ok(Err(error)) => Err(TlsError::Tls(error)),
        Ok(Ok(_)) if first[0] == TLS_HANDSHAKE => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Ok(_)) => {
            // the client is told as far as it listens; the connection ends in any case
            let _ = stream.write_all(PLAIN_HTTP_REFUSAL).await;
            let _ = stream.shutdown().await;
            Err(TlsError::Tls(io::Error::from(io::ErrorKind::InvalidData)))
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

    #[test]
    fn plain_http_refusal_has_the_length_of_its_text() {
        let text = String::from_utf8_lossy(PLAIN_HTTP_REFUSAL);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
