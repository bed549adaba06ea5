//! Sockets to HTTP: serves the API and control plane on TCP, plain or with TLS, and on the local admin socket. HTTP/1.1 only:
//! actix-web's own TLS listener would offer HTTP/2 first, so the services are put together here.

use std::any::Any;
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder, ServerHandle};
use actix_service::{
    Service, ServiceFactory, apply_fn_factory, fn_factory, fn_service, map_config,
};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::App;
use actix_web::dev::{AppConfig, Extensions};
use actix_web::rt::net::{ActixStream, TcpStream, UnixStream};
use actix_web::rt::task::JoinHandle;
use futures_util::future::Either;
use futures_util::{FutureExt, TryFutureExt};
use rustls::ServerConfig;

use tokio::io::AsyncWriteExt;

use crate::config::{Config, Limits};
use crate::domain::wake_gate::WakeGate;
use crate::server::app;
use crate::server::certificates::Certificates;
use crate::server::connection::{
    ConnectionBounds, Registry, Timeouts, Watch, Watchdog, WatchedStream, answer, begin,
};
use crate::server::headers::DirectRequest;
use crate::server::surface::Surface;
use crate::server::worker::Worker;
use crate::server::{extract, inference};

/// Time for the end of a connection that the gateway closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The HTTP library answers a first head that is late with 408; the watch follows if that does not end the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
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
    let limits = config.limits;
    let bounds = ConnectionBounds::new(&limits);
    let builder = Server::build()
        .workers(config.workers)
        // connections beyond the hard bound wait in the system's queue; the admin socket's share the number
        .max_concurrent_connections(bounds.hard() / config.workers + 16)
        .shutdown_timeout(2)
        .disable_signals();
    let connections = Connections {
        new_worker,
        registry: Arc::new(Registry::new(bounds)),
        limits,
        stopping: builder.graceful_shutdown_signal(),
    };
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

