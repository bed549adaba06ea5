//! HTTP service around the application: tells the [`Watch`] of a connection when a request begins and when the last byte of its
//! answer was produced, and closes the connection after an answer to a request whose body was not read.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::{Payload, Request, Response};
use actix_web::http::ConnectionType;
use bytes::Bytes;
use futures_util::TryFutureExt;

use super::watch::Watch;

/// Tells the watch of the connection that a request begins.
pub(in crate::server) fn begin(request: &mut Request) -> Option<Rc<Watch>> {
    let watch = request.conn_data::<Rc<Watch>>().cloned();
    if let Some(watch) = &watch {
        watch.request_began(!matches!(request.payload(), Payload::None));
    }
    watch
}

/// The answer to a request, whose end the watch is told. It closes the connection if the request's body was not read. A future that is
/// no async function: one would hold `answer` twice, and the future is a part of its connection's.
pub(in crate::server) fn answer<R: Into<Response<BoxBody>>, E>(
    watch: Option<Rc<Watch>>,
    answer: impl Future<Output = Result<R, E>>,
) -> impl Future<Output = Result<Response<WatchedBody>, E>> {
    answer.map_ok(|answered| watched(watch, answered.into()))
}

fn watched(watch: Option<Rc<Watch>>, mut response: Response<BoxBody>) -> Response<WatchedBody> {
    if watch.as_ref().is_some_and(|watch| watch.is_body_open()) {
        let head = response.head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    response.map_body(|_, body| WatchedBody {
        bytes: match body.size() {
            BodySize::Sized(bytes) => bytes,
            BodySize::None | BodySize::Stream => 0,
        },
        body,
        watch,
    })
}

/// Body of an answer; its drop is the end of the answer.
pub(in crate::server) struct WatchedBody {
    body: BoxBody,
    bytes: u64,
    watch: Option<Rc<Watch>>,
}

impl MessageBody for WatchedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.answer_ended(self.bytes);
        }
    }
}
