//! Connectors: resolve a host name and open a TCP connection with `TCP_NODELAY`. Must never use getaddrinfo, because a
//! static binary cannot load the system's name-service modules.

use std::cell::OnceCell;
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

/// DNS resolver with the system's name servers, which are read on the first lookup.
struct DnsResolver(OnceCell<Option<TokioResolver>>);

impl DnsResolver {
    fn resolver(&self) -> Option<&TokioResolver> {
        self.0
            .get_or_init(|| {
                let (config, options) = read_system_conf().unwrap_or_else(|error| {
                    tracing::warn!(%error, "resolver settings unreadable; only IP addresses and hosts entries resolve");
                    (ResolverConfig::default(), ResolverOpts::default())
                });
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build().ok()
            })
            .as_ref()
    }
}

impl Resolve for DnsResolver {
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
            let resolver = self.resolver().ok_or("failed to set up the resolver")?;
            let found = resolver.lookup_ip(host).await?;
            Ok(found
                .iter()
                .map(|address| SocketAddr::new(address, port))
                .collect())
        })
    }
}

/// Predicate: true for addresses that may be connected to.
pub(super) type AddressGuard = Rc<dyn Fn(IpAddr) -> bool>;

/// Connector for configured providers; one per worker.
pub(super) fn connector<R: Host + 'static>()
-> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    guarded_by(None)
}

/// Connector for URLs chosen by clients.
pub(super) fn guarded_connector<R: Host + 'static>(
    guard: AddressGuard,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    guarded_by(Some(guard))
}

fn guarded_by<R: Host + 'static>(
    guard: Option<AddressGuard>,
) -> impl Service<ConnectInfo<R>, Response = Connection<R, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    let resolver = Rc::new(Resolver::custom(DnsResolver(OnceCell::new())).service());
    let tcp = TcpConnectorService::default();
    fn_service(move |request: ConnectInfo<R>| {
        let (resolver, guard) = (resolver.clone(), guard.clone());
        async move {
            let mut resolved = resolver.call(request).await?;
            if let Some(guard) = guard {
                resolved = retain_allowed(resolved, &guard)?;
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

/// Removes forbidden addresses. Checks the resolved addresses, because a literal address bypasses the resolver.
fn retain_allowed<R: Host>(
    resolved: ConnectInfo<R>,
    guard: &AddressGuard,
) -> Result<ConnectInfo<R>, ConnectError> {
    let allowed: Vec<SocketAddr> = resolved
        .addrs()
        .filter(|address| guard(address.ip()))
        .collect();
    if allowed.is_empty() {
        return Err(ConnectError::Resolver("host has no public address".into()));
    }
    Ok(resolved.set_addrs(allowed))
}
