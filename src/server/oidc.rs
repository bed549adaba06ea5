//! Sign-in through an OpenID Connect issuer, as a browser sees it: the redirect to the issuer, and the page after its answer. Both are
//! pages, so an error is a page too.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Deserialize;

use crate::auth::oidc::attempt::ATTEMPT_MS;
use crate::control::oidc::sign_in::Callback;
use crate::domain::api_error::ApiError;
use crate::server::worker::Worker;
use crate::server::{cookie, dashboard, extract};

/// Cookies of an attempt; the issuer's answer comes from another site, so `SameSite` is `Lax`.
const SECURE: &str = "__Host-gatekeeper-oidc";
const PLAIN: &str = "gatekeeper-oidc";

#[derive(Deserialize)]
pub(super) struct CallbackQuery {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// `GET /sign-in/oidc`: sends the browser to the issuer.
pub(super) async fn begin(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    let begun = async {
        cookie::check_transport(&request)?;
        worker.control.begin_oidc(&worker.client).await
    };
    match begun.await {
        Ok(redirect) => {
            let value = redirect.attempt.secret().expose().to_owned();
            page(&request, StatusCode::SEE_OTHER)
                .insert_header((LOCATION, redirect.url))
                .cookie(attempt_cookie(&request, value))
                .finish()
        }
        Err(error) => failed(&request, &error),
    }
}

/// `GET /sign-in/oidc/callback`: starts the session. The dashboard is opened by a page of this site, because a browser does not send the
/// cookie of the session with a navigation that another site began.
pub(super) async fn callback(request: HttpRequest, query: Query<CallbackQuery>) -> HttpResponse {
    let worker = Worker::of(&request);
    let query = query.into_inner();
    let callback = Callback {
        state: query.state,
        code: query.code,
        error: query.error,
    };
    let origin = extract::origin(&request, worker.gateway.next_id());
    let control = worker.control.for_call(origin);
    let attempt = request.cookie(SECURE).or_else(|| request.cookie(PLAIN));
    let attempt = attempt.as_ref().map(|cookie| cookie.value());
    let address = extract::client_address(&request);
    let finished = async {
        cookie::check_transport(&request)?;
        let client = &worker.client;
        control
            .finish_oidc(client, attempt, callback, address)
            .await
    };
    match finished.await {
        Ok(new) => page(&request, StatusCode::OK)
            .cookie(cookie::set(&request, &new.token))
            .append_header((SET_COOKIE, ended(&request).to_string()))
            .body(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Signed in</title>\
                 <meta http-equiv=\"refresh\" content=\"0;url=/ui/\"><p><a href=\"/ui/\">Open the dashboard</a></p></html>\n",
            ),
        Err(error) => failed(&request, &error),
    }
}

fn attempt_cookie(request: &HttpRequest, value: String) -> Cookie<'static> {
    let secure = cookie::is_secure(request);
    let age = Duration::milliseconds(i64::try_from(ATTEMPT_MS).unwrap_or(i64::MAX));
    Cookie::build(if secure { SECURE } else { PLAIN }, value)
        .path("/")
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Lax)
        .max_age(age)
        .finish()
}

/// Removes the cookie of the attempt: an answer of the issuer counts once.
fn ended(request: &HttpRequest) -> Cookie<'static> {
    let mut cookie = attempt_cookie(request, String::new());
    cookie.set_max_age(Duration::ZERO);
    cookie
}

fn page(request: &HttpRequest, status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    dashboard::add_headers(request, &mut response);
    response
        .content_type("text/html; charset=utf-8")
        .insert_header(("cache-control", "no-store"));
    response
}

fn failed(request: &HttpRequest, error: &ApiError) -> HttpResponse {
    let status = StatusCode::from_u16(error.code.status());
    let text: String = error.message.chars().flat_map(escaped).collect();
    page(request, status.unwrap_or(StatusCode::BAD_REQUEST))
        .append_header((SET_COOKIE, ended(request).to_string()))
        .body(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not signed in</title><h1>Not signed in</h1>\
             <p>{text}</p><p><a href=\"/ui/\">Back to sign-in</a></p></html>\n"
        ))
}

fn escaped(letter: char) -> Vec<char> {
    match letter {
        '<' => "&lt;".chars().collect(),
        '>' => "&gt;".chars().collect(),
        '&' => "&amp;".chars().collect(),
        '"' => "&quot;".chars().collect(),
        other => vec![other],
    }
}
