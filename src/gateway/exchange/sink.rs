//! Destination of relayed events: a buffer until the first content, the client's body, or nothing once the client is gone.

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
    Client(BodySender),
    /// the client is gone; the upstream is read for its usage only
    Discard,
}

/// Reason why a sink takes no more.
pub(super) enum SinkEnd {
    BufferDue,
    ClientGone,
}

impl Sink {
    pub fn buffer() -> Sink {
        Sink::Buffer {
            until: Instant::now() + BUFFER_TIME,
            bytes: BytesMut::new(),
        }
    }

    /// Takes a chunk; a client that reads nothing for `stall` is gone.
    pub async fn deliver(&mut self, chunk: Bytes, stall: Duration) -> Result<(), SinkEnd> {
        if chunk.is_empty() {
            return Ok(());
        }
        match self {
            Sink::Buffer { bytes, .. } => bytes.extend_from_slice(&chunk),
            Sink::Discard => {}
            Sink::Client(client) => {
                let Ok(Ok(())) = tokio::time::timeout(stall, client.send(chunk)).await else {
                    return Err(SinkEnd::ClientGone);
                };
            }
        }
        Ok(())
    }

    pub fn is_client(&self) -> bool {
        matches!(self, Sink::Client(_))
    }

    /// Returns once the sink takes no more: the buffer's time is over, or the client is gone.
    pub async fn interrupted(&self) -> SinkEnd {
        match self {
            Sink::Buffer { until, .. } => {
                tokio::time::sleep_until((*until).into()).await;
                SinkEnd::BufferDue
            }
            Sink::Client(client) => {
                client.closed().await;
                SinkEnd::ClientGone
            }
            Sink::Discard => std::future::pending().await,
        }
    }

    /// Returns `true` if buffered events must go out now.
    pub fn is_due(&self, content: bool) -> bool {
        match self {
            Sink::Buffer { bytes, .. } => content || bytes.len() > BUFFER_BYTES_MAX,
            Sink::Client(_) | Sink::Discard => false,
        }
    }

    pub fn into_buffered(self) -> Bytes {
        match self {
            Sink::Buffer { bytes, .. } => bytes.freeze(),
            Sink::Client(_) | Sink::Discard => Bytes::new(),
        }
    }

    /// Ends the client's body cleanly.
    pub fn end(self) {
        if let Sink::Client(client) = self {
            client.end();
        }
    }
}
