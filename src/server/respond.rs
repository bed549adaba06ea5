//! Replies to HTTP: the only place that turns a refusal into a status. Takes replies of the gateway, returns responses;
//! decides nothing. A reply that HTTP cannot carry becomes an error of the API's table, never one of actix-web's.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::stream::poll_fn;

use crate::dialect::Dialect;
use crate::domain::api_error::ApiError;
use crate::gateway::{Body, Reply};
use crate::server::worker::Worker;

/// A reply of the data plane. `dialect` is the client's.
pub(super) fn reply(worker: &Worker, dialect: Dialect, reply: Reply) -> HttpResponse {
    response(reply).unwrap_or_else(|| {
        let error = ApiError::defect("the head of the answer is invalid");
        refusal(worker, dialect, &error)
    })
}

/// An error in the shape of a dialect.
pub(super) fn refusal(worker: &Worker, dialect: Dialect, error: &ApiError) -> HttpResponse {
    let refusal = response(worker.gateway.refuse(dialect, error));
    // a refusal consists of constants and numbers, so it always has a response
    refusal.unwrap_or_else(|| HttpResponse::InternalServerError().finish())
}

/// `None`: the status or a header is invalid in HTTP.
fn response(reply: Reply) -> Option<HttpResponse> {
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).ok()?);
    let (headers, values) = reply.headers.into_parts();
    let values = Bytes::from(values);
    for (name, place) in headers {
        response.append_header(header(name, values.slice(place))?);
    }
    Some(match reply.body {
        Body::Whole(bytes) => response.body(bytes),
        Body::Stream(mut stream) => {
            response.streaming(poll_fn(move |context| stream.poll_next(context)))
        }
        Body::Captured(mut stream) => {
            response.streaming(poll_fn(move |context| stream.poll_next(context)))
        }
    })
}

/// Names that most replies have: a name is compared in fewer steps than it is parsed.
static USUAL_NAMES: [HeaderName; 8] = [
    CONTENT_TYPE,
    HeaderName::from_static("x-gatekeeper-request-id"),
    HeaderName::from_static("x-gatekeeper-model"),
    HeaderName::from_static("x-gatekeeper-provider"),
    HeaderName::from_static("x-gatekeeper-attempts"),
    HeaderName::from_static("x-gatekeeper-cost-usd"),
    HeaderName::from_static("x-gatekeeper-budget-remaining-usd"),
    HeaderName::from_static("x-gatekeeper-budget-reset"),
];

fn constant_name(name: &'static str) -> HeaderName {
    let usual = USUAL_NAMES.iter().find(|usual| usual.as_str() == name);
    usual.map_or_else(|| HeaderName::from_static(name), HeaderName::clone)
}

fn header(name: Cow<'static, str>, value: Bytes) -> Option<(HeaderName, HeaderValue)> {
    let parsed = match &name {
        // constants are not copied
        Cow::Borrowed(name) => Some(constant_name(name)),
        Cow::Owned(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
    };
    let header = parsed.zip(HeaderValue::from_maybe_shared(value).ok());
    if header.is_none() {
        tracing::error!(header = %name, "invalid response header");
    }
    header
}
