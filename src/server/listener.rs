//! Sockets to connections: bounds and watches each connection, and serves HTTP/1.1 on it. The same service serves TCP and the
//! local socket; a stream of another kind passes through [`serve`] too.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{Service, ServiceFactory, apply_fn_factory, fn_factory, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::rt::net::{ActixStream, TcpStream, UnixStream};
use futures_util::future::{Either, Ready, ready};

use super::connection::{Registry, Timeouts, Watch, Watchdog, WatchedStream, answer, begin};
use super::{app, extract};
use crate::config::Limits;
use crate::server::worker::Worker;

/// Time for the end of a connection that the gateway closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The HTTP library answers a first head that is late with 408; the watch follows if that does not end the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Parts that all connections of the process share.
#[derive(Clone)]
pub(super) struct ListenerParts {
    pub registry: Arc<Registry>,
    pub limits: Limits,
}

impl ListenerParts {
    fn timeouts(&self) -> Timeouts {
        Timeouts {
            head: Duration::from_millis(self.limits.client_head_timeout_ms) + ANSWER_TIMEOUT,
            idle: Duration::from_millis(self.limits.client_idle_timeout_ms),
            stall: Duration::from_millis(self.limits.client_stall_ms),
        }
    }
}

/// A stream that the listener accepts.
pub(super) trait Accepted: ActixStream + Sized + 'static {
    /// Address that counts against the bounds; `None` for a stream without bounds.
    fn peer(&self) -> Option<SocketAddr>;
    fn set_options(&self, limits: &Limits) -> io::Result<()>;
    fn note_peer(&self, data: &mut actix_web::dev::Extensions);
}

impl Accepted for TcpStream {
    fn peer(&self) -> Option<SocketAddr> {
        // a peer that is gone already counts as an address of its own
        let unknown = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        Some(self.peer_addr().unwrap_or(unknown))
    }

    fn set_options(&self, limits: &Limits) -> io::Result<()> {
        // an event does not wait for the acknowledgement of the one before
        self.set_nodelay(true)?;
        extract::limit_stall(self, limits.client_stall_ms)
    }

    fn note_peer(&self, _: &mut actix_web::dev::Extensions) {}
}

impl Accepted for UnixStream {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn set_options(&self, _: &Limits) -> io::Result<()> {
        Ok(())
    }

    fn note_peer(&self, data: &mut actix_web::dev::Extensions) {
        extract::note_local_peer(self, data);
    }
}

/// Service of all connections of one socket on one worker.
pub(super) fn serve<S: Accepted>(
    new_worker: impl Fn() -> Worker + Clone + 'static,
    parts: ListenerParts,
    stopping: actix_server::GracefulShutdownSignal,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = (), InitError = ()> {
    fn_factory(move || {
        let new_worker = new_worker.clone();
        let http = http::<S>(new_worker(), parts.clone(), stopping.clone()).new_service(());
        let parts = parts.clone();
        async move {
            let http = Rc::new(http.await?);
            Ok::<_, ()>(actix_service::fn_service(move |stream: S| {
                connection(stream, &parts, &http)
            }))
        }
    })
}

/// HTTP/1.1 on a watched stream.
fn http<S: Accepted>(
    worker: Worker,
    parts: ListenerParts,
    stopping: actix_server::GracefulShutdownSignal,
) -> impl ServiceFactory<
    (WatchedStream<S>, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> {
    let app = App::new()
        .app_data(worker)
        .app_data(parts.registry)
        .configure(app::routes);
    let app = map_config(app, |()| AppConfig::default());
    let app = apply_fn_factory(app, |mut request, app: &_| {
        let watch = begin(&mut request);
        answer(watch, Service::call(app, request))
    });
    let limits = parts.limits;
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        // else a client that disconnects before the head goes unnoticed, and its upstream call runs on
        .h1_allow_half_closed(false)
        .keep_alive(Duration::from_millis(limits.client_idle_timeout_ms))
        .client_request_timeout(Duration::from_millis(limits.client_head_timeout_ms))
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .on_connect_ext(
            |stream: &WatchedStream<S>, data: &mut actix_web::dev::Extensions| {
                data.insert(stream.watch().clone());
                stream.stream().note_peer(data);
            },
        )
        .h1(app)
}

/// One connection, to its end.
fn connection<S: Accepted, H>(
    stream: S,
    parts: &ListenerParts,
    http: &H,
) -> Either<Ready<Result<(), ()>>, impl Future<Output = Result<(), ()>> + use<S, H>>
where
    H: Service<(WatchedStream<S>, Option<SocketAddr>)>,
{
    let peer = stream.peer();
    let entry = match peer.map(|peer| parts.registry.enter(peer.ip())) {
        Some(None) => return Either::Left(ready(Ok(()))),
        entry => entry.flatten(),
    };
    if let Err(error) = stream.set_options(&parts.limits) {
        tracing::debug!(%error, "failed to set the options of a connection");
    }
    let watch = Rc::new(Watch::new(parts.timeouts(), entry));
    let stream = WatchedStream::new(stream, watch.clone());
    let watchdog = Watchdog::new(http.call((stream, peer)), watch);
    Either::Right(async move {
        watchdog.await;
        Ok(())
    })
}
