//! Reply head of a stream that was sent before any content came: the client has the head and nothing else, so another attempt may still
//! take over the body. One attempt at a time holds the sender of the body; between attempts it waits here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::gateway::body_stream::{BodySender, body_channel};
use crate::gateway::reply::{self, Reply};

/// Chunks that may wait for a slow client; then the upstream is read no further.
pub(super) const CHUNKS: usize = 16;

#[derive(Clone)]
pub(in crate::gateway) struct EarlyReply(Arc<Mutex<EarlyState>>);

#[derive(Default)]
struct EarlyState {
    /// until the head is sent
    head: Option<oneshot::Sender<Reply>>,
    /// from then on, unless an attempt has it
    body: Option<BodySender>,
}

impl EarlyReply {
    pub fn new() -> (EarlyReply, oneshot::Receiver<Reply>) {
        let (head, reply) = oneshot::channel();
        let state = EarlyState {
            head: Some(head),
            body: None,
        };
        (EarlyReply(Arc::new(Mutex::new(state))), reply)
    }

    /// The body of the client that has the head already.
    pub(super) fn take_body(&self) -> Option<BodySender> {
        self.lock().body.take()
    }

    /// The attempt failed before any content; the next one may go on.
    pub(super) fn put_back(&self, body: BodySender) {
        self.lock().body = Some(body);
    }

    /// Sends the head with an open body.
    pub(super) fn send_head(&self, mut head: Reply) -> BodySender {
        let (sender, body) = body_channel(CHUNKS);
        head.body = reply::Body::Stream(body);
        if let Some(waiting) = self.lock().head.take() {
            // a client that is gone is noticed by its body
            drop(waiting.send(head));
        }
        sender
    }

    /// Keeps the client's connection alive while no attempt has the body; `false` if the client is gone.
    pub fn ping(&self, ping: Bytes) -> bool {
        let state = self.lock();
        let mut bodies = state.body.iter();
        bodies.all(|body| body.try_send(ping.clone()))
    }

    /// Ends the stream of a client for which no attempt is left.
    pub async fn end_with(&self, last: Bytes) {
        let Some(body) = self.take_body() else { return };
        if body.send(last).await.is_ok() {
            body.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, EarlyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
