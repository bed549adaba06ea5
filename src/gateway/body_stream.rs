//! Body of a reply as a stream of chunks, and the same stream with a copy for a capture. A stream that is aborted must never look like
//! one that ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::store::captures::CaptureDraft;

/// Chunks of an event stream, each as soon as it is there.
pub struct BodyStream {
    chunks: mpsc::Receiver<Bytes>,
    ended: Arc<AtomicBool>,
}

/// The stream was aborted before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response aborted before its end")]
pub struct BodyAborted;

impl BodyStream {
    /// Polls the next chunk; `None` only after a clean end.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        self.chunks.poll_recv(context).map(|chunk| match chunk {
            Some(chunk) => Some(Ok(chunk)),
            None if self.ended.load(Ordering::Acquire) => None,
            None => Some(Err(BodyAborted)),
        })
    }
}

/// Sending half of a [`BodyStream`]. Dropped without `end`, it aborts the body.
pub(super) struct BodySender {
    chunks: mpsc::Sender<Bytes>,
    ended: Arc<AtomicBool>,
}

/// Creates a stream that holds so many chunks for a slow client.
pub(super) fn body_channel(chunks_max: usize) -> (BodySender, BodyStream) {
    let (sender, receiver) = mpsc::channel(chunks_max);
    let ended = Arc::new(AtomicBool::new(false));
    (
        BodySender {
            chunks: sender,
            ended: ended.clone(),
        },
        BodyStream {
            chunks: receiver,
            ended,
        },
    )
}

impl BodySender {
    /// Waits for room; an error means that the client is gone.
    pub async fn send(&self, chunk: Bytes) -> Result<(), BodyAborted> {
        self.chunks.send(chunk).await.map_err(|_| BodyAborted)
    }

    /// Sends if there is room; else returns the chunk, or nothing if the client is gone.
    pub fn offer(&self, chunk: Bytes) -> Result<(), Option<Bytes>> {
        self.chunks.try_send(chunk).map_err(|error| match error {
            mpsc::error::TrySendError::Full(chunk) => Some(chunk),
            mpsc::error::TrySendError::Closed(_) => None,
        })
    }

    /// Sends without waiting; `false` if the client is gone.
    pub fn try_send(&self, chunk: Bytes) -> bool {
        !matches!(
            self.chunks.try_send(chunk),
            Err(mpsc::error::TrySendError::Closed(_))
        )
    }

    pub fn is_closed(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Returns when the client is gone. The wait borrows nothing, so that one serves all chunks.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let chunks = self.chunks.clone();
        async move { chunks.closed().await }
    }

    pub fn end(self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// Event stream whose chunks are copied as the client takes them. Dropped before its end, it leaves what was delivered.
pub struct CapturedStream {
    stream: BodyStream,
    draft: Option<Box<CaptureDraft>>,
}

impl CapturedStream {
    pub(super) fn new(stream: BodyStream, draft: Box<CaptureDraft>) -> CapturedStream {
        CapturedStream {
            stream,
            draft: Some(draft),
        }
    }

    /// Polls the next chunk; `None` only after a clean end.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        let polled = self.stream.poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => {
                if let Some(draft) = &mut self.draft {
                    draft.push(chunk);
                }
            }
            Poll::Ready(None) => {
                if let Some(draft) = self.draft.take() {
                    draft.finish();
                }
            }
            Poll::Ready(Some(Err(_))) => self.draft = None,
            Poll::Pending => {}
        }
        polled
    }
}
