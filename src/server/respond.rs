//! Replies to HTTP: the only place that turns a refusal into a status. Takes replies of the gateway, returns responses;
//! decides nothing.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use futures_util::stream::poll_fn;

use crate::dialect::Dialect;
use crate::domain::api_error::ApiError;
use crate::gateway::{Body, Reply};
use crate::server::worker::Worker;

/// A reply of the data plane.
pub(super) fn reply(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for (name, value) in reply.headers {
        response.append_header((name, value));
    }
    match reply.body {
        Body::Whole(bytes) => response.body(bytes),
        Body::Stream(mut stream) => {
            response.streaming(poll_fn(move |context| stream.poll_next(context)))
        }
    }
}

/// An error in the shape of a dialect.
pub(super) fn refusal(worker: &Worker, dialect: Dialect, error: &ApiError) -> HttpResponse {
    reply(worker.gateway.refuse(dialect, error))
}
