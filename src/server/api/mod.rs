//! The control plane over HTTP: one file per resource, with handlers that parse typed input, call `control/` and render JSON or
//! CSV. `resource` connects handlers to a URL. Nothing here decides what is allowed.

pub(crate) mod accept;
mod admin_keys;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod audit_verification;
pub(crate) mod backup;
mod body;
mod budget_fields;
pub(crate) mod budgets;
pub(crate) mod cache;
mod call;
pub(crate) mod captures;
pub(crate) mod clock;
mod creation;
mod csv;
mod declaration_fields;
pub(crate) mod drills;
mod expiry;
pub(crate) mod instance;
pub(crate) mod keys;
pub(crate) mod ledger;
mod limit_fields;
mod list_query;
pub(crate) mod me;
pub(crate) mod openapi;
pub(crate) mod organizations;
pub(crate) mod prices;
pub(crate) mod providers;
mod query;
pub(crate) mod reasoning_memory;
pub(crate) mod reply;
mod request_json;
mod request_query;
pub(crate) mod requests;
pub(crate) mod resolution;
pub(crate) mod routes;
pub(crate) mod settings;
#[cfg(test)]
mod sheet_members;
pub(crate) mod sign_in;
pub(crate) mod state;
pub(crate) mod teams;
mod tenant_fields;
#[cfg(test)]
mod test_calls;
pub(crate) mod usage;
mod usage_query;
mod user_views;
pub(crate) mod users;
mod views;

use std::future::ready;

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse, Resource};

use crate::auth::denials::Denial;
use crate::auth::role::{Action, Permit};
use crate::dialect::Dialect;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::RequestId;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::worker::Worker;
use crate::server::{extract, respond};

/// A URL of the control plane with a handler per method. Any other method is a 405 that names these.
pub(super) struct ApiResource {
    path: &'static str,
    methods: Vec<Method>,
    /// `None`: every role
    actions: Vec<Option<Action>>,
    resource: Resource,
}

pub(super) fn resource(path: &'static str) -> ApiResource {
    ApiResource {
        path,
        methods: Vec::new(),
        actions: Vec::new(),
        resource: web::resource(path),
    }
}

impl ApiResource {
    pub fn get<P, R>(
        self,
        action: P,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        self.on(Method::GET, action, handler)
    }

    pub fn post<P, R>(
        self,
        action: P,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        self.on(Method::POST, action, handler)
    }

    /// Creates an object; `get` reads the one that an earlier call with the same `Idempotency-Key` created.
    pub fn create<P, C, G>(
        self,
        action: P,
        create: impl Fn(ApiCall) -> C + Clone + 'static,
        get: impl Fn(ApiCall) -> G + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        C: Future<Output = Result<ApiReply, ApiError>> + 'static,
        G: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        let path = self.path;
        self.on(Method::POST, action, move |call| {
            creation::create(path, call, create.clone(), get.clone())
        })
    }

    pub fn patch<P, R>(
        self,
        action: P,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        self.on(Method::PATCH, action, handler)
    }

    pub fn delete<P, R>(
        self,
        action: P,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        self.on(Method::DELETE, action, handler)
    }

    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Methods with the action that each needs.
    pub fn actions(&self) -> impl Iterator<Item = (&str, Option<Action>)> {
        let methods = self.methods.iter().map(Method::as_str);
        methods.zip(self.actions.iter().copied())
    }

    /// A method for every role: the answer is about the actor itself.
    pub fn any_role<R>(
        mut self,
        method: Method,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        let route =
            web::method(method.clone()).to(move |request: HttpRequest, payload: Payload| {
                answer(request, payload, handler.clone())
            });
        self.methods.push(method);
        self.actions.push(None);
        self.resource = self.resource.route(route);
        self
    }

    /// A caller without the action is refused before the handler runs.
    fn on<P, R>(
        mut self,
        method: Method,
        action: P,
        handler: impl Fn(ApiCall) -> R + Clone + 'static,
    ) -> ApiResource
    where
        P: Permit + Copy + 'static,
        R: Future<Output = Result<ApiReply, ApiError>> + 'static,
    {
        let route =
            web::method(method.clone()).to(move |request: HttpRequest, payload: Payload| {
                let handler = handler.clone();
                answer(request, payload, async move |call: ApiCall| {
                    call.grant(action)?;
                    handler(call).await
                })
            });
        self.methods.push(method);
        self.actions.push(Some(P::ACTION));
        self.resource = self.resource.route(route);
        self
    }
}

impl HttpServiceFactory for ApiResource {
    fn register(self, config: &mut AppService) {
        let (path, methods) = (self.path, self.methods);
        let refuse = move |request: HttpRequest, payload: Payload| {
            let error = method_not_allowed(path, &methods, request.method());
            refuse_method(request, payload, error, allowed(&methods))
        };
        self.resource
            .default_service(web::to(refuse))
            .register(config);
    }
}

/// Authenticates and reads the call, runs the handler, renders its answer.
async fn answer<R>(
    request: HttpRequest,
    payload: Payload,
    handler: impl FnOnce(ApiCall) -> R,
) -> HttpResponse
where
    R: Future<Output = Result<ApiReply, ApiError>>,
{
    let id = Worker::of(&request).gateway.next_id();
    let result = match ApiCall::read(&request, payload, id).await {
        Ok(call) => handler(call).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(reply) => reply.into_response(id),
        Err(error) => {
            note_denial(&request, id, &error);
            respond::refusal(Worker::of(&request), Dialect::Chat, &error)
        }
    }
}

/// Passes a denied call on to the audit log.
fn note_denial(request: &HttpRequest, id: RequestId, error: &ApiError) {
    if !matches!(
        error.code,
        ErrorCode::Authentication | ErrorCode::PermissionDenied
    ) {
        return;
    }
    let worker = Worker::of(request);
    let denial = Denial {
        at_ms: worker.time.now_ms(),
        action: "access.denied",
        subject: extract::actor(request)
            .ok()
            .map(|(actor, _)| actor.to_string()),
        address: extract::client_address(request),
        request: Some(id),
        reason: error.code.as_str(),
    };
    worker.control.denials().note(denial, worker.time.boot_ms());
}

/// Refuses a method, after authentication like every call; the caller learns the allowed ones from the header `Allow`.
async fn refuse_method(
    request: HttpRequest,
    payload: Payload,
    error: ApiError,
    allowed: String,
) -> HttpResponse {
    let mut response = answer(request, payload, |_| ready(Err(error))).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(allowed) = HeaderValue::from_str(&allowed)
    {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn method_not_allowed(path: &str, methods: &[Method], method: &Method) -> ApiError {
    let method: String = method.as_str().chars().take(16).collect();
    let allowed = allowed(methods);
    let message = format!("{path} does not take {method}; it takes {allowed}");
    ApiError::new(ErrorCode::MethodNotAllowed, message)
}

fn allowed(methods: &[Method]) -> String {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    methods.join(", ")
}

#[cfg(test)]
mod tests;
