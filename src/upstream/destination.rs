//! Connector: resolves a host name, checks the addresses, and opens a TCP connection with `TCP_NODELAY`, through a proxy if one is
//! configured. Must never use getaddrinfo, because a
//! static binary cannot load the system's name-service modules.

use std::cell::OnceCell;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use actix_rt::net::TcpStream;
use actix_service::{Service, fn_service};
use actix_tls::connect::tcp::TcpConnectorService;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Resolve, Resolver};
use awc::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::LocalBoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::domain::egress::Proxy;

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

/// Addresses of a host, by the same resolver as every call; the reason if there is none.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let resolver = DnsResolver(OnceCell::new());
    let found = resolver.lookup(host, port).await;
    match found {
        Ok(found) if found.is_empty() => Err("the name has no address".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// Predicate: true for addresses that a host may be reached at.
pub(super) type AddressGuard = Rc<dyn Fn(&str, IpAddr) -> bool>;

/// Connector of one worker. The guard checks resolved addresses, because a literal address bypasses the resolver. Through a proxy
/// the proxy resolves names; only addresses written in the URL are checked then.
pub(super) fn connector(
    guard: AddressGuard,
    proxy: Option<Rc<Proxy>>,
) -> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, TcpStream>, Error = ConnectError>
+ Clone
+ 'static {
    let resolver = Rc::new(Resolver::custom(DnsResolver(OnceCell::new())).service());
    let tcp = TcpConnectorService::default();
    fn_service(move |request: ConnectInfo<Uri>| {
        let (resolver, guard, proxy) = (resolver.clone(), guard.clone(), proxy.clone());
        async move {
            let host = request.hostname().to_owned();
            let tunnel = proxy.filter(|proxy| !proxy.bypasses(&host));
            let resolved = match &tunnel {
                Some(proxy) => {
                    refuse_written_address(&host, &guard)?;
                    let proxy = ConnectInfo::new(proxy.authority.clone());
                    let addresses: Vec<SocketAddr> = resolver.call(proxy).await?.addrs().collect();
                    let port = request.port();
                    request.set_addrs(addresses).set_port(port)
                }
                None => retain_permitted(resolver.call(request).await?, &host, &guard)?,
            };
            let port = resolved.port();
            let mut connection = tcp.call(resolved).await?;
            connection
                .io_ref()
                .set_nodelay(true)
                .map_err(ConnectError::Io)?;
            if let Some(proxy) = tunnel {
                open_tunnel(connection.io_mut(), &proxy, &host, port)
                    .await
                    .map_err(ConnectError::Io)?;
            }
            Ok(connection)
        }
    })
}

/// Removes forbidden addresses.
fn retain_permitted(
    resolved: ConnectInfo<Uri>,
    host: &str,
    guard: &AddressGuard,
) -> Result<ConnectInfo<Uri>, ConnectError> {
    let permitted: Vec<SocketAddr> = resolved
        .addrs()
        .filter(|address| guard(host, address.ip()))
        .collect();
    if permitted.is_empty() {
        return Err(forbidden());
    }
    Ok(resolved.set_addrs(permitted))
}

fn refuse_written_address(host: &str, guard: &AddressGuard) -> Result<(), ConnectError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
    match literal {
        Ok(address) if !guard(host, address) => Err(forbidden()),
        _ => Ok(()),
    }
}

fn forbidden() -> ConnectError {
    ConnectError::Resolver(
        "host has no permitted address; a private one needs private_hosts, a link-local one is never permitted".into(),
    )
}

/// Longest head of a proxy's answer.
const PROXY_HEAD_BYTES: usize = 8 * 1024;

/// Asks the proxy for a connection to the host. The caller bounds the time.
async fn open_tunnel(
    stream: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n");
    if let Some(credential) = &proxy.credential {
        let encoded = STANDARD.encode(credential.expose());
        head += &format!("proxy-authorization: Basic {encoded}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_HEAD_BYTES {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        // byte by byte: what follows the head belongs to the destination
        answer.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(()),
        "407" => Err(io::Error::other(
            "the proxy wants a user and password (407); set proxy_user and proxy_password",
        )),
        status => Err(io::Error::other(format!(
            "the proxy refused the connection with status {status}"
        ))),
    }
}
