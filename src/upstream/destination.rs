//! Dialer: resolves a host name, checks the addresses, and opens a TCP connection with `TCP_NODELAY`, through a proxy if one is
//! configured. Must never use getaddrinfo, because a static binary cannot load the system's name-service modules.

use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::TransportError;
use super::request_url::RequestUrl;
use crate::domain::egress::Proxy;

/// Longest time for which a name without an address is not asked for again: a zone may say an hour, and its outage would last as long.
const NEGATIVE_MAX: Duration = Duration::from_secs(5);

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
                bounded_resolver(config, options, NEGATIVE_MAX)
            })
            .as_ref()
    }
}

/// Resolver that asks again for a name without an address after a bounded time.
fn bounded_resolver(
    config: ResolverConfig,
    mut options: ResolverOpts,
    negative_max: Duration,
) -> Option<TokioResolver> {
    options.negative_max_ttl = Some(negative_max);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().ok()
}

impl DnsResolver {
    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let resolver = self.resolver().ok_or("failed to set up the resolver")?;
        let found = resolver.lookup_ip(host).await;
        let found = found.map_err(|error| error.to_string())?;
        let addresses = found.iter().map(|address| SocketAddr::new(address, port));
        match addresses.collect::<Vec<_>>() {
            none if none.is_empty() => Err("the name has no address".to_owned()),
            some => Ok(some),
        }
    }
}

/// Addresses of a host, by the same resolver as every call; the reason if there is none.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    DnsResolver(OnceCell::new()).look_up(host, port).await
}

/// Predicate: true for addresses that a host may be reached at.
pub(super) type AddressGuard<'a> = &'a dyn Fn(&str, IpAddr) -> bool;

/// Dialer of TCP connections.
pub(super) struct Dialer {
    resolver: DnsResolver,
    proxy: Option<Proxy>,
}

impl Dialer {
    pub fn new(proxy: Option<Proxy>) -> Dialer {
        Dialer {
            resolver: DnsResolver(OnceCell::new()),
            proxy,
        }
    }

    /// Opens a connection. The guard checks resolved addresses; through a proxy the proxy resolves names, and only addresses written in
    /// the URL are checked. The caller bounds the time.
    pub async fn dial(
        &self,
        url: &RequestUrl<'_>,
        guard: AddressGuard<'_>,
    ) -> Result<TcpStream, TransportError> {
        let (host, port) = (url.host, url.port_or_default());
        let tunnel = self.proxy.as_ref().filter(|proxy| !proxy.bypasses(host));
        let Some(proxy) = tunnel else {
            let found = self.resolver.look_up(host, port).await;
            let found = found.map_err(TransportError::unresolved)?;
            return open(&retain_permitted(found, host, guard)?).await;
        };
        refuse_written_address(host, guard)?;
        let (proxy_host, proxy_port) = proxy.authority.rsplit_once(':').unwrap_or_default();
        let proxy_port = proxy_port.parse().unwrap_or(80);
        let found = self.resolver.look_up(proxy_host, proxy_port).await;
        let mut stream = open(&found.map_err(TransportError::unresolved)?).await?;
        let opened = open_tunnel(&mut stream, proxy, host, port).await;
        opened.map_err(|error| TransportError::unconnected(&error))?;
        Ok(stream)
    }
}

async fn open(addresses: &[SocketAddr]) -> Result<TcpStream, TransportError> {
    let opened = async {
        let stream = connect_any(addresses).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    opened
        .await
        .map_err(|error: io::Error| TransportError::unconnected(&error))
}

/// Connection to the first address that accepts it.
pub(super) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Removes forbidden addresses.
fn retain_permitted(
    mut found: Vec<SocketAddr>,
    host: &str,
    guard: AddressGuard<'_>,
) -> Result<Vec<SocketAddr>, TransportError> {
    found.retain(|address| guard(host, address.ip()));
    if found.is_empty() {
        return Err(forbidden());
    }
    Ok(found)
}

fn refuse_written_address(host: &str, guard: AddressGuard<'_>) -> Result<(), TransportError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
    match literal {
        Ok(address) if !guard(host, address) => Err(forbidden()),
        _ => Ok(()),
    }
}

fn forbidden() -> TransportError {
    TransportError::unresolved(
        "host has no permitted address; a private one needs private_hosts, a link-local one is never permitted".to_owned(),
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig};

    use super::*;

    /// Answers queries: that the name does not exist, to be believed for an hour, or with 127.0.0.1.
    fn serve(socket: UdpSocket, exists: Arc<AtomicBool>) {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let mut end = 12;
            while query[end] != 0 {
                end += usize::from(query[end]) + 1;
            }
            let question = &query[12..end + 5];
            let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
            let exists = exists.load(Ordering::SeqCst);
            let flags = if exists { [0x81, 0x80] } else { [0x81, 0x83] };
            let (answers, authorities) = (u8::from(exists && is_a), u8::from(!exists));
            let mut answer = query[..2].to_vec();
            answer.extend(flags);
            answer.extend([0, 1, 0, answers, 0, authorities, 0, 0]);
            answer.extend(question);
            if exists && is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            if !exists {
                // SOA with a minimum of 3,600 s
                answer.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0]);
                answer.extend([0; 16]);
                answer.extend([0, 0, 0x0e, 0x10]);
            }
            assert!(length >= end);
            let _ = socket.send_to(&answer, from);
        }
    }

    #[test]
    fn name_whose_zone_heals_resolves_again_however_long_its_absence_may_be_kept() {
        actix_rt::System::new().block_on(async {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
            connection.port = socket.local_addr().expect("bound").port();
            let exists = Arc::new(AtomicBool::new(false));
            let server = exists.clone();
            std::thread::spawn(move || serve(socket, server));
            let address = IpAddr::from([127, 0, 0, 1]);
            let server = NameServerConfig::new(address, true, vec![connection]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let negative_max = Duration::from_millis(100);
            let resolver = bounded_resolver(config, ResolverOpts::default(), negative_max);
            let resolver = resolver.expect("a resolver");
            let found = |found: Result<_, _>| {
                let found: hickory_resolver::lookup_ip::LookupIp = found.ok()?;
                found.iter().next()
            };
            assert_eq!(found(resolver.lookup_ip("model.test.").await), None);
            exists.store(true, Ordering::SeqCst);
            let deadline = Instant::now() + Duration::from_secs(60);
            while found(resolver.lookup_ip("model.test.").await) != Some(address) {
                assert!(Instant::now() < deadline, "the name does not resolve again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}
