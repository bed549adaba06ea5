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
    fn lookup<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn Error>>> {
        Box::pin(async move {
            if let Ok(address) = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
            {
                return Ok(vec![SocketAddr::new(address, port)]);
            }
            let resolver = self.resolver().ok_or("no resolver could be set up")?;
            let found = resolver.lookup_ip(host).await?;
            Ok(found
                .iter()
                .map(|address| SocketAddr::new(address, port))
                .collect())
        })
    }
}

/// Says of an address whether it may be connected to.
pub(super) type Guard = Rc<dyn Fn(IpAddr) -> bool>;

/// The connector that awc is given. One per worker.
pub(super) fn connector<R: Host + 'static>()
-> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    over(None)
}

/// The same for addresses that a client chose.
pub(super) fn guarded<R: Host + 'static>(
    guard: Guard,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    over(Some(guard))
}

fn over<R: Host + 'static>(
    guard: Option<Guard>,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    let resolver = Rc::new(Resolver::custom(Names(OnceCell::new())).service());
    let tcp = TcpConnectorService::default();
    fn_service(move |request: ConnectInfo<R>| {
        let (resolver, guard) = (resolver.clone(), guard.clone());
        async move {
            let mut resolved = resolver.call(request).await?;
            if let Some(guard) = guard {
                resolved = allowed(resolved, &guard)?;
            }
            let connection = tcp.call(resolved).await?;
            connection
                .io_ref()
                .set_nodelay(true)
                .map_err(ConnectError::Io)?;
            Ok(connection)
        }
    })
}

/// Less the forbidden addresses. Looks at what will be connected to: an address in place of a name never comes to the names' resolver.
fn allowed<R: Host>(
    resolved: ConnectInfo<R>,
    guard: &Guard,
) -> Result<ConnectInfo<R>, ConnectError> {
    let allowed: Vec<SocketAddr> = resolved
        .addrs()
        .filter(|address| guard(address.ip()))
        .collect();
    if allowed.is_empty() {
        return Err(ConnectError::Resolver(
            "it leads to no address of the Internet".into(),
        ));
    }
    Ok(resolved.set_addrs(allowed))
}
