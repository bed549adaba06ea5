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
use crate::server::public_url::PublicUrl;
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

/// Over TLS only the bound name counts: another host of the domain could plant the plain one.
fn token(request: &HttpRequest) -> Option<Secret> {
    let name = if is_secure(request) { SECURE } else { PLAIN };
    let cookie = request.cookie(name)?;
    Some(Secret::new(cookie.value()))
}

/// A browser names the page that makes a change: by `Sec-Fetch-Site`, which is `same-origin` for pages of this server alone, and by
/// `Origin`, which must be that of `public_url` where one is set. The header `Host` decides nothing.
pub(super) fn check_origin(request: &HttpRequest) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let public = &Worker::of(request).public;
    let (site, origin) = (header(request, "sec-fetch-site"), header(request, "origin"));
    if is_own_page(public, site, origin) {
        return Ok(());
    }
    let message = format!(
        "the request comes from a page of another site; open the dashboard at {}",
        public.link("/ui/")
    );
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

fn is_own_page(public: &PublicUrl, site: Option<&str>, origin: Option<&str>) -> bool {
    match (site, origin) {
        (_, Some(origin)) if public.is_configured() => public.is_origin(origin),
        (Some(site), _) => site == "same-origin",
        // a browser without `Sec-Fetch-Site`
        (None, Some(origin)) => public.is_origin(origin),
        (None, None) => false,
    }
}

/// Refuses sign-in over plain HTTP from anywhere but this machine, where a browser would drop the cookie without a word.
pub(super) fn check_transport(request: &HttpRequest) -> Result<(), ApiError> {
    if is_secure(request) || is_local(request) {
        return Ok(());
    }
    let message = "sign-in over plain HTTP works on this machine only; reach the gateway through TLS, or forward its port: \
                   ssh -L 4000:127.0.0.1:4000 HOST, then open http://127.0.0.1:4000/ui/";
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

/// True for a client on this machine: a proxy on it names the client in a header.
pub(super) fn is_local(request: &HttpRequest) -> bool {
    let forwarded = FORWARDED.iter().any(|name| header(request, name).is_some());
    let peer = request.peer_addr();
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) && !forwarded
}

/// True for a connection through TLS, to this listener or to a trusted proxy before it.
pub(super) fn is_secure(request: &HttpRequest) -> bool {
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

    fn public(configured: Option<&str>) -> PublicUrl {
        PublicUrl::new(configured, ([127, 0, 0, 1], 4000).into(), false)
    }

    #[test]
    fn change_from_another_origin_is_refused() {
        let (none, own) = (public(None), "http://127.0.0.1:4000");
        assert!(is_own_page(&none, Some("same-origin"), Some(own)));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_own_page(&none, Some(site), Some(own)), "{site}");
        }
        assert!(is_own_page(&none, None, Some(own)));
        for origin in ["http://127.0.0.1", "https://evil.example.com", "null", ""] {
            assert!(!is_own_page(&none, None, Some(origin)), "{origin}");
        }
        assert!(!is_own_page(&none, None, None));
    }

    #[test]
    fn public_url_alone_is_the_allowed_origin() {
        let configured = public(Some("https://gate.example.com"));
        let own = Some("https://gate.example.com");
        assert!(is_own_page(&configured, Some("same-origin"), own));
        assert!(is_own_page(&configured, None, own));
        // the page of another name that leads to the same server, such as one of an attacker
        let other = Some("https://evil.example.com");
        assert!(!is_own_page(&configured, Some("same-origin"), other));
        assert!(!is_own_page(&configured, Some("cross-site"), None));
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
