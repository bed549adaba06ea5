//! Client of the upstreams, one per worker: sends a POST and returns the response head with an unread body. Must never
//! change a byte of the body or follow a redirect.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use awc::Connector;
use awc::http::StatusCode;
use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

use super::connection::{TlsRoots, build_client};
use super::destination;
use super::error::TransportError;
use super::fetch::{FetchRules, Fetcher};
use super::response::IncomingResponse;

/// A request to an upstream.
pub struct OutgoingRequest<'a> {
    pub url: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: Bytes,
    /// until the head of the response
    pub head_timeout_ms: u64,
}

/// Client of one worker thread; not `Send`.
#[derive(Clone)]
pub struct Client {
    client: Rc<RefCell<awc::Client>>,
    /// builds a client without open connections
    new_client: Rc<dyn Fn() -> awc::Client>,
    fetcher: Option<Fetcher>,
}

impl Client {
    /// `fetch_rules` is `None` if the operator does not allow fetching.
    pub fn new(
        roots: &TlsRoots,
        connect_timeout_ms: u64,
        fetch_rules: Option<&FetchRules>,
    ) -> Client {
        let fetcher = fetch_rules.map(|rules| Fetcher::new(roots, connect_timeout_ms, rules));
        let roots = roots.clone();
        let new_client = move || {
            let connector = Connector::new().connector(destination::connector());
            build_client(connector, &roots, Duration::from_millis(connect_timeout_ms))
        };
        Client {
            client: Rc::new(RefCell::new(new_client())),
            new_client: Rc::new(new_client),
            fetcher,
        }
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
        let malformed = |cause: &str| TransportError::Malformed(cause.to_owned());
        let request = self.client.borrow().post(outgoing.url);
        let mut request = request
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
            .send_body(outgoing.body)
            .await
            .map_err(|error| TransportError::from_send(&error, outgoing.head_timeout_ms))?;
        let status = response.status();
        if is_without_body(status) {
            // awc reuses the connection, and late bytes on it would be read as the response to the next request
            self.client.replace((self.new_client)());
        }
        if status.is_informational() {
            return Err(TransportError::Exchange(format!(
                "unsupported informational response {}",
                status.as_u16()
            )));
        }
        Ok(IncomingResponse::new(response, keep))
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
