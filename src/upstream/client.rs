//! Client of the upstreams, one per worker: sends a POST and returns the response head with an unread body. Must never
//! change a byte of the body or follow a redirect.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use awc::Connector;
use awc::http::header::{HeaderName, HeaderValue};
use awc::http::{Method, StatusCode};
use bytes::Bytes;

use super::address;
use super::connection::{ClientTls, TlsFileError, build_client};
use super::destination;
use super::error::{ConnectCause, TransportError};
use super::fetch::{FetchRules, Fetcher};
use super::pools::{PooledCall, Pools};
use super::request_body;
use super::response::IncomingResponse;
use super::script::Script;
use crate::dialect::{Dialect, Framing};
use crate::domain::egress::{ConnectionConfig, EgressConfig};
use crate::domain::network::Network;

/// A request to an upstream.
pub struct OutgoingRequest<'a> {
    pub url: &'a str,
    pub connection: &'a ConnectionConfig,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: Bytes,
    /// until the head of the response
    pub head_timeout_ms: u64,
}

/// Time after which an idle connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(15);

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
            .map(|(rules, tls)| Fetcher::new(&tls, egress.connect_timeout, rules));
        Client {
            egress: egress.clone(),
            pools: Pools::new(IDLE_MAX),
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

    /// Response of the script, if there is one and it answers for the deployment.
    pub fn scripted(
        &self,
        deployment: &str,
        wire: (Dialect, Framing),
    ) -> Option<Result<IncomingResponse, TransportError>> {
        let answer = self.script.as_ref()?.answer(deployment, wire)?;
        Some(answer.map(IncomingResponse::from))
    }

    /// The client of a destination, made at its first call.
    fn client_for(
        &self,
        destination: &ConnectionConfig,
        url: &str,
    ) -> Result<(awc::Client, PooledCall), TransportError> {
        let load = || ClientTls::load(&self.egress.config, destination);
        let build = |tls: &ClientTls| {
            let private: Rc<[Network]> = destination.private_hosts.as_slice().into();
            let guard = move |host: &str, at: IpAddr| address::is_permitted_for(host, at, &private);
            let proxy = self.egress.config.proxy.clone().map(Rc::new);
            let connector =
                Connector::new().connector(destination::connector(Rc::new(guard), proxy));
            let connector = connector.conn_keep_alive(IDLE_MAX);
            let own = destination.connect_timeout_ms.map(Duration::from_millis);
            build_client(connector, tls, own.unwrap_or(self.egress.connect_timeout))
        };
        let begun = self.pools.begin(destination, url, load, build);
        begun.map_err(|error| TransportError::Connect {
            cause: ConnectCause::Tls,
            text: error.to_string(),
        })
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
        self.send(Method::POST, outgoing, keep).await
    }

    /// Sends a GET, for documents of an issuer.
    pub async fn get(
        &self,
        outgoing: OutgoingRequest<'_>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<IncomingResponse, TransportError> {
        self.send(Method::GET, outgoing, keep).await
    }

    async fn send(
        &self,
        method: Method,
        outgoing: OutgoingRequest<'_>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<IncomingResponse, TransportError> {
        let malformed = |cause: &str| TransportError::Malformed(cause.to_owned());
        let (client, call) = self.client_for(outgoing.connection, outgoing.url)?;
        let mut request = client
            .request(method, outgoing.url)
            .no_decompress()
            .timeout(Duration::from_millis(outgoing.head_timeout_ms));
        for (name, value) in &outgoing.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| malformed("invalid header name"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| malformed("invalid header value"))?;
            request.headers_mut().append(name, value);
        }
        let response = request
            .send_body(request_body::outgoing(outgoing.body))
            .await
            .map_err(|error| TransportError::from_send(&error, outgoing.head_timeout_ms))?;
        let status = response.status();
        if is_without_body(status) {
            // awc reuses the connection, and late bytes on it would be read as the response to the next request
            self.pools.discard(outgoing.connection, outgoing.url);
        }
        if status.is_informational() {
            return Err(TransportError::Exchange(format!(
                "unsupported informational response {}",
                status.as_u16()
            )));
        }
        Ok(IncomingResponse::new(response, keep).of(call))
    }
}

/// Informational heads and heads without a body: rare enough to discard all connections.
fn is_without_body(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}
