//! `ApiCall`: one call of the control plane, read from HTTP. Holds the authenticated actor and the unparsed id, query and body;
//! the file of each resource parses them.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use bytes::Bytes;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, Permit};
use crate::control::{Control, IdempotencyKey};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::RequestId;
use crate::domain::sign_in::Session;
use crate::gateway::Gateway;
use crate::server::api::accept::ReportFormat;
use crate::server::extract::{self, BodyLimits};
use crate::server::public_url::PublicUrl;
use crate::server::worker::Worker;
use crate::upstream::Client;

/// Body of a control-plane call at most: 64 patterns and 16 budgets fit many times.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Paths with a longer body: the document with the whole state, 30,000 keys; a price sheet, 15,000 models.
const LONG_BODIES: [&str; 2] = ["/v1/state", "/v1/prices/sheet"];
const LONG_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone)]
pub(crate) struct ApiCall {
    pub control: Control,
    pub gateway: Arc<Gateway>,
    pub client: Client,
    pub public: PublicUrl,
    pub actor: Actor,
    /// session of an actor that came with a cookie
    pub session: Option<Session>,
    /// `{id}` of the path; empty where the path has none
    pub id: String,
    /// `{member}` of the path
    pub member: String,
    pub query: String,
    pub body: Bytes,
    /// of a call that creates an object
    pub idempotency: Option<Arc<IdempotencyKey>>,
    /// preferred format of a report
    pub format: ReportFormat,
}

impl ApiCall {
    /// Authenticates the actor before it reads the body.
    pub async fn read(
        request: &HttpRequest,
        payload: Payload,
        request_id: RequestId,
    ) -> Result<ApiCall, ApiError> {
        let worker = Worker::of(request);
        let (actor, session) = extract::actor(request)?;
        let limits = BodyLimits {
            bytes_max: match LONG_BODIES.contains(&request.path()) {
                true => LONG_BODY_BYTES_MAX,
                false => BODY_BYTES_MAX,
            },
            timeout_ms: worker.gateway.limits().body_timeout_ms,
            setting: None,
        };
        let body = extract::body(request, payload, limits, |_| Ok(())).await?;
        let part = |name| {
            request
                .match_info()
                .get(name)
                .unwrap_or_default()
                .to_owned()
        };
        let idempotency = extract::header(request, "idempotency-key")
            .map(|key| IdempotencyKey::parse(key, request.path(), &body))
            .transpose()?;
        Ok(ApiCall {
            control: worker
                .control
                .for_call(extract::origin(request, request_id))
                .expecting(extract::header(request, "if-match")),
            gateway: worker.gateway.clone(),
            client: worker.client.clone(),
            public: worker.public.clone(),
            actor,
            session,
            id: part("id"),
            member: part("member"),
            query: request.query_string().to_owned(),
            body,
            idempotency,
            format: ReportFormat::accepted(extract::header(request, "accept")),
        })
    }

    /// Permission of the actor for one action; 403 without it.
    pub fn grant<P: Permit>(&self, action: P) -> Result<Grant<P>, ApiError> {
        Grant::for_actor(&self.actor, action)
    }
}

/// An id of another kind, or a malformed one, is as unknown as one that was never given out.
pub(super) fn known<T>(parsed: Option<T>, kind: &str) -> Result<T, ApiError> {
    parsed.ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("unknown {kind} id; list them to see which exist"),
        )
    })
}
