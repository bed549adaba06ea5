//! From a reply to HTTP. The one place where a refusal becomes a status.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use futures_util::stream::poll_fn;

use crate::gateway::{Body, Reply};
use crate::server::api::ApiReply;

pub(super) fn http(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for (name, value) in reply.headers {
        response.append_header((name, value));
    }
    match reply.body {
        Body::Whole(bytes) => response.body(bytes),
        Body::Stream(mut pieces) => {
            response.streaming(poll_fn(move |context| pieces.poll_next(context)))
        }
    }
}

/// Where the next page of a table begins.
const NEXT: &str = "x-gatekeeper-next";

pub(super) fn administrative(reply: ApiReply) -> HttpResponse {
    let mut response =
        HttpResponse::build(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK));
    if let Some(next) = reply.next {
        response.append_header((NEXT, next));
    }
    response
        .content_type(reply.media.content_type())
        .body(reply.text)
}
