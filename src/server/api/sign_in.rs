//! Sign-in to the dashboard: `/v1/sign-in`, `/v1/sign-in/link`, the session of the caller, all sessions, one-time links. The first
//! two need no credential; a session's secret is in a cookie only, a link's in the answer that creates it.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::control::input::{Email, Name};
use crate::control::sign_in::{NewLink, NewSession, Redemption};
use crate::dialect::Dialect;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::UserId;
use crate::domain::secret::Secret;
use crate::domain::sign_in::Session;
use crate::server::api::body::Fields;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::note_denial;
use crate::server::api::reply::ApiReply;
use crate::server::api::user_views::MembershipJson;
use crate::server::api::views::rfc3339;
use crate::server::extract::{self, BodyLimits};
use crate::server::worker::Worker;
use crate::server::{cookie, respond};

const BODY_BYTES_MAX: usize = 8 * 1024;
const BODY_TIMEOUT_MS: u64 = 10_000;

/// `GET /v1/sign-in`: the ways to sign in.
pub(crate) async fn ways(request: HttpRequest) -> HttpResponse {
    let issuer = Worker::of(&request).control.issuer_name();
    let oidc = issuer.map(|issuer| json!({ "issuer": issuer, "path": "/sign-in/oidc" }));
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "object": "sign_in", "password": true, "oidc": oidc }))
}

/// `POST /v1/sign-in` with `email` and `password`.
pub(crate) async fn start(request: HttpRequest, payload: Payload) -> HttpResponse {
    let address = extract::client_address(&request);
    let started = async {
        let mut fields = open_body(&request, payload).await?;
        let email: String = fields.require("email", "the e-mail address of an account")?;
        let password: String = fields.require("password", "a text")?;
        fields.finish()?;
        control(&request)
            .start_session(&email, Secret::new(password), address)
            .await
    };
    answer(&request, started.await)
}

/// `POST /v1/sign-in/link` with `token` and `password`; for a new owner with `email` and `name`.
pub(crate) async fn redeem(request: HttpRequest, payload: Payload) -> HttpResponse {
    let address = extract::client_address(&request);
    let started = async {
        let mut fields = open_body(&request, payload).await?;
        let token: String = fields.require("token", "the part of the link after #")?;
        let password: String = fields.require("password", "a text")?;
        let email: Option<String> = fields.take("email", "an e-mail address")?;
        let name: Option<String> = fields.take("name", "a text")?;
        let owner = match (name, email) {
            (Some(name), Some(email)) => {
                let name = fields.within("name", Name::parse(&name))?;
                Some((name, fields.within("email", Email::parse(&email))?))
            }
            _ => None,
        };
        fields.finish()?;
        let (token, password) = (Secret::new(token), Secret::new(password));
        let redemption = Redemption {
            token,
            password,
            owner,
        };
        control(&request).redeem_link(redemption, address).await
    };
    answer(&request, started.await)
}

/// Control plane for a call without a credential; its events name address and request.
fn control(request: &HttpRequest) -> Control {
    let worker = Worker::of(request);
    let origin = extract::origin(request, worker.gateway.next_id());
    worker.control.for_call(origin)
}

/// Body of a call without a credential, from a page of this origin and over a transport that keeps the cookie.
async fn open_body(request: &HttpRequest, payload: Payload) -> Result<Fields, ApiError> {
    cookie::check_transport(request)?;
    cookie::check_origin(request)?;
    let limits = BodyLimits {
        bytes_max: BODY_BYTES_MAX,
        timeout_ms: BODY_TIMEOUT_MS,
        setting: None,
    };
    Fields::of_body(&extract::body(request, payload, limits, |_| Ok(())).await?)
}

fn answer(request: &HttpRequest, started: Result<NewSession, ApiError>) -> HttpResponse {
    match started {
        Ok(new) => HttpResponse::Ok()
            .cookie(cookie::set(request, &new.token))
            .insert_header(("cache-control", "no-store"))
            .json(session_json(&new.session, true)),
        Err(error) => {
            // control has noted what it refused
            if error.code == ErrorCode::PermissionDenied {
                note_denial(request, Worker::of(request).gateway.next_id(), &error);
            }
            respond::refusal(Worker::of(request), Dialect::Chat, &error)
        }
    }
}

