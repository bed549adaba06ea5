//! Response of an upstream: status, selected headers, and the body as received, decoded where the upstream compressed it although
//! it was asked not to. A truncated chunked body is indistinguishable from a complete one here; the dialect detects it.

use std::borrow::Cow;
use std::pin::Pin;
use std::time::{Duration, Instant};

use awc::error::PayloadError;
use awc::http::StatusCode;
use awc::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::error::TransportError;
use super::pools::PooledCall;
use crate::compression::{BodyDecoder, UnknownCoding};
use crate::domain::header_list::HeaderList;

type ChunkStream = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

/// A response whose head has been received.
pub struct IncomingResponse {
    pub status: u16,
    /// the selected headers, names in lower case
    pub headers: HeaderList,
    chunks: ChunkStream,
    /// bytes of the content-length not received yet
    outstanding: Option<u64>,
    decoder: Result<Option<BodyDecoder>, UnknownCoding>,
    _call: Option<PooledCall>,
}

impl IncomingResponse {
    pub(super) fn new<S>(
        response: awc::ClientResponse<S>,
        keep: impl Fn(&str) -> bool,
    ) -> IncomingResponse
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let headers = response
            .headers()
            .iter()
            .filter(|(name, _)| keep(name.as_str()))
            .filter_map(|(name, value)| {
                let name = match name.as_str() {
                    "content-type" => Cow::Borrowed("content-type"),
                    other => Cow::Owned(other.to_owned()),
                };
                Some((name, value.to_str().ok()?.to_owned()))
            });
        let coding = response.headers().get(CONTENT_ENCODING);
        let coding = coding.map_or("", |value| value.to_str().unwrap_or("?"));
        let decoder = BodyDecoder::of(coding);
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        IncomingResponse {
            status: response.status().as_u16(),
            headers: headers.collect(),
            decoder,
            outstanding: length.filter(|_| response.status() != StatusCode::NO_CONTENT),
            // awc panics if a body is polled after its end
            chunks: Box::pin(response.fuse()),
            _call: None,
        }
    }

    /// A response whose body is there.
    pub(super) fn of_bytes(status: u16, content_type: &str, body: Bytes) -> IncomingResponse {
        let chunks = futures_util::stream::once(std::future::ready(Ok(body)));
        IncomingResponse {
            status,
            headers: vec![("content-type".into(), content_type.to_owned())],
            chunks: Box::pin(chunks.fuse()),
            outstanding: None,
            decoder: Ok(None),
            _call: None,
        }
    }

    /// Ties the call at its pool to the response.
    pub(super) fn of(mut self, call: PooledCall) -> IncomingResponse {
        self._call = Some(call);
        self
    }

    /// Returns the next chunk, decoded, `None` at the end. Fails if no data arrives for `idle_ms`. Cancel-safe.
    pub async fn next(&mut self, idle_ms: u64) -> Result<Option<Bytes>, TransportError> {
        self.next_until(idle_ms, None).await
    }

    /// As [`Self::next`], but waits no longer than to the deadline: one timer serves both. The caller asks the clock which of them it
    /// was.
    pub async fn next_until(
        &mut self,
        idle_ms: u64,
        deadline: Option<Instant>,
    ) -> Result<Option<Bytes>, TransportError> {
        loop {
            let decoder = self.decoder.as_mut();
            let decoder = decoder.map_err(|error| TransportError::Exchange(error.to_string()))?;
            let undecodable = |error| TransportError::Exchange(format!("response is {error}"));
            if let Some(decoder) = decoder
                && let Some(piece) = decoder.next_piece().map_err(undecodable)?
            {
                return Ok(Some(piece));
            }
            let received = self.receive(idle_ms, deadline).await?;
            match (received, &mut self.decoder) {
                (Some(bytes), Ok(Some(decoder))) => decoder.push(bytes),
                (None, Ok(Some(decoder))) => {
                    let complete = decoder.finish();
                    return complete.map(|()| None).map_err(|error| {
                        TransportError::ConnectionLost(format!("response is {error}"))
                    });
                }
                (received, _) => return Ok(received),
            }
        }
    }

    /// Returns the next chunk as it comes.
    async fn receive(
        &mut self,
        idle_ms: u64,
        deadline: Option<Instant>,
    ) -> Result<Option<Bytes>, TransportError> {
        let mut wait = Duration::from_millis(idle_ms);
        if let Some(deadline) = deadline {
            wait = wait.min(deadline.saturating_duration_since(Instant::now()));
        }
        let next = tokio::time::timeout(wait, self.chunks.next());
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
            Some(Err(error)) => Err(TransportError::from_payload(&error)),
            None if self.outstanding.is_some_and(|outstanding| outstanding > 0) => Err(
                TransportError::ConnectionLost("body shorter than its content-length".into()),
            ),
            None => Ok(None),
        }
    }

    /// Reads the complete body. `on_progress` receives the bytes read so far, which a failed read does not return.
    pub async fn read_body(
        mut self,
        bytes_max: usize,
        idle_ms: u64,
        mut on_progress: impl FnMut(usize),
    ) -> Result<Bytes, TransportError> {
        let Some(first) = self.next(idle_ms).await? else {
            return Ok(Bytes::new());
        };
        let mut rest = BytesMut::new();
        let mut length = first.len();
        on_progress(length);
        while let Some(more) = self.next(idle_ms).await? {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&more);
            length += more.len();
            on_progress(length);
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
