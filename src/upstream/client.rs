//! One client per worker. It hands the body back as the bytes that came; whether they are whole is for the dialect to say,
//! since a chunked body that is cut off reads like one that ended.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{self as awc_connect, ConnectInfo, Connection};
use awc::Connector;
use awc::error::{ConnectError, SendRequestError};
use awc::http::StatusCode;
use awc::http::Uri;
use awc::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use crate::upstream::destination;
use crate::upstream::fetch::{FetchRules, Fetcher};

/// The certificates that upstreams are checked against, shared by all workers.
#[derive(Clone)]
pub struct TlsRoots(Arc<rustls::ClientConfig>);

impl TlsRoots {
    /// The roots compiled into the binary; HTTP/1.1 only.
    pub fn built_in() -> Result<TlsRoots, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsRoots(Arc::new(config)))
    }
}

/// A request as it goes out.
pub struct OutgoingRequest<'a> {
    pub url: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: Bytes,
    /// until the response head
    pub head_timeout_ms: u64,
}

/// How a call failed, in words without an address or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("the connection could not be made: {0}")]
    Connect(String),
    #[error("no answer within {0} ms")]
    HeadTimeout(u64),
    #[error("nothing came for {0} ms")]
    IdleTimeout(u64),
    #[error("it was not whole within {0} ms")]
    CallTimeout(u64),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the request could not be formed: {0}")]
    Malformed(String),
}

/// Not `Send`: a client belongs to the thread that made it.
#[derive(Clone)]
pub struct Client {
    calls: Rc<RefCell<awc::Client>>,
    /// one with no connection open
    fresh: Rc<dyn Fn() -> awc::Client>,
    fetcher: Option<Fetcher>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, awc::error::PayloadError>>>>;

/// A response whose head has come.
pub struct IncomingResponse {
    pub status: u16,
    /// the headers that were asked for, names in lower case
    pub headers: Vec<(String, String)>,
    chunks: Chunks,
    /// bytes that the head promised and that have not come yet
    outstanding: Option<u64>,
}

impl Client {
    /// `fetching`: what may be fetched for a client, if anything may.
    pub fn new(roots: &TlsRoots, connect_timeout_ms: u64, fetching: Option<&FetchRules>) -> Client {
        let fetcher = fetching.map(|fetching| Fetcher::new(roots, connect_timeout_ms, fetching));
        let roots = roots.clone();
        let fresh = move || {
            let connector = Connector::new().connector(destination::connector());
            client_over(connector, &roots, Duration::from_millis(connect_timeout_ms))
        };
        Client {
            calls: Rc::new(RefCell::new(fresh())),
            fresh: Rc::new(fresh),
            fetcher,
        }
    }

    /// Fetches what clients name, if the operator lets it.
    pub fn fetcher(&self) -> Option<&Fetcher> {
        self.fetcher.as_ref()
    }

    /// Sends a POST and waits for the response head. `keep` chooses the response headers that are handed back.
    pub async fn post(
        &self,
        outgoing: OutgoingRequest<'_>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<IncomingResponse, TransportError> {
        let malformed = |what: &str| TransportError::Malformed(what.to_owned());
        let request = self.calls.borrow().post(outgoing.url);
        let mut request = request
            .no_decompress()
            .timeout(Duration::from_millis(outgoing.head_timeout_ms));
        for (name, value) in &outgoing.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| malformed("a header name is not valid"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| malformed("a header value is not valid"))?;
            request.headers_mut().append(name, value);
        }
        let response = request
            .send_body(outgoing.body)
            .await
            .map_err(|error| TransportError::of(&error, outgoing.head_timeout_ms))?;
        let status = response.status();
        if is_without_body(status) {
            // awc keeps the connection, and whatever comes late on it would be the answer to whoever has it next
            self.calls.replace((self.fresh)());
        }
        if status.is_informational() {
            return Err(TransportError::Broken(format!(
                "it answered {}, and the answer itself was not waited for",
                status.as_u16()
            )));
        }
        Ok(IncomingResponse::new(response, keep))
    }
}

