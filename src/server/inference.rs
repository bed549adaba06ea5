//! Handlers of the data plane: read the call from HTTP, pass it to the gateway, render its reply. Decide nothing themselves.

use actix_web::http::header::HeaderValue;
use actix_web::web::{Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::dialect::{self, Dialect, ModelEntry, ModelPage, Operation};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::header_list::KnownHeader;
use crate::gateway::{self, Call, MAX_COST_HEADER, MIRROR_HEADER, TAG_HEADER};
use crate::server::extract::{BodyLimits, Chunks};
use crate::server::headers::Head;
use crate::server::worker::Worker;
use crate::server::{extract, respond};
use crate::trace::TRACEPARENT_HEADER;

/// 2026-01-01: vendors date every model; the gateway has one date for all.
const MODELS_CREATED_S: u64 = 1_767_225_600;
/// Remedy of a call to an endpoint that is not served.
const SERVED: &str = "it serves POST /v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens and \
                      /v1/embeddings, and GET /v1/models";

/// `POST` of a model call in a dialect.
pub(super) async fn infer(
    dialect: Dialect,
    operation: Operation,
    request: impl Head,
    payload: impl Chunks,
) -> HttpResponse {
    let worker = request.worker();
    match read_call(worker, dialect, operation, &request, payload).await {
        Ok(call) => {
            let reply = worker.gateway.handle(&worker.client, call).await;
            respond::reply(worker, dialect, reply)
        }
        Err(error) => refuse_call(worker, dialect, operation, &request, error),
    }
}

async fn read_call(
    worker: &Worker,
    dialect: Dialect,
    operation: Operation,
    request: &impl Head,
    payload: impl Chunks,
) -> Result<Call, ApiError> {
    let credential = extract::credential(request);
    let limits = worker.gateway.limits();
    let limits = BodyLimits {
        bytes_max: limits.body_bytes_max,
        timeout_ms: limits.body_timeout_ms,
        setting: Some("`body_mb` under [limits]"),
    };
    let mut room = extract::long_body(request)
        .map(|announced| {
            extract::check_length(announced, limits)?;
            let announced = announced.unwrap_or(0) as usize;
            worker.gateway.expect_body(credential.as_deref(), announced)
        })
        .transpose()?;
    let grow = |bytes| room.as_mut().map_or(Ok(()), |room| room.grow_to(bytes));
    let body = extract::body(request, payload, limits, grow).await?;
    let body = match room {
        Some(room) => room.attach(body),
        None => body,
    };
    let (headers, extensions) = sorted_headers(request);
    let header = |name: &str| extensions.header(request, name);
    let timeouts = gateway::read_timeouts(header);
    Ok(Call {
        dialect,
        operation,
        credential,
        address: extract::client_address(request),
        headers,
        tag: extensions.bytes(TAG_HEADER),
        timeouts,
        cache: worker
            .gateway
            .cache()
            .and_then(|_| gateway::read_cache_headers(header)),
        max_cost: header(MAX_COST_HEADER).map(str::to_owned),
        no_mirror: header(MIRROR_HEADER).is_some_and(|value| value.eq_ignore_ascii_case("off")),
        user: worker
            .gateway
            .user_header()
            .and_then(header)
            .filter(|user| !user.is_empty())
            .map(str::to_owned),
        traceparent: worker
            .gateway
            .tracer()
            .is_on()
            .then(|| header(TRACEPARENT_HEADER))
            .flatten()
            .map(str::to_owned),
        trace: None,
        body,
    })
}

/// Headers whose names begin with `x-`, as most names do that a call is asked for; few requests have any.
struct ExtensionHeaders<'r>(Vec<(&'r str, &'r HeaderValue)>);

/// Headers that go along to the vendor, and those whose names begin with `x-`.
fn sorted_headers(request: &impl Head) -> (Vec<KnownHeader>, ExtensionHeaders<'_>) {
    let (mut forwarded, mut extensions) = (Vec::new(), Vec::new());
    for (name, value) in request.headers() {
        let name = name.as_str();
        if name.starts_with("x-") {
            extensions.push((name, value));
        } else if let Some((name, value)) = gateway::forwarded_name(name).zip(value.to_str().ok()) {
            forwarded.push((name, value.to_owned()));
        }
    }
    (forwarded, ExtensionHeaders(extensions))
}

impl<'r> ExtensionHeaders<'r> {
    fn value(&self, name: &str) -> Option<&'r HeaderValue> {
        let found = self.0.iter().find(|(present, _)| *present == name);
        found.map(|(_, value)| *value)
    }

    fn bytes(&self, name: &str) -> Option<Bytes> {
        let value = self.value(name)?;
        Some(Bytes::copy_from_slice(value.as_bytes()))
    }

    /// First value of any header, by its name in lower case; `None` if it is absent or no text.
    fn header(&self, request: &'r impl Head, name: &str) -> Option<&'r str> {
        match name.starts_with("x-") {
            true => self.value(name).and_then(|value| value.to_str().ok()),
            false => extract::header(request, name),
        }
    }
}

/// Refuses a call before it was read; with a valid key the refusal is logged.
fn refuse_call(
    worker: &Worker,
    dialect: Dialect,
    operation: Operation,
    request: &impl Head,
    error: ApiError,
) -> HttpResponse {
    let credential = extract::credential(request);
    let refusal = worker.gateway.refuse_call(
        dialect,
        operation,
        (credential.as_deref(), extract::client_address(request)),
        error,
    );
    respond::reply(worker, dialect, refusal)
}

#[derive(serde::Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// `GET /v1/models`, in the shape that the client's headers select.
pub(super) async fn models(request: HttpRequest) -> HttpResponse {
    list_models(&request, |entries, dialect, query| {
        if dialect == Dialect::Chat {
            return Ok(dialect::models_list(entries));
        }
        let page = Query::<PageQuery>::from_query(query).map_err(|_| {
            ApiError::invalid("`limit` must be a whole number from 1 to 1000").with_param("limit")
        })?;
        let limit = page
            .limit
            .unwrap_or(ModelPage::default().limit)
            .clamp(1, 1_000);
        let (after_id, before_id) = (page.after_id.as_deref(), page.before_id.as_deref());
        Ok(dialect::models_page(
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
    list_models(&request, |entries, dialect, _| {
        let entry = entries.iter().find(|entry| entry.id == *id);
        let entry = entry.ok_or_else(|| {
            ApiError::new(
                ErrorCode::ModelNotFound,
                format!("model `{id}` unknown or not allowed for this key; see GET /v1/models"),
            )
        })?;
        Ok(dialect::model_object(entry, dialect))
    })
}

/// Renders the models that the key may call.
fn list_models(
    request: &HttpRequest,
    render: impl FnOnce(&[ModelEntry], Dialect, &str) -> Result<String, ApiError>,
) -> HttpResponse {
    let worker = Worker::of(request);
    let dialect = if request.headers().contains_key("anthropic-version") {
        Dialect::Messages
    } else {
        Dialect::Chat
    };
    let json = worker
        .gateway
        .models(extract::credential(request).as_deref(), dialect)
        .and_then(|names| {
            let entry = |(id, owned_by)| ModelEntry {
                id,
                created_s: MODELS_CREATED_S,
                owned_by,
            };
            let entries: Vec<ModelEntry> = names.into_iter().map(entry).collect();
            render(&entries, dialect, request.query_string())
        });
    match json {
        Ok(json) => HttpResponse::Ok()
            .content_type("application/json")
            .body(json),
        Err(error) => respond::refusal(worker, dialect, &error),
    }
}

/// `GET /v1/responses`: a client that tries a WebSocket first. It retries forever after any other answer than 426.
pub(super) async fn no_upgrade(request: HttpRequest) -> HttpResponse {
    let message = "protocol upgrade not supported; send a POST over HTTP/1.1, answered with server-sent events";
    let error = ApiError::new(ErrorCode::UpgradeRefused, message);
    let worker = Worker::of(&request);
    let mut refusal = worker.gateway.refuse(Dialect::Chat, &error);
    refusal.headers.push("upgrade", "HTTP/1.1");
    respond::reply(worker, Dialect::Chat, refusal)
}

/// A served URL with a method that it does not take; `allowed` names those that it takes.
pub(super) async fn wrong_method(request: HttpRequest, allowed: &'static str) -> HttpResponse {
    let (method, path) = shown_target(&request);
    let message = format!("{path} does not take {method}; it takes {allowed}");
    let error = ApiError::new(ErrorCode::MethodNotAllowed, message);
    let (worker, dialect) = (Worker::of(&request), dialect_of(&path));
    let credential = extract::credential(&request);
    let mut refusal = worker.gateway.refuse_call(
        dialect,
        Operation::Conversation,
        (credential.as_deref(), extract::client_address(&request)),
        error,
    );
    refusal.headers.push("allow", allowed);
    respond::reply(worker, dialect, refusal)
}

/// Every other path. An endpoint whose cost the gateway cannot count is refused, never forwarded.
pub(super) async fn not_served(request: HttpRequest) -> HttpResponse {
    let (method, path) = shown_target(&request);
    let error = if path.starts_with("/v1/") {
        let message = format!("{method} {path} is not served by this gateway; {SERVED}");
        ApiError::new(ErrorCode::NotSupported, message)
    } else {
        ApiError::new(ErrorCode::NotFound, format!("unknown path {path}"))
    };
    refuse_call(
        Worker::of(&request),
        dialect_of(&path),
        Operation::Conversation,
        &request,
        error,
    )
}

/// Method and path of a request, cut to a length that fits a message.
fn shown_target(request: &HttpRequest) -> (String, String) {
    let method = request.method().as_str().chars().take(16).collect();
    (method, request.path().chars().take(100).collect())
}

/// Dialect of an error on this path.
fn dialect_of(path: &str) -> Dialect {
    if path.contains("/messages") {
        Dialect::Messages
    } else {
        Dialect::Chat
    }
}
