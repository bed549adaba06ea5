//! Control-plane calls of unit tests: builds an `ApiCall` of the instance's owner and reads the answer of a handler.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::auth::role::Actor;
use crate::control::test_control::TestControl;
use crate::domain::api_error::ApiError;
use crate::server::api::accept::ReportFormat;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::test_worker::worker;

pub(super) fn call(instance: &TestControl) -> ApiCall {
    let worker = worker(instance);
    ApiCall {
        control: instance.control.clone(),
        gateway: worker.gateway,
        client: worker.client,
        public: worker.public,
        actor: Actor::Local { uid: 0 },
        session: None,
        id: String::new(),
        member: String::new(),
        query: String::new(),
        body: Bytes::new(),
        idempotency: None,
        format: ReportFormat::Json,
    }
}

pub(super) fn with_body(instance: &TestControl, body: &str) -> ApiCall {
    ApiCall {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..call(instance)
    }
}

pub(super) fn with_id(instance: &TestControl, id: &Value) -> ApiCall {
    ApiCall {
        id: text(id).to_owned(),
        ..call(instance)
    }
}

pub(super) fn with_id_and_body(instance: &TestControl, id: &Value, body: &str) -> ApiCall {
    ApiCall {
        id: text(id).to_owned(),
        ..with_body(instance, body)
    }
}

pub(super) fn with_query(instance: &TestControl, query: &str) -> ApiCall {
    ApiCall {
        query: query.to_owned(),
        ..call(instance)
    }
}

/// Status and body; of an error, status and `[code, param, message]`.
pub(super) async fn answer(
    handled: impl Future<Output = Result<ApiReply, ApiError>>,
) -> (u16, Value) {
    match handled.await {
        Ok(reply) if reply.text.is_empty() => (reply.status, Value::Null),
        Ok(reply) => (
            reply.status,
            serde_json::from_str(&reply.text).expect("JSON"),
        ),
        Err(error) => (
            error.code.status(),
            json!([error.code.as_str(), error.param, error.message]),
        ),
    }
}

/// Body of a 201.
pub(super) async fn created(handled: impl Future<Output = Result<ApiReply, ApiError>>) -> Value {
    let (status, json) = answer(handled).await;
    assert_eq!(status, 201, "{json}");
    json
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
