//! Creation of an object: once for each `Idempotency-Key` of the actor. A repetition answers with the status of the first call and the
//! object as it is now; a secret is not shown again.

use serde_json::{Map, Value};

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;

/// Objects with a secret.
const KEYS: &str = "/v1/keys";

/// Runs the handler that creates an object; for a repetition the one that reads it.
pub(super) async fn create<C, G>(
    path: &str,
    call: ApiCall,
    create: impl FnOnce(ApiCall) -> C,
    get: impl FnOnce(ApiCall) -> G,
) -> Result<ApiReply, ApiError>
where
    C: Future<Output = Result<ApiReply, ApiError>>,
    G: Future<Output = Result<ApiReply, ApiError>>,
{
    let Some(key) = call.idempotency.clone() else {
        return create(call).await;
    };
    let reader = call.clone();
    let control = call.control.clone().once(Some(key.clone()));
    let created = create(ApiCall { control, ..call }).await;
    let Some(id) = key.earlier() else {
        return created;
    };
    let id = id.to_owned();
    let reply = get(ApiCall { id, ..reader }).await.map_err(gone)?;
    repetition(path, reply)
}

fn gone(error: ApiError) -> ApiError {
    if error.code != ErrorCode::NotFound {
        return error;
    }
    ApiError::new(
        ErrorCode::Conflict,
        "the object that was created with this `Idempotency-Key` is deleted; use a new key for a new object",
    )
}

fn repetition(path: &str, reply: ApiReply) -> Result<ApiReply, ApiError> {
    let repeated = ApiReply {
        status: 201,
        ..reply
    };
    if path != KEYS {
        return Ok(repeated);
    }
    let mut object: Map<String, Value> = serde_json::from_str(&repeated.text).unwrap_or_default();
    object.insert("key".to_owned(), Value::Null);
    object.insert("key_shown".to_owned(), Value::Bool(true));
    let text = Value::Object(object).to_string();
    Ok(ApiReply { text, ..repeated })
}
