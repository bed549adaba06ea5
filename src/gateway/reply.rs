//! What goes back to the listener: status, headers, and a body that is whole or still coming. A body that is given up in
//! the middle must never look like one that ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::dialect::{self, Dialect};
use crate::domain::api_error::ApiError;
use crate::domain::budget::Remainder;
use crate::domain::event::HoldId;
use crate::domain::id::RequestId;
use crate::domain::zone::Zone;
use crate::gateway::rate_limit_headers;
use crate::route::Deployment;

pub enum Body {
    Whole(Bytes),
    Stream(BodyStream),
}

/// The pieces of an event stream, each as soon as it is there.
pub struct BodyStream {
    pieces: mpsc::Receiver<Bytes>,
    ended: Arc<AtomicBool>,
}

/// The stream was given up before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer was given up before its end")]
pub struct BodyAborted;

impl BodyStream {
    /// The next piece; `None` only after an end that was meant.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(piece) => Some(Ok(piece)),
            None if self.ended.load(Ordering::Acquire) => None,
            None => Some(Err(BodyAborted)),
        })
    }
}

/// Where the pieces of a flow are put in. Dropped without `end`, the client sees that the answer broke off.
pub(super) struct BodySender {
    pieces: mpsc::Sender<Bytes>,
    ended: Arc<AtomicBool>,
}

/// A flow that holds so many pieces for a client that reads slowly.
pub(super) fn flow(pieces_max: usize) -> (BodySender, BodyStream) {
    let (sender, receiver) = mpsc::channel(pieces_max);
    let ended = Arc::new(AtomicBool::new(false));
    (
        BodySender {
            pieces: sender,
            ended: ended.clone(),
        },
        BodyStream {
            pieces: receiver,
            ended,
        },
    )
}

impl BodySender {
    /// Waits for room; the client is gone if there is nobody to take it.
    pub async fn send(&self, piece: Bytes) -> Result<(), BodyAborted> {
        self.pieces.send(piece).await.map_err(|_| BodyAborted)
    }

    /// Returns when the client is gone.
    pub async fn closed(&self) {
        self.pieces.closed().await;
    }

    pub fn end(self) {
        self.ended.store(true, Ordering::Release);
    }
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

const REQUEST_ID: &str = "x-gatekeeper-request-id";

/// Who was asked.
pub(super) fn put_attempt(
    headers: &mut Vec<(String, String)>,
    id: HoldId,
    deployment: &Deployment,
) {
    headers.push(("x-gatekeeper-model".into(), deployment.model.clone()));
    headers.push((
        "x-gatekeeper-provider".into(),
        deployment.provider.name.clone(),
    ));
    headers.push(("x-gatekeeper-attempts".into(), id.attempt.to_string()));
}

/// What the tightest budget has left, and when it starts anew.
pub(super) fn put_remainder(headers: &mut Vec<(String, String)>, remainder: Option<Remainder>) {
    let Some(Remainder { left, resets_at_ms }) = remainder else {
        return;
    };
    headers.push(("x-gatekeeper-budget-remaining-usd".into(), left.to_string()));
    if let Some(at_ms) = resets_at_ms {
        headers.push((
            "x-gatekeeper-budget-reset".into(),
            Zone::utc().rfc3339(at_ms),
        ));
    }
}

impl Reply {
    /// The head that every answered call has: what of the upstream's means something, and who answered.
    pub(super) fn answered(
        status: u16,
        mut headers: Vec<(String, String)>,
        id: HoldId,
        deployment: &Deployment,
    ) -> Reply {
        headers.push((REQUEST_ID.into(), id.request.to_string()));
        put_attempt(&mut headers, id, deployment);
        Reply {
            status,
            headers,
            body: Body::Whole(Bytes::new()),
        }
    }

    /// An error in the dialect of the endpoint.
    pub fn refusal(dialect: Dialect, problem: &ApiError, id: RequestId) -> Reply {
        let id = id.to_string();
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let Some(seconds) = problem.retry_after_s {
            headers.push(("retry-after".into(), seconds.to_string()));
        }
        if let Some(allowance) = &problem.allowance {
            rate_limit_headers::put_headers(&mut headers, allowance);
        }
        put_remainder(&mut headers, problem.remainder);
        let body = dialect::error_body(dialect, problem, &id);
        headers.push((REQUEST_ID.into(), id));
        Reply {
            status: problem.code.status(),
            headers,
            body: Body::Whole(body.into()),
        }
    }
}
