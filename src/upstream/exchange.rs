//! One request and the head of its response on a connection. The response is read while the request is still being sent, because an
//! upstream may refuse a body that it has not read. A failure says whether any byte of a response came.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::body::lost;
use super::connect::HeadDeadline;
use super::connection::Connection;
use super::error::TransportError;
use super::response_head::{HeadReader, HeaderFilter, ResponseHead};

/// A request as bytes.
pub(super) struct EncodedRequest {
    pub head: Vec<u8>,
    pub body: Bytes,
}

/// Failure before the head of a response.
pub(super) enum ExchangeFailure {
    /// the peer closed the connection before any byte of a response
    Closed(TransportError),
    Other(TransportError),
}

impl From<ExchangeFailure> for TransportError {
    fn from(failure: ExchangeFailure) -> TransportError {
        match failure {
            ExchangeFailure::Closed(error) | ExchangeFailure::Other(error) => error,
        }
    }
}

/// Sends the request and returns the head of the response, with the rest of a request that was not sent before.
pub(super) async fn exchange(
    connection: &mut Connection,
    request: &EncodedRequest,
    deadline: HeadDeadline,
    keep: HeaderFilter<'_>,
) -> Result<(ResponseHead, Option<Bytes>), ExchangeFailure> {
    let mut exchange = Exchange {
        connection,
        request,
        sent: 0,
        phase: SendPhase::Sending,
        answered: false,
        reader: HeadReader::default(),
    };
    let head = poll_fn(|context| exchange.poll_head(context, deadline, keep)).await?;
    Ok((head, exchange.unsent()))
}

#[derive(PartialEq, Eq)]
enum SendPhase {
    Sending,
    Sent,
    /// the peer takes no more; it may have answered
    Broken,
}

struct Exchange<'a> {
    connection: &'a mut Connection,
    request: &'a EncodedRequest,
    /// bytes of head and body together
    sent: usize,
    phase: SendPhase,
    answered: bool,
    reader: HeadReader,
}

impl Exchange<'_> {
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        deadline: HeadDeadline,
        keep: HeaderFilter<'_>,
    ) -> Poll<Result<ResponseHead, ExchangeFailure>> {
        if self.phase == SendPhase::Sending {
            match self.poll_send(context) {
                Poll::Ready(Ok(())) => self.phase = SendPhase::Sent,
                Poll::Ready(Err(_)) => self.phase = SendPhase::Broken,
                Poll::Pending => {}
            }
        }
        loop {
            match self.connection.poll_receive(context, None) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(self.closed("connection closed before the response")));
                }
                Poll::Ready(Ok(_)) => self.answered = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(&error))),
                Poll::Pending => break,
            }
            match self.reader.next(&mut self.connection.received, keep) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(cause) => {
                    let error = TransportError::Exchange(cause);
                    return Poll::Ready(Err(ExchangeFailure::Other(error)));
                }
            }
        }
        ready!(self.connection.poll_elapsed(context, deadline.at));
        let error = TransportError::HeadTimeout(deadline.timeout_ms);
        Poll::Ready(Err(ExchangeFailure::Other(error)))
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let EncodedRequest { head, body } = self.request;
        while self.sent < head.len() + body.len() {
            let head_rest = head.get(self.sent..).unwrap_or_default();
            let body_rest = &body[self.sent.saturating_sub(head.len())..];
            let sent = self.connection.poll_send(context, [head_rest, body_rest]);
            match ready!(sent)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.connection.poll_flush(context)
    }

    /// Rest of a body that the peer still takes.
    fn unsent(&self) -> Option<Bytes> {
        let EncodedRequest { head, body } = self.request;
        (self.phase != SendPhase::Sent).then(|| match self.phase {
            SendPhase::Sending if self.sent >= head.len() => body.slice(self.sent - head.len()..),
            _ => Bytes::new(),
        })
    }

    fn failed(&self, error: &io::Error) -> ExchangeFailure {
        match error.kind() {
            // rustls reports an end without the closing message of TLS as `UnexpectedEof`
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => self.closed(&error.to_string()),
            _ => ExchangeFailure::Other(lost(error)),
        }
    }

    fn closed(&self, cause: &str) -> ExchangeFailure {
        let error = TransportError::ConnectionLost(cause.to_owned());
        match self.answered {
            true => ExchangeFailure::Other(error),
            false => ExchangeFailure::Closed(error),
        }
    }
}
