//! Response of an upstream: status, selected headers, and the body as received, decoded where the upstream compressed it although
//! it was asked not to.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::body::BodyReader;
use super::connect::in_ms;
use super::error::TransportError;
use super::response_head::ResponseHead;
use crate::compression::{BodyDecoder, UnknownCoding};
use crate::domain::header_list::HeaderList;

/// A response whose head has been received.
pub struct IncomingResponse {
    pub status: u16,
    /// the selected headers, names in lower case
    pub headers: HeaderList,
    body: BodySource,
    decoder: Result<Option<BodyDecoder>, UnknownCoding>,
}

enum BodySource {
    Connection(BodyReader),
    /// a body that is there, until it is read
    Memory(Option<Bytes>),
}

impl BodySource {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, TransportError>> {
        match self {
            BodySource::Connection(reader) => reader.poll_next(context),
            BodySource::Memory(body) => Poll::Ready(Ok(body.take())),
        }
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        match self {
            BodySource::Connection(reader) => reader.poll_elapsed(context, until),
            BodySource::Memory(_) => Poll::Pending,
        }
    }
}

impl IncomingResponse {
    pub(super) fn new(head: ResponseHead, body: BodyReader) -> IncomingResponse {
        IncomingResponse {
            status: head.status,
            headers: head.headers,
            body: BodySource::Connection(body),
            decoder: BodyDecoder::of(head.coding.as_deref().unwrap_or_default()),
        }
    }

    /// A response whose body is there.
    pub(super) fn of_bytes(status: u16, content_type: &str, body: Bytes) -> IncomingResponse {
        let mut headers = HeaderList::default();
        headers.push("content-type", content_type);
        IncomingResponse {
            status,
            headers,
            body: BodySource::Memory(Some(body)),
            decoder: Ok(None),
        }
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
        let mut until = None;
        poll_fn(|context| {
            if let Poll::Ready(received) = self.body.poll_next(context) {
                return Poll::Ready(received);
            }
            let until = *until.get_or_insert_with(|| {
                let idle = in_ms(idle_ms);
                deadline.map_or(idle, |deadline| deadline.min(idle))
            });
            let elapsed = self.body.poll_elapsed(context, until);
            elapsed.map(|()| Err(TransportError::IdleTimeout(idle_ms)))
        })
        .await
    }

    /// Reads the complete body. `on_progress` receives the bytes read so far, which a failed read does not return.
    pub async fn read_body(
        mut self,
        bytes_max: usize,
        idle_ms: u64,
        on_progress: impl FnMut(usize),
    ) -> Result<Bytes, TransportError> {
        let read = self.read_body_until(bytes_max, idle_ms, None, on_progress);
        read.await
    }

    /// As [`Self::read_body`], but reads no longer than to the deadline. The caller asks the clock which wait it was.
    pub async fn read_body_until(
        &mut self,
        bytes_max: usize,
        idle_ms: u64,
        deadline: Option<Instant>,
        mut on_progress: impl FnMut(usize),
    ) -> Result<Bytes, TransportError> {
        let Some(first) = self.next_until(idle_ms, deadline).await? else {
            return Ok(Bytes::new());
        };
        let mut rest = BytesMut::new();
        let mut length = first.len();
        on_progress(length);
        while let Some(more) = self.next_until(idle_ms, deadline).await? {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&more);
            length += more.len();
            on_progress(length);
            if length > bytes_max {
                return Err(TransportError::TooLarge(bytes_max));
            }
            // an upstream that always has more to send never waits
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(TransportError::IdleTimeout(idle_ms));
            }
        }
        Ok(if rest.is_empty() {
            first
        } else {
            rest.freeze()
        })
    }
}
