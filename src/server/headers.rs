//! Headers of a request as text.

use actix_web::HttpRequest;

/// First value of a header, by its name in lower case; `None` if it is absent or no text.
pub(super) fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers().iter();
    // a request has few headers: comparing their names costs less than parsing and hashing this one
    let found = headers.find(|(present, _)| present.as_str() == name);
    found.and_then(|(_, value)| value.to_str().ok())
}