/// Parts that every connection shares.
#[derive(Clone)]
struct Connections<W> {
    new_worker: W,
    registry: Arc<Registry>,
    limits: Limits,
    stopping: GracefulShutdownSignal,
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
                connections.service(surface, KeepAlive::Os, |stream: TcpStream| {
                    ready(Some(stream))
                })
            }),
            Some(tls) => builder.listen(name, listener, move || {
                let mut acceptor = Acceptor::new(tls.clone());
                acceptor.set_handshake_timeout(HANDSHAKE_TIMEOUT);
                let acceptor = Rc::new(acceptor);
                // an idle connection ends with the closing message of TLS
                let idle_timeout = Duration::from_millis(connections.limits.client_idle_timeout_ms);
                connections.service(surface, idle_timeout.into(), move |stream| {
                    secure(stream, acceptor.clone())
                })
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
            connections.service(Surface::Everything, KeepAlive::Os, |stream: UnixStream| {
                ready(Some(stream))
            })
        })
    }

    /// Service of one socket on one worker: bounds and watches each connection, secures it and serves HTTP on it. The watch ends
    /// idle connections; with a timeout in `keep_alive` they are closed before it.
    fn service<S, T, F, G>(
        &self,
        surface: Surface,
        keep_alive: KeepAlive,
        secure: G,
    ) -> impl ServiceFactory<S, Config = (), Response = (), Error = (), InitError = ()>
    + use<W, S, T, F, G>
    where
        S: Accepted,
        G: Fn(S) -> F + Clone + 'static,
        T: ActixStream + 'static,
        F: Future<Output = Option<T>> + 'static,
    {
        let connections = self.clone();
        fn_factory(move || {
            let http = connections.http::<T>(surface, keep_alive).new_service(());
            let (connections, secure) = (connections.clone(), secure.clone());
            async move {
                let http = Rc::new(http.await?);
                Ok::<_, ()>(fn_service(move |stream: S| {
                    let connection = connections.admit(&stream);
                    let (http, secure) = (http.clone(), secure.clone());
                    async move {
                        let Some((peer, watch)) = connection else {
                            return Ok::<_, ()>(());
                        };
                        let watched = watch.clone();
                        let served = async move {
                            if let Some(stream) = secure(stream).await {
                                let stream = WatchedStream::new(stream, watched);
                                let _closed = http.call((stream, peer)).await;
                            }
                        };
                        Watchdog::new(served, watch).await;
                        Ok(())
                    }
                }))
            }
        })
    }

    /// Enters a connection in the registry; `None` if it must be closed at once.
    fn admit(&self, stream: &impl Accepted) -> Option<(Option<SocketAddr>, Rc<Watch>)> {
        let peer = stream.peer();
        let entry = match peer.map(|peer| self.registry.enter(peer.ip())) {
            Some(None) => return None,
            entry => entry.flatten(),
        };
        stream.set_options();
        let timeouts = Timeouts {
            head: Duration::from_millis(self.limits.client_head_timeout_ms) + ANSWER_TIMEOUT,
            idle: Duration::from_millis(self.limits.client_idle_timeout_ms),
            stall: Duration::from_millis(self.limits.client_stall_ms),
        };
        Some((peer, Rc::new(Watch::new(timeouts, entry))))
    }

    /// HTTP/1.1 on a watched stream.
    fn http<T: ActixStream + 'static>(
        &self,
        surface: Surface,
        keep_alive: KeepAlive,
    ) -> impl ServiceFactory<
        (WatchedStream<T>, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<W, T> {
        let (limits, stopping) = (self.limits, self.stopping.clone());
        let worker = Rc::new((self.new_worker)());
        let app = App::new()
            .app_data(Worker::clone(&worker))
            .app_data(self.registry.clone())
            .configure(move |routes| app::routes(routes, surface));
        // scheme and host of its own are asked by nothing: links are made from `public_url`
        let app = map_config(app, |()| AppConfig::default());
        let app = apply_fn_factory(app, move |mut request: Request, app: &_| {
            let watch = begin(&mut request);
            // the calls of the data plane do not pass through the router
            let served = match app::model_call(surface, request.method(), request.path()) {
                Some(call) => {
                    let (request, payload) = DirectRequest::new(request, worker.clone());
                    Either::Left(inference::infer(call.0, call.1, request, payload).map(Ok))
                }
                None => Either::Right(Service::call(app, request).map_ok(Into::into)),
            };
            answer(watch, served)
        });
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                WakeGate::new(Box::pin(async move { stopping.notified().await }))
            })
            // else a client that disconnects before the head goes unnoticed, and its upstream call runs on
            .h1_allow_half_closed(false)
            .keep_alive(keep_alive)
            .client_request_timeout(Duration::from_millis(limits.client_head_timeout_ms))
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .on_connect_ext(move |stream: &WatchedStream<T>, data: &mut Extensions| {
                data.insert(stream.watch().clone());
                let stream = stream.stream() as &dyn Any;
                extract::note_peer(stream, data, surface, limits.client_stall_ms);
            })
            .h1(app)
    }
}

/// A stream that the listener accepts.
trait Accepted: 'static {
    /// Address that counts against the bounds; `None` for a stream without bounds.
    fn peer(&self) -> Option<SocketAddr>;
    fn set_options(&self);
}

impl Accepted for TcpStream {
    fn peer(&self) -> Option<SocketAddr> {
        // a peer that is gone already counts as an address of its own
        let unknown = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        Some(self.peer_addr().unwrap_or(unknown))
    }

    fn set_options(&self) {
        // an event does not wait for the acknowledgement of the one before
        let _ = self.set_nodelay(true);
    }
}

impl Accepted for UnixStream {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn set_options(&self) {}
}

/// TLS on a stream; `None` if the handshake fails.
async fn secure(stream: TcpStream, acceptor: Rc<Acceptor>) -> Option<TlsStream<TcpStream>> {
    let stream = refuse_plain_http(stream).await?;
    let acceptor = ServiceFactory::<TcpStream>::new_service(&*acceptor, ())
        .await
        .ok()?;
    acceptor.call(stream).await.ok()
}

/// Answers a client that speaks plain HTTP to the TLS port, which would otherwise see a closed connection.
async fn refuse_plain_http(mut stream: TcpStream) -> Option<TcpStream> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Err(_) | Ok(0) => None,
        Ok(_) if first[0] == TLS_HANDSHAKE => Some(stream),
        Ok(_) => {
            // the client is told as far as it listens; the connection ends in any case
            let _ = stream.write_all(PLAIN_HTTP_REFUSAL).await;
            let _ = stream.shutdown().await;
            None
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
