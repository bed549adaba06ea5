//! Body of a response, read from its connection, which returns to its pool at the end. Must never report a truncated body as
//! complete, nor return a connection whose next bytes are in doubt.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::chunked::{BodyPart, ChunkedDecoder};
use super::connection::Connection;
use super::error::TransportError;
use super::shelf::Shelf;

/// End of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// so many bytes are outstanding
    Sized(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyLength {
    fn next(&mut self, received: &mut BytesMut) -> Result<BodyPart, &'static str> {
        match self {
            BodyLength::Sized(0) => Ok(BodyPart::End),
            BodyLength::Chunked(decoder) => decoder.next(received),
            _ if received.is_empty() => Ok(BodyPart::Incomplete),
            BodyLength::UntilClose => Ok(BodyPart::Data(received.split().freeze())),
            BodyLength::Sized(left) => {
                let count = (*left).min(received.len() as u64);
                *left -= count;
                let data = received.split_to(count as usize).freeze();
                Ok(BodyPart::Data(data))
            }
        }
    }

    fn outstanding(&self) -> Option<u64> {
        match self {
            BodyLength::Sized(left) => Some(*left),
            _ => None,
        }
    }
}

/// Reader of a body. Dropped before the end, it closes the connection.
pub(super) struct BodyReader {
    /// `None` after the end or a failure
    connection: Option<Box<Connection>>,
    length: BodyLength,
    /// data that was found in the search for the end
    pending: Option<Bytes>,
    complete: bool,
    /// the pool that the connection returns to, if it may serve another request
    shelf: Option<Rc<Shelf>>,
    /// rest of the request, where the response began before it was sent
    unsent: Option<Bytes>,
    /// cause of a failure behind data that were delivered
    fault: Option<&'static str>,
}

impl BodyReader {
    pub fn new(
        connection: Box<Connection>,
        length: BodyLength,
        shelf: Option<Rc<Shelf>>,
        unsent: Option<Bytes>,
    ) -> BodyReader {
        let mut reader = BodyReader {
            connection: Some(connection),
            length,
            pending: None,
            complete: false,
            shelf: shelf.filter(|_| unsent.is_none()),
            unsent,
            fault: None,
        };
        if reader.length == BodyLength::Sized(0) {
            reader.finish();
        }
        reader
    }

    /// Next bytes of the body, `None` at its end.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, TransportError>> {
        let polled = self.poll_data(context);
        if matches!(polled, Poll::Ready(Err(_))) {
            self.connection = None;
        }
        polled
    }

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, TransportError>> {
        if let Some(data) = self.pending.take() {
            return Poll::Ready(self.deliver(data));
        }
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(self.end());
            };
            match self.length.next(&mut connection.received) {
                Err(cause) => return Poll::Ready(Err(TransportError::Exchange(cause.to_owned()))),
                Ok(BodyPart::Data(data)) => return Poll::Ready(self.deliver(data)),
                Ok(BodyPart::End) => self.finish(),
                Ok(BodyPart::Incomplete) => {
                    Self::send_rest(connection, &mut self.unsent, context);
                    let received = connection.poll_receive(context, self.length.outstanding());
                    match ready!(received) {
                        Ok(0) => self.end_at_close()?,
                        Ok(_) => {}
                        // TLS without its closing message: anyone on the way may have cut it
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                            let cause = "body ended without the end of TLS";
                            return Poll::Ready(Err(TransportError::Truncated(cause)));
                        }
                        Err(error) => return Poll::Ready(Err(lost(&error))),
                    }
                }
            }
        }
    }

    /// Returns data, and the connection to its pool if the end has come with them: a reader that knows the end by other means does not
    /// ask for it.
    fn deliver(&mut self, data: Bytes) -> Result<Option<Bytes>, TransportError> {
        if let Some(connection) = &mut self.connection {
            match self.length.next(&mut connection.received) {
                Ok(BodyPart::End) => self.finish(),
                Ok(BodyPart::Data(next)) => self.pending = Some(next),
                Ok(BodyPart::Incomplete) => {}
                Err(cause) => {
                    self.connection = None;
                    self.fault = Some(cause);
                }
            }
        }
        Ok(Some(data))
    }

    /// Result of a read without a connection.
    fn end(&self) -> Result<Option<Bytes>, TransportError> {
        match self.fault {
            _ if self.complete => Ok(None),
            Some(cause) => Err(TransportError::Exchange(cause.to_owned())),
            None => Err(TransportError::ConnectionLost(
                "the connection is closed".to_owned(),
            )),
        }
    }

    fn send_rest(
        connection: &mut Connection,
        unsent: &mut Option<Bytes>,
        context: &mut Context<'_>,
    ) {
        while let Some(rest) = unsent {
            let sent = match rest.is_empty() {
                true => connection.poll_flush(context).map_ok(|()| 0),
                false => connection.poll_send(context, [&[], rest]),
            };
            match sent {
                Poll::Ready(Ok(count)) if count > 0 => rest.advance(count),
                Poll::Pending => return,
                // all is sent, or the upstream does not want the rest; the response decides
                Poll::Ready(_) => *unsent = None,
            }
        }
    }

    fn end_at_close(&mut self) -> Result<(), TransportError> {
        let cause = match self.length {
            BodyLength::UntilClose => {
                self.finish();
                return Ok(());
            }
            BodyLength::Sized(_) => "body shorter than its content-length",
            BodyLength::Chunked(_) => "body ended before its last chunk",
        };
        Err(TransportError::Truncated(cause))
    }

    fn finish(&mut self) {
        self.complete = true;
        let connection = self.connection.take();
        if let (Some(connection), Some(shelf)) = (connection, self.shelf.take()) {
            shelf.put(connection);
        }
    }

    /// Ready when the instant is over; called after a read that is pending.
    pub fn poll_elapsed(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        match &mut self.connection {
            Some(connection) => connection.poll_elapsed(context, until),
            None => Poll::Pending,
        }
    }
}

/// Failure of a connection that broke.
pub(super) fn lost(error: &io::Error) -> TransportError {
    TransportError::ConnectionLost(error.to_string())
}
