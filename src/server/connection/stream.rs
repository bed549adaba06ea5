//! Stream that tells the [`Watch`] of its connection about bytes read and writes that wait, and holds requests to their framing.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::rt::net::ActixStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::watch::Watch;

pub(in crate::server) struct WatchedStream<S> {
    stream: S,
    framing: Framing,
    watch: Rc<Watch>,
}

impl<S> WatchedStream<S> {
    pub fn new(stream: S, watch: Rc<Watch>) -> WatchedStream<S> {
        WatchedStream {
            stream,
            framing: Framing::default(),
            watch,
        }
    }

    pub fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn note_write<T>(&self, poll: &Poll<io::Result<T>>) {
        self.watch.note_write(poll.is_pending());
    }
}

impl<S: ActixStream> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.note_read();
            self.framing.follow(&mut buffer.filled_mut()[before..]);
        }
        poll
    }
}

impl<S: ActixStream> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(&poll);
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = poll {
            self.watch.note_flushed();
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