/// Heads that are no answers yet, and those after which no body comes: rare enough to begin with new connections.
fn is_without_body(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}

impl IncomingResponse {
    pub(super) fn new<S>(
        response: awc::ClientResponse<S>,
        keep: impl Fn(&str) -> bool,
    ) -> IncomingResponse
    where
        S: Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin + 'static,
    {
        let headers = response
            .headers()
            .iter()
            .filter(|(name, _)| keep(name.as_str()))
            .filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            });
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        IncomingResponse {
            status: response.status().as_u16(),
            headers: headers.collect(),
            outstanding: length.filter(|_| response.status() != StatusCode::NO_CONTENT),
            // awc panics when a body is asked for more after its end
            chunks: Box::pin(response.fuse()),
        }
    }

    /// The next bytes, `None` at the end. Silence for longer than `idle_ms` is a failure.
    pub async fn next(&mut self, idle_ms: u64) -> Result<Option<Bytes>, TransportError> {
        let next = tokio::time::timeout(Duration::from_millis(idle_ms), self.chunks.next());
        match next
            .await
            .map_err(|_| TransportError::IdleTimeout(idle_ms))?
        {
            Some(Ok(bytes)) => {
                self.outstanding = self
                    .outstanding
                    .map(|outstanding| outstanding.saturating_sub(bytes.len() as u64));
                Ok(Some(bytes))
            }
            Some(Err(error)) => Err(TransportError::Broken(error.to_string())),
            None if self.outstanding.is_some_and(|outstanding| outstanding > 0) => Err(
                TransportError::Broken("it ended before the promised length".into()),
            ),
            None => Ok(None),
        }
    }

    /// The whole body. Tells `came` how many bytes there are so far: if it never becomes whole, nobody else knows.
    pub async fn whole(
        mut self,
        bytes_max: usize,
        idle_ms: u64,
        mut came: impl FnMut(usize),
    ) -> Result<Bytes, TransportError> {
        let Some(first) = self.next(idle_ms).await? else {
            return Ok(Bytes::new());
        };
        let mut rest = BytesMut::new();
        let mut length = first.len();
        came(length);
        while let Some(more) = self.next(idle_ms).await? {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&more);
            length += more.len();
            came(length);
            if length > bytes_max {
                return Err(TransportError::TooLarge(bytes_max));
            }
        }
        Ok(if rest.is_empty() {
            first
        } else {
            rest.freeze()
        })
    }
}

/// HTTP/1.1 only, no redirects, no headers of its own, no time-out but those that are named.
pub(super) fn client_over<S>(
    connector: Connector<S>,
    roots: &TlsRoots,
    connect_timeout: Duration,
) -> awc::Client
where
    S: Service<
            ConnectInfo<Uri>,
            Response = Connection<Uri, TcpStream>,
            Error = awc_connect::ConnectError,
        > + Clone
        + 'static,
{
    let connector = connector
        .rustls_0_23(roots.0.clone())
        .timeout(connect_timeout)
        .handshake_timeout(connect_timeout)
        // the gateway admits; here nothing may queue unseen
        .limit(0);
    awc::Client::builder()
        .connector(connector)
        .max_http_version(awc::http::Version::HTTP_11)
        .disable_redirects()
        .no_default_headers()
        .disable_timeout()
        .finish()
}

impl TransportError {
    pub(super) fn of(error: &SendRequestError, head_timeout_ms: u64) -> TransportError {
        match error {
            SendRequestError::Timeout => TransportError::HeadTimeout(head_timeout_ms),
            // awc's word for a connection that closes after the request was sent: it may have been heard
            SendRequestError::Connect(ConnectError::Disconnected) => {
                TransportError::Broken("it was closed before the answer".into())
            }
            SendRequestError::Connect(ConnectError::Timeout) => {
                TransportError::Connect("no connection within the time allowed".into())
            }
            SendRequestError::Connect(error) => TransportError::Connect(error.to_string()),
            SendRequestError::Url(error) => TransportError::Malformed(error.to_string()),
            error => TransportError::Broken(error.to_string()),
        }
    }
}
