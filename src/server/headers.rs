//! Headers of a request as text.

use actix_web::HttpRequest;

/// First value of a header; `None` if it is absent or no text.
pub(super) fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}
