//! Handlers of the data plane and the door to the control plane: each takes HTTP apart, asks, and puts the answer together.

use actix_web::web::{Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::auth;
use crate::auth::role::Actor;
use crate::dialect::{Dialect, ModelEntry, ModelPage};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::gateway::{self, Call, TAG_HEADER};
use crate::server::api::accept::ReportFormat;
use crate::server::worker::Worker;
use crate::server::{api, app, extract, respond};

/// `POST` of a model call in a dialect.
pub(super) async fn infer(
    dialect: Dialect,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let worker = Worker::of(&request);
    let limits = worker.gateway.limits();
    let credential = extract::credential(&request);
    if extract::may_be_long(&request)
        && let Err(problem) = worker.gateway.authenticate(credential.as_deref())
    {
        return respond::http(
            worker
                .gateway
                .refuse_call(dialect, credential.as_deref(), problem),
        );
    }
    let body = match extract::body(
        &request,
        payload,
        limits.body_bytes_max,
        limits.body_timeout_ms,
    )
    .await
    {
        Ok(body) => body,
        Err(problem) => {
            return respond::http(worker.gateway.refuse_call(
                dialect,
                credential.as_deref(),
                problem,
            ));
        }
    };
    let headers = request.headers().iter();
    let headers = headers.filter(|(name, _)| gateway::is_forwarded(name.as_str()));
    let headers = headers
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let tag = request
        .headers()
        .get(TAG_HEADER)
        .map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let call = Call {
        dialect,
        credential,
        headers,
        tag,
        body,
    };
    respond::http(worker.gateway.handle(&worker.client, call).await)
}

#[derive(serde::Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// `GET /v1/models`, in the shape that the client's headers ask for.
pub(super) async fn models(request: HttpRequest) -> HttpResponse {
    listed(&request, |entries, dialect, query| {
        if dialect == Dialect::Chat {
            return Ok(crate::dialect::models_list(entries));
        }
        let page = Query::<PageQuery>::from_query(query).map_err(|_| {
            ApiError::invalid("`limit` must be a whole number from 1 to 1000").with_param("limit")
        })?;
        let limit = page
            .limit
            .unwrap_or(ModelPage::default().limit)
            .clamp(1, 1_000);
        let (after_id, before_id) = (page.after_id.as_deref(), page.before_id.as_deref());
        Ok(crate::dialect::models_page(
            entries,
            ModelPage {
                limit,
                after_id,
                before_id,
            },
        ))
    })
}

/// `GET /v1/models/{id}`.
pub(super) async fn model(request: HttpRequest, id: Path<String>) -> HttpResponse {
    listed(&request, |entries, dialect, _| {
        let entry = entries.iter().find(|entry| entry.id == *id);
        let entry = entry.ok_or_else(|| {
            ApiError::new(
                ErrorCode::ModelNotFound,
                format!("the model `{id}` is not one that this key may call; see GET /v1/models"),
            )
        })?;
        Ok(crate::dialect::model_object(entry, dialect))
    })
}

fn listed(
    request: &HttpRequest,
    show: impl FnOnce(&[ModelEntry], Dialect, &str) -> Result<String, ApiError>,
) -> HttpResponse {
    let worker = Worker::of(request);
    let dialect = if request.headers().contains_key("anthropic-version") {
        Dialect::Messages
    } else {
        Dialect::Chat
    };
    let shown = worker
        .gateway
        .models(extract::credential(request).as_deref(), dialect)
        .and_then(|names| {
            let entry = |(id, owned_by)| ModelEntry {
                id,
                created_s: MODELS_CREATED_S,
                owned_by,
            };
            let entries: Vec<ModelEntry> = names.into_iter().map(entry).collect();
            show(&entries, dialect, request.query_string())
        });
    match shown {
        Ok(json) => HttpResponse::Ok()
            .content_type("application/json")
            .body(json),
        Err(problem) => respond::http(worker.gateway.refuse(dialect, &problem)),
    }
}

/// 2026-01-01: vendors give each model's birthday; the gateway has one date for all.
const MODELS_CREATED_S: u64 = 1_767_225_600;

/// A call of the control plane: over the local socket by the peer's user, else by an administrative key.
pub(super) async fn administer(request: HttpRequest, payload: Payload) -> HttpResponse {
    let worker = Worker::of(&request);
    match administered(worker, &request, payload).await {
        Ok(answer) => respond::administrative(answer),
        Err(problem) => respond::http(worker.gateway.refuse(Dialect::Chat, &problem)),
    }
}

async fn administered(
    worker: &Worker,
    request: &HttpRequest,
    payload: Payload,
) -> Result<api::ApiReply, ApiError> {
    let actor = actor(worker, request)?;
    let body = extract::body(
        request,
        payload,
        api::BODY_BYTES_MAX,
        worker.gateway.limits().body_timeout_ms,
    )
    .await?;
    let wanted = ReportFormat::accepted(
        request
            .headers()
            .get("accept")
            .and_then(|value| value.to_str().ok()),
    );
    let (method, path, query) = (
        request.method().as_str(),
        request.path(),
        request.query_string(),
    );
    api::handle(&worker.control, &actor, method, path, query, &body, wanted).await
}

/// Who administers here: the local peer, or the holder of an administrative key.
pub(super) fn actor(worker: &Worker, request: &HttpRequest) -> Result<Actor, ApiError> {
    match extract::local_actor(request) {
        Some(actor) => Ok(actor),
        None => auth::authenticate_admin(
            &worker.directory.load(),
            extract::credential(request).as_deref(),
        ),
    }
}

/// `GET /v1/responses`: a client that would rather speak over a WebSocket. Any other answer makes it ask again and again.
pub(super) async fn no_upgrade(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    let message = "this gateway speaks HTTP/1.1 and server-sent events, and upgrades to no other protocol; send a POST";
    let mut refusal = worker.gateway.refuse(
        Dialect::Chat,
        &ApiError::new(ErrorCode::UpgradeRefused, message),
    );
    refusal
        .headers
        .push(("upgrade".to_owned(), "HTTP/1.1".to_owned()));
    respond::http(refusal)
}

/// Everything else: an endpoint without a meter does not exist, and is never passed on.
pub(super) async fn not_served(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    let path: String = request.path().chars().take(100).collect();
    let problem = if path.starts_with("/v1/") {
        let message = format!(
            "{} {path} is not served by this gateway; it is not passed on, because it has no meter",
            request.method()
        );
        ApiError::new(ErrorCode::NotSupported, message)
    } else {
        ApiError::new(ErrorCode::NotFound, format!("there is nothing at {path}"))
    };
    // whoever asks with a key finds it among his refusals
    respond::http(worker.gateway.refuse_call(
        app::dialect_of(&path),
        extract::credential(&request).as_deref(),
        problem,
    ))
}
