//! HTTP/1.1 connection to an upstream: its socket, the bytes received and not read yet, and one timer for all its waits. An idle
//! connection keeps no buffer.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

use super::socket::Socket;

/// Bytes of the first buffer: the head and body of a usual response.
const BUFFER_BYTES: usize = 8 << 10;
/// Least space for a read; below it the buffer is replaced, or used again if nothing refers to it.
const SPACE_MIN: usize = 1 << 10;
/// Most bytes of a read.
const READ_BYTES_MAX: usize = 64 << 10;

/// Rest after which the kernel is asked whether anything came: the event loop tells it only once per turn. Upstreams that close idle
/// connections, some with a last response, do so after seconds; a connection in steady use costs no call.
const ASK_AFTER: Duration = Duration::from_millis(10);

thread_local! {
    /// buffer of the connection of this thread that rested last, for the next one that needs a buffer
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

pub(super) struct Connection {
    socket: Socket,
    pub received: BytesMut,
    buffer_bytes: usize,
    alarm: Option<Pin<Box<Sleep>>>,
    opened: Instant,
}

impl Connection {
    pub fn new(socket: Socket) -> Box<Connection> {
        Box::new(Connection {
            socket,
            received: BytesMut::new(),
            buffer_bytes: BUFFER_BYTES,
            alarm: None,
            opened: Instant::now(),
        })
    }

    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Releases the buffer.
    pub fn rest(&mut self) {
        let buffer = std::mem::take(&mut self.received);
        if self.buffer_bytes == BUFFER_BYTES {
            SPARE.set(buffer);
        }
        self.buffer_bytes = BUFFER_BYTES;
    }

    /// Receives more bytes; 0 at the end of the connection. `outstanding`: bytes that will come, if that is known.
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        outstanding: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        if self.received.capacity() - self.received.len() < SPACE_MIN {
            let outstanding = outstanding.map(|bytes| bytes.min(READ_BYTES_MAX as u64) as usize);
            let space = outstanding.unwrap_or(self.buffer_bytes).max(SPACE_MIN);
            if self.received.capacity() == 0 {
                self.received = SPARE.take();
            }
            // the spare buffer is used from its beginning, unless an answer still refers to it
            self.received.reserve(space);
        }
        let space = self.received.capacity() - self.received.len();
        let count = ready!(pin!(self.socket.read_buf(&mut self.received)).poll(context))?;
        if count == space {
            self.buffer_bytes = (self.buffer_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(count))
    }

    /// Sends bytes of both parts, as many as the peer takes at once.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        parts: [&[u8]; 2],
    ) -> Poll<io::Result<usize>> {
        let slices = parts.map(IoSlice::new);
        let slices = if parts[0].is_empty() {
            &slices[1..]
        } else {
            &slices[..]
        };
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    /// Sends what TLS holds back.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    /// Ready when the instant is over. The timer stays set from one wait to the next, and is set anew only when it fires or the next
    /// wait ends before it.
    pub fn poll_elapsed(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        let until = tokio::time::Instant::from_std(until);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if tokio::time::Instant::now() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }

    /// True if the peer has neither closed the connection nor sent anything since it was idle, for this long. What came since the last
    /// turn of the event loop is noticed only after a longer rest.
    pub fn is_idle(&mut self, rested: Duration) -> bool {
        if rested >= ASK_AFTER && !self.socket.is_silent() {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut byte = [0];
        // a task that has used up its turn would find every socket pending
        let read = tokio::task::unconstrained(self.socket.read(&mut byte));
        let read = pin!(read).poll(&mut context);
        self.received.is_empty() && read.is_pending()
    }
}
