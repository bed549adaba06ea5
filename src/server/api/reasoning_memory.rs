//! `/v1/reasoning-memory`: purge.

use serde_json::json;

use crate::auth::role::may;
use crate::domain::api_error::ApiError;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;

/// `DELETE /v1/reasoning-memory`
pub(crate) async fn purge(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::PurgeMemory)?;
    let entries = call.control.purge_memory(&grant).await?;
    ApiReply::ok(&json!({ "object": "purge", "entries": entries }))
}
