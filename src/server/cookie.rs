//! Cookie of a session. Over TLS its name begins with `__Host-`, which binds it to this host; over plain HTTP on loopback browsers
//! drop that name, so it has a plain one. A change by cookie must come from a page of this origin.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::Method;

use crate::auth::role::Actor;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::secret::Secret;
use crate::domain::sign_in::{SESSION_MS, Session};
use crate::server::headers::header;
use crate::server::surface::Encrypted;
use crate::server::worker::Worker;

const SECURE: &str = "__Host-gatekeeper-session";
const PLAIN: &str = "gatekeeper-session";
/// Headers of reverse proxies: with one of them the peer is not the browser.
const FORWARDED: [&str; 4] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// Actor and session of the request's cookie; `None` without a cookie. 401 for an ended session, 403 for a change from elsewhere.
pub(super) fn session(request: &HttpRequest) -> Result<Option<(Actor, Session)>, ApiError> {
    let Some(token) = token(request) else {
        return Ok(None);
    };
    check_origin(request)?;
    let found = Worker::of(request).control.session_actor(token.expose());
    let ended = || {
        ApiError::new(
            ErrorCode::Authentication,
            "the session has ended; sign in again",
        )
    };
    found.ok_or_else(ended).map(Some)
}

fn token(request: &HttpRequest) -> Option<Secret> {
    let cookie = request.cookie(SECURE).or_else(|| request.cookie(PLAIN))?;
    Some(Secret::new(cookie.value()))
}

/// A browser names the site of the page that makes a change. `same-origin` is never sent for a page of another origin; an old
/// browser sends `Origin` alone, which must name the host that the request asks.
pub(super) fn check_origin(request: &HttpRequest) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let same = match header(request, "sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = header(request, "origin").and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| Some(host) == header(request, "host"))
        }
    };
    if same {
        return Ok(());
    }
    let message =
        "the request comes from a page of another site; open the dashboard of this gateway";
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

/// Refuses sign-in over plain HTTP from anywhere but this machine, where a browser would drop the cookie without a word.
pub(super) fn check_transport(request: &HttpRequest) -> Result<(), ApiError> {
    let local = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().is_loopback());
    let forwarded = FORWARDED.iter().any(|name| header(request, name).is_some());
    if is_secure(request) || (local && !forwarded) {
        return Ok(());
    }
    let message = "sign-in over plain HTTP works on this machine only; reach the gateway through TLS, or forward its port: \
                   ssh -L 4000:127.0.0.1:4000 HOST, then open http://127.0.0.1:4000/ui/";
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

/// True for a connection through TLS, to this listener or to a trusted proxy before it.
fn is_secure(request: &HttpRequest) -> bool {
    request.conn_data::<Encrypted>().is_some()
        || (from_trusted_proxy(request) && header(request, "x-forwarded-proto") == Some("https"))
}

fn from_trusted_proxy(request: &HttpRequest) -> bool {
    let trusted = request
        .app_data::<Worker>()
        .map_or(&[][..], |worker| &worker.trusted_proxies);
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(peer)))
}

/// Cookie that carries a session.
pub(super) fn set(request: &HttpRequest, token: &Secret) -> Cookie<'static> {
    let age = Duration::milliseconds(i64::try_from(SESSION_MS).unwrap_or(i64::MAX));
    let secure = is_secure(request);
    let name = if secure { SECURE } else { PLAIN };
    Cookie::build(name, token.expose().to_owned())
        .path("/")
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Strict)
        .max_age(age)
        .finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn checked(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = TestRequest::default().method(method);
        for header in headers {
            request = request.insert_header(*header);
        }
        check_origin(&request.to_http_request()).is_ok()
    }

    #[test]
    fn change_from_another_origin_is_refused() {
        assert!(checked(Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(checked(Method::POST, &[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(
                !checked(Method::POST, &[("sec-fetch-site", site)]),
                "{site}"
            );
        }
        let host = ("host", "gate.example.com:4000");
        assert!(checked(
            Method::PATCH,
            &[host, ("origin", "https://gate.example.com:4000")]
        ));
        assert!(!checked(
            Method::PATCH,
            &[host, ("origin", "https://evil.example.com")]
        ));
        assert!(
            !checked(Method::DELETE, &[host])
                && !checked(Method::DELETE, &[host, ("origin", "null")])
        );
    }

    #[test]
    fn plain_http_sign_in_is_refused_from_other_machines_and_behind_proxies() {
        let from = |address: &str, forwarded: bool| {
            let mut request =
                TestRequest::default().peer_addr(address.parse().expect("an address"));
            if forwarded {
                request = request.insert_header(("x-forwarded-for", "192.0.2.7"));
            }
            check_transport(&request.to_http_request()).is_ok()
        };
        assert!(from("127.0.0.1:5000", false) && from("[::1]:5000", false));
        assert!(!from("192.0.2.1:5000", false) && !from("127.0.0.1:5000", true));
    }

    #[test]
    fn cookie_over_plain_http_is_strict_and_hidden_from_scripts() {
        let request = TestRequest::default().to_http_request();
        let cookie = set(&request, &Secret::new("token")).to_string();
        assert_eq!(
            cookie,
            "gatekeeper-session=token; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800"
        );
    }
}
