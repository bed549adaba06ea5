//! Client of the upstreams, one per worker: sends a request and returns the response head with an unread body. Must never
//! change a byte of the body, follow a redirect, or send a request twice of which the upstream may have answered a byte.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::address;
use super::body::BodyReader;
use super::connect::{HeadDeadline, connect};
use super::connection::Connection;
use super::error::{ConnectCause, TransportError};
use super::exchange::{EncodedRequest, ExchangeFailure, exchange};
use super::fetch::{FetchRules, Fetcher};
use super::pools::{Origin, Pools};
use super::request_head::{Method, Persistence, encode};
use super::request_url::RequestUrl;
use super::response::IncomingResponse;
use super::response_head::HeaderFilter;
use super::script::Script;
use super::shelf::IdleLimits;
use super::tls::{ClientTls, TlsFileError};
use crate::dialect::{Dialect, Framing};
use crate::domain::egress::{ConnectionConfig, EgressConfig};

/// A request to an upstream.
pub struct OutgoingRequest<'a> {
    pub url: &'a str,
    pub connection: &'a ConnectionConfig,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: Bytes,
    /// until the head of the response
    pub head_timeout_ms: u64,
}

/// Bounds of idle connections of one worker.
const IDLE_LIMITS: IdleLimits = IdleLimits {
    idle_max: Duration::from_secs(15),
    lifetime_max: Duration::from_secs(75),
    count_max: 1_024,
};

/// Longest time between a request on a reused connection and the connection's end for which the end is taken for that of an idle
/// connection: the upstream closed it when the request was on its way. An upstream that ends it later may have worked for the answer.
const STALE_MAX: Duration = Duration::from_secs(1);

/// Settings of outgoing connections, checked once and shared by the clients of all workers.
#[derive(Clone)]
pub struct Egress {
    config: Arc<EgressConfig>,
    connect_timeout: Duration,
}

impl Egress {
    /// Reads the files of the settings, and those of every destination that is known at the start.
    pub fn open<'a>(
        config: &EgressConfig,
        connect_timeout_ms: u64,
        destinations: impl IntoIterator<Item = &'a ConnectionConfig>,
    ) -> Result<Egress, TlsFileError> {
        ClientTls::load(config, &ConnectionConfig::default())?;
        for destination in destinations {
            ClientTls::load(config, destination)?;
        }
        Ok(Egress {
            config: Arc::new(config.clone()),
            connect_timeout: Duration::from_millis(connect_timeout_ms),
        })
    }
}

/// Client of one worker thread; not `Send`.
#[derive(Clone)]
pub struct Client {
    egress: Egress,
    pools: Rc<Pools>,
    fetcher: Option<Fetcher>,
    script: Option<Rc<dyn Script>>,
}

impl Client {
    /// `fetch_rules` is `None` if the operator does not allow fetching.
    pub fn new(egress: &Egress, fetch_rules: Option<&FetchRules>) -> Client {
        let default = ClientTls::load(&egress.config, &ConnectionConfig::default());
        let fetcher = fetch_rules
            .zip(default.ok())
            .map(|(rules, tls)| Fetcher::new(tls, egress.connect_timeout, rules));
        Client {
            egress: egress.clone(),
            pools: Pools::new(egress.config.clone(), IDLE_LIMITS),
            fetcher,
            script: None,
        }
    }

    /// The client with a script, which answers before a connection is made.
    #[must_use]
    pub fn with_script(&self, script: Rc<dyn Script>) -> Client {
        Client {
            script: Some(script),
            ..self.clone()
        }
    }

    /// Response of the script, if there is one and it answers for the deployment, which is named for it only.
    pub fn scripted(
        &self,
        deployment: impl FnOnce() -> String,
        wire: (Dialect, Framing),
    ) -> Option<Result<IncomingResponse, TransportError>> {
        let answer = self.script.as_ref()?.answer(&deployment(), wire)?;
        Some(answer.map(IncomingResponse::from))
    }

    /// Returns the fetcher of images by URL, if the operator allows fetching.
    pub fn fetcher(&self) -> Option<&Fetcher> {
        self.fetcher.as_ref()
    }

    /// Sends a POST and waits for the response head. `keep` selects the response headers to return.
    pub async fn post(
        &self,
        outgoing: OutgoingRequest<'_>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<IncomingResponse, TransportError> {
        self.send(Method::Post, &outgoing, &keep).await
    }

    /// Sends a GET, for documents of an issuer.
    pub async fn get(
        &self,
        outgoing: OutgoingRequest<'_>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<IncomingResponse, TransportError> {
        self.send(Method::Get, &outgoing, &keep).await
    }

    async fn send(
        &self,
        method: Method,
        outgoing: &OutgoingRequest<'_>,
        keep: HeaderFilter<'_>,
    ) -> Result<IncomingResponse, TransportError> {
        let invalid = || TransportError::malformed("invalid URL");
        let url = RequestUrl::parse(outgoing.url).ok_or_else(invalid)?;
        let (headers, bytes) = (&outgoing.headers, outgoing.body.len());
        let request = EncodedRequest {
            head: encode(method, &url, headers, bytes, Persistence::KeepAlive)?,
            body: outgoing.body.clone(),
        };
        let origin = self.pools.origin(outgoing.connection, url.origin);
        let origin = origin.map_err(|error| TransportError::Connect {
            cause: ConnectCause::Tls,
            text: error.to_string(),
        })?;
        let deadline = HeadDeadline::after(outgoing.head_timeout_ms);
        let mut stale = None;
        if let Some(reused) = origin.shelf.take() {
            let sent_at = Instant::now();
            match exchange_on(reused, &origin, &request, deadline, keep).await {
                Err(ExchangeFailure::Closed(error)) if sent_at.elapsed() < STALE_MAX => {
                    stale = Some(error);
                }
                result => return result.map_err(TransportError::from),
            }
        }
        // boxed, because most requests find a connection
        let opened = Box::pin(self.open(&origin, &url, outgoing.connection, deadline));
        // the lost request may have been read, so a failure to connect again does not mean that none was
        let connection = opened.await.map_err(|error| stale.unwrap_or(error))?;
        let result = exchange_on(connection, &origin, &request, deadline, keep).await;
        result.map_err(TransportError::from)
    }

    async fn open(
        &self,
        origin: &Origin,
        url: &RequestUrl<'_>,
        settings: &ConnectionConfig,
        deadline: HeadDeadline,
    ) -> Result<Box<Connection>, TransportError> {
        let private = &settings.private_hosts;
        let guard = |host: &str, at: IpAddr| address::is_permitted_for(host, at, private);
        let own = settings.connect_timeout_ms.map(Duration::from_millis);
        let timeout = own.unwrap_or(self.egress.connect_timeout);
        connect(
            &origin.dialer,
            &origin.tls,
            url,
            &guard,
            (timeout, deadline),
        )
        .await
    }
}

/// One exchange, whose body returns the connection to its pool.
async fn exchange_on(
    mut connection: Box<Connection>,
    origin: &Rc<Origin>,
    request: &EncodedRequest,
    deadline: HeadDeadline,
    keep: HeaderFilter<'_>,
) -> Result<IncomingResponse, ExchangeFailure> {
    let (head, unsent) = exchange(&mut connection, request, deadline, keep).await?;
    let shelf = head.persistent.then(|| origin.shelf.clone());
    let body = BodyReader::new(connection, head.length, shelf, unsent);
    Ok(IncomingResponse::new(head, body))
}
