//! `/v1/me` and `/v1/me/requests`: a key asks about itself. A virtual key learns nothing but its own state.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::auth::directory::Caller;
use crate::auth::role::Actor;
use crate::control::key_status::KeyStatus;
use crate::dialect::Dialect;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::server::api::reply::ApiReply;
use crate::server::api::request_json::RequestJson;
use crate::server::api::user_views::MembershipJson;
use crate::server::api::views::KeyStatusJson;
use crate::server::api::{query, request_query};
use crate::server::worker::Worker;
use crate::server::{extract, respond};

/// Holder of the presented key.
enum Holder {
    Key(Arc<Caller>),
    Actor(Actor),
}

/// `GET /v1/me`.
pub(crate) async fn get(request: HttpRequest) -> HttpResponse {
    answer(
        &request,
        holder(&request).and_then(|holder| me(&request, &holder)),
    )
}

/// `GET /v1/me/requests`: filters and cursors of `/v1/requests` but `key` and `team`.
pub(crate) async fn requests(request: HttpRequest) -> HttpResponse {
    let listed = own_requests(&request).await;
    answer(&request, listed)
}

fn answer(request: &HttpRequest, result: Result<ApiReply, ApiError>) -> HttpResponse {
    match result {
        Ok(reply) => reply.into_response(Worker::of(request).gateway.next_id()),
        Err(error) => respond::refusal(Worker::of(request), Dialect::Chat, &error),
    }
}

/// An administrative key or the local socket, else a virtual key.
fn holder(request: &HttpRequest) -> Result<Holder, ApiError> {
    match extract::actor(request) {
        Ok((actor, _)) => Ok(Holder::Actor(actor)),
        Err(error) if error.code != ErrorCode::PermissionDenied => Err(error),
        Err(_) => {
            let credential = extract::credential(request);
            let gateway = &Worker::of(request).gateway;
            gateway.authenticate(credential.as_deref()).map(Holder::Key)
        }
    }
}

fn me(request: &HttpRequest, holder: &Holder) -> Result<ApiReply, ApiError> {
    let control = &Worker::of(request).control;
    let body = match holder {
        Holder::Actor(actor) => actor_json(actor),
        Holder::Key(caller) => {
            let status = control.own_status(caller);
            let mut body = key_json(&status)?;
            let administrators = control.administrators_of(caller);
            body["administrators"] = administrators
                .iter()
                .map(|one| json!({ "name": one.name, "email": one.email }))
                .collect();
            body["organization_name"] = json!(caller.organization.name);
            body
        }
    };
    ApiReply::ok(&body)
}

fn key_json(status: &KeyStatus) -> Result<Value, ApiError> {
    let mut body = serde_json::to_value(KeyStatusJson::of(status)).map_err(|error| {
        let message = format!("failed to serialize the answer: {error}");
        ApiError::new(ErrorCode::Internal, message)
    })?;
    body["object"] = json!("me");
    Ok(body)
}

fn actor_json(actor: &Actor) -> Value {
    let roles: Vec<MembershipJson> = actor.memberships().iter().map(MembershipJson::of).collect();
    let (kind, id, name) = match actor {
        Actor::Local { .. } => ("local", None, None),
        Actor::Process => ("process", None, None),
        Actor::AdminKey { id, name, .. } => ("administrative", Some(id.to_string()), Some(name)),
        Actor::User { id, name, .. } => ("user", Some(id.to_string()), Some(name)),
    };
    json!({ "object": "me", "kind": kind, "id": id, "name": name, "memberships": roles })
}

async fn own_requests(request: &HttpRequest) -> Result<ApiReply, ApiError> {
    let Holder::Key(caller) = holder(request)? else {
        let message = "an administrative key makes no requests; ask `/v1/requests`";
        return Err(ApiError::new(ErrorCode::PermissionDenied, message));
    };
    let control = &Worker::of(request).control;
    let parameters = query::parameters(request.query_string())?;
    let query = request_query::parse_own(&parameters, control)?;
    let page = control.own_requests(&caller, query).await?;
    let rows: Vec<RequestJson<'_>> = page.entries.iter().map(RequestJson::of_entry).collect();
    ApiReply::ok(&json!({ "data": rows, "next": page.next, "follow": page.follow }))
}