/// `GET /v1/session`: the actor of the call, with its roles.
pub(crate) async fn current(call: ApiCall) -> Result<ApiReply, ApiError> {
    let (name, email) = match &call.actor {
        Actor::User { id, name, .. } => {
            let directory = call.control.directory();
            let email = directory.user(*id).map(|user| user.email.clone());
            (name.clone(), email)
        }
        Actor::AdminKey { name, .. } => (name.clone(), None),
        Actor::Local { .. } | Actor::Process => ("local".to_owned(), None),
    };
    let memberships = call.actor.memberships().iter();
    ApiReply::ok(&json!({
        "object": "actor",
        "actor": call.actor.to_string(),
        "name": name,
        "email": email,
        "memberships": memberships.map(MembershipJson::of).collect::<Vec<_>>(),
        "session": call.session.as_ref().map(|session| session_json(session, true)),
        "timezone": call.control.zone().name(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// `DELETE /v1/session`: signs out.
pub(crate) async fn sign_out(call: ApiCall) -> Result<ApiReply, ApiError> {
    let session = require_session(&call)?;
    call.control.end_session(&call.actor, &session.id()).await?;
    Ok(ApiReply::deleted())
}

/// `POST /v1/session/password` with `password` and `new_password`.
pub(crate) async fn change_password(call: ApiCall) -> Result<ApiReply, ApiError> {
    let session = require_session(&call)?.clone();
    let mut fields = Fields::of_body(&call.body)?;
    let old: String = fields.require("password", "the present password")?;
    let new: String = fields.require("new_password", "a text")?;
    fields.finish()?;
    let (old, new) = (Secret::new(old), Secret::new(new));
    call.control
        .change_password(&call.actor, &session, old, new)
        .await?;
    Ok(ApiReply::deleted())
}

/// `GET /v1/sessions`: the caller's own; all for an owner.
pub(crate) async fn sessions(call: ApiCall) -> Result<ApiReply, ApiError> {
    let own = call.session.as_ref().map(|session| session.hash);
    let sessions = call.control.sessions(&call.actor);
    let data: Vec<Value> = sessions
        .iter()
        .map(|session| session_json(session, Some(session.hash) == own))
        .collect();
    ApiReply::ok(&json!({ "object": "list", "data": data, "next": null }))
}

/// `DELETE /v1/sessions/{id}`.
pub(crate) async fn end_session(call: ApiCall) -> Result<ApiReply, ApiError> {
    call.control.end_session(&call.actor, &call.id).await?;
    Ok(ApiReply::deleted())
}

/// `POST /v1/setup`, over the local admin socket: link for a new owner, or with `email` for another password.
pub(crate) async fn create_setup_link(call: ApiCall) -> Result<ApiReply, ApiError> {
    if !matches!(call.actor, Actor::Local { .. }) {
        let message =
            "setup links are made on the gateway's machine only; run `gatekeeper setup` there";
        return Err(ApiError::new(ErrorCode::PermissionDenied, message));
    }
    let grant = call.grant(may::SetUp)?;
    let mut fields = Fields::of_body(&call.body)?;
    let email: Option<String> = fields.take("email", "the e-mail address of an account")?;
    let email = email
        .map(|email| fields.within("email", Email::parse(&email)))
        .transpose()?;
    fields.finish()?;
    let link = call.control.create_setup_link(&grant, email).await?;
    ApiReply::created(&link_json(&call, &link))
}

/// `POST /v1/users/{id}/invitation`: link by which the user sets a password.
pub(crate) async fn invite(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let id = known(UserId::parse(&call.id), "user")?;
    let link = call.control.create_invitation(&grant, id).await?;
    ApiReply::created(&link_json(&call, &link))
}

fn require_session(call: &ApiCall) -> Result<&Session, ApiError> {
    call.session.as_ref().ok_or_else(|| {
        let message = "the call came without a session; sign in to the dashboard";
        ApiError::new(ErrorCode::NotFound, message)
    })
}

fn session_json(session: &Session, current: bool) -> Value {
    json!({
        "object": "session",
        "id": session.id(),
        "user": session.user.to_string(),
        "address": session.address,
        "created_at": rfc3339(session.created_ms),
        "last_used_at": rfc3339(session.seen_ms),
        "current": current,
    })
}

/// The link ends in the secret after `#`, which a browser never sends and no log of a proxy sees.
fn link_json(call: &ApiCall, new: &NewLink) -> Value {
    let path = format!("/ui/link#{}", new.token.expose());
    json!({
        "object": "link",
        "url": call.public.link(&path),
        "path": path,
        "expires_at": rfc3339(new.link.expires_ms),
    })
}
