//! From a host's name to a connected socket: names go through our own resolver, never getaddrinfo (a static binary must
//! not load the machine's name-service modules), and every socket has `TCP_NODELAY`.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use actix_rt::net::TcpStream;
use actix_service::{Service, fn_service};
use actix_tls::connect::tcp::TcpConnectorService;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host, Resolve, Resolver};
use futures_util::future::LocalBoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use std::cell::OnceCell;

/// The machine's name servers, read when the first name is looked up.
struct Names(OnceCell<Option<TokioResolver>>);

impl Names {
    fn resolver(&self) -> Option<&TokioResolver> {
        self.0
            .get_or_init(|| {
                let (config, options) = read_system_conf().unwrap_or_else(|error| {
                    tracing::warn!(
                        "the machine's resolver settings cannot be read ({error}): only addresses and hosts entries will work"
                    );
                    (ResolverConfig::default(), ResolverOpts::default())
                });
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build().ok()
            })
            .as_ref()
    }
}

impl Resolve for Names {
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn Error>>> {
        Box::pin(async move {
            if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
                return Ok(vec![SocketAddr::new(address, port)]);
            }
            let resolver = self.resolver().ok_or("no resolver could be set up")?;
            let found = resolver.lookup_ip(host).await?;
            Ok(found.iter().map(|address| SocketAddr::new(address, port)).collect())
        })
    }
}

/// Says of an address whether it may be connected to.
pub(super) type Guard = Rc<dyn Fn(IpAddr) -> bool>;

/// Names whose forbidden addresses are as good as none: the address that was looked at is the one that is connected to.
struct Guarded(Names, Guard);

impl Resolve for Guarded {
    fn lookup<'a>(&'a self, host: &'a str, port: u16) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn Error>>> {
        Box::pin(async move {
            let mut found = self.0.lookup(host, port).await?;
            found.retain(|address| (self.1)(address.ip()));
            if found.is_empty() { Err("it leads to no address of the Internet".into()) } else { Ok(found) }
        })
    }
}

/// The connector that awc is given. One per worker.
pub(super) fn connector<R: Host + 'static>()
-> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError> + Clone + 'static {
    over(Names(OnceCell::new()))
}

/// The same for addresses that a client chose.
pub(super) fn guarded<R: Host + 'static>(
    guard: Guard,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError> + Clone + 'static {
    over(Guarded(Names(OnceCell::new()), guard))
}

fn over<R: Host + 'static>(
    names: impl Resolve + 'static,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError> + Clone + 'static {
    let resolver = Rc::new(Resolver::custom(names).service());
    let tcp = TcpConnectorService::default();
    fn_service(move |request: ConnectInfo<R>| {
        let resolver = resolver.clone();
        async move {
            let resolved = resolver.call(request).await?;
            let connection = tcp.call(resolved).await?;
            connection.io_ref().set_nodelay(true).map_err(ConnectError::Io)?;
            Ok(connection)
        }
    })
}
