//! Body of a request, sent in pieces. A connection keeps the buffer that it wrote from for as long as it lives, and awc would copy a
//! body of many MiB into it at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use awc::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

/// Bytes of a piece, a shared slice of the body.
const PIECE: usize = 64 << 10;

/// The body under its length; a small one is sent as it is.
pub(super) fn outgoing(body: Bytes) -> BoxBody {
    if body.len() <= PIECE {
        return BoxBody::new(body);
    }
    BoxBody::new(Pieces {
        bytes: body.len(),
        rest: body,
    })
}

struct Pieces {
    bytes: usize,
    rest: Bytes,
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let piece = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(piece);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Length that is announced, and the pieces.
    async fn sent(body: &Bytes) -> (BodySize, Vec<Bytes>) {
        let mut outgoing = outgoing(body.clone());
        let size = outgoing.size();
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|context| Pin::new(&mut outgoing).poll_next(context)).await
        {
            pieces.push(piece.expect("a piece"));
        }
        (size, pieces)
    }

    #[tokio::test]
    async fn body_is_sent_whole_under_its_length_in_bounded_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5] {
            let body: Bytes = (0..length).map(|at| at as u8).collect();
            let (size, pieces) = sent(&body).await;
            assert_eq!(size, BodySize::Sized(length as u64));
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
            assert_eq!(pieces.concat(), body);
        }
    }
}
