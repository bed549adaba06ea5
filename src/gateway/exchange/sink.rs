//! Destination of relayed events: a buffer until the first content, with or without a client that waits for it, the client's body, or
//! nothing once the client is gone.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::gateway::body_stream::BodySender;

/// Events without content are buffered until the first content, but no longer than this after the upstream's head.
const BUFFER_TIME: Duration = Duration::from_secs(2);
/// Bound of the buffered events.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Destination of the events that the relay loop reads.
pub(super) enum Sink {
    /// events without content, while an error can still replace the response
    Buffer {
        until: Instant,
        bytes: BytesMut,
    },
    /// the same for a client that has the head of the reply
    Early {
        client: BodySender,
        bytes: BytesMut,
    },
    Client(BodySender),
    /// the client is gone; the upstream is read for its usage only
    Discard,
}

/// Reason why a sink takes no more.
pub(super) enum SinkEnd {
    /// the client must not wait longer for the head
    HeadDue,
    ClientGone,
}

impl Sink {
    pub fn buffer() -> Sink {
        Sink::Buffer {
            until: Instant::now() + BUFFER_TIME,
            bytes: BytesMut::new(),
        }
    }

    pub fn early(client: BodySender, bytes: BytesMut) -> Sink {
        Sink::Early { client, bytes }
    }

    /// Keeps the client's connection alive; the events that are buffered stay so.
    pub async fn ping(&mut self, ping: Bytes, stall: Duration) -> Result<(), SinkEnd> {
        match self {
            Sink::Client(client) | Sink::Early { client, .. } => send(client, ping, stall).await,
            Sink::Buffer { .. } | Sink::Discard => Ok(()),
        }
    }

    /// Takes a chunk; a client that reads nothing for `stall` is gone.
    pub async fn deliver(&mut self, chunk: Bytes, stall: Duration) -> Result<(), SinkEnd> {
        if chunk.is_empty() {
            return Ok(());
        }
        match self {
            Sink::Buffer { bytes, .. } | Sink::Early { bytes, .. } => {
                bytes.extend_from_slice(&chunk);
                Ok(())
            }
            Sink::Discard => Ok(()),
            Sink::Client(client) => send(client, chunk, stall).await,
        }
    }

    /// Returns `true` for a client that waits for events.
    pub fn has_client(&self) -> bool {
        matches!(self, Sink::Client(_) | Sink::Early { .. })
    }

    /// Returns `true` while another attempt can replace the response.
    pub fn is_buffered(&self) -> bool {
        matches!(self, Sink::Buffer { .. } | Sink::Early { .. })
    }

    /// Returns once the sink takes no more: the buffer's time is over, or the client is gone. The wait borrows nothing, so that one
    /// serves all events.
    pub fn interrupted(&self) -> impl Future<Output = SinkEnd> + use<> {
        let (until, closed) = match self {
            Sink::Buffer { until, .. } => (Some(*until), None),
            Sink::Client(client) | Sink::Early { client, .. } => (None, Some(client.closed())),
            Sink::Discard => (None, None),
        };
        async move {
            match (until, closed) {
                (Some(until), _) => {
                    tokio::time::sleep_until(until.into()).await;
                    SinkEnd::HeadDue
                }
                (None, Some(closed)) => {
                    closed.await;
                    SinkEnd::ClientGone
                }
                (None, None) => std::future::pending().await,
            }
        }
    }

    /// Reason for which the sink takes no more, if there is one now: what [`Sink::interrupted`] waits for.
    pub fn interruption(&self) -> Option<SinkEnd> {
        match self {
            Sink::Buffer { until, .. } => (*until <= Instant::now()).then_some(SinkEnd::HeadDue),
            Sink::Client(client) | Sink::Early { client, .. } => {
                client.is_closed().then_some(SinkEnd::ClientGone)
            }
            Sink::Discard => None,
        }
    }

    /// Returns `true` if buffered events must go out now.
    pub fn is_due(&self, content: bool) -> bool {
        match self {
            Sink::Buffer { bytes, .. } | Sink::Early { bytes, .. } => {
                content || bytes.len() > BUFFER_BYTES_MAX
            }
            Sink::Client(_) | Sink::Discard => false,
        }
    }

    /// The buffered events, and the client that waits for them.
    pub fn into_buffered(self) -> (BytesMut, Option<BodySender>) {
        match self {
            Sink::Buffer { bytes, .. } => (bytes, None),
            Sink::Early { client, bytes } => (bytes, Some(client)),
            Sink::Client(client) => (BytesMut::new(), Some(client)),
            Sink::Discard => (BytesMut::new(), None),
        }
    }

    /// Ends the client's body cleanly.
    pub fn end(self) {
        if let Sink::Client(client) = self {
            client.end();
        }
    }
}

async fn send(client: &BodySender, chunk: Bytes, stall: Duration) -> Result<(), SinkEnd> {
    // only a slow client needs a timer
    let chunk = match client.offer(chunk) {
        Ok(()) => return Ok(()),
        Err(waiting) => waiting.ok_or(SinkEnd::ClientGone)?,
    };
    match tokio::time::timeout(stall, client.send(chunk)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(SinkEnd::ClientGone),
    }
}
