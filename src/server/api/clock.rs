//! `/v1/clock`: adopted time and wall clock; adoption of the wall clock.

use serde_json::json;

use crate::auth::role::may;
use crate::domain::api_error::ApiError;
use crate::domain::time::STEADY_MS;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;

/// `GET /v1/clock`
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadClock)?;
    let status = call.control.clock(&grant).await;
    ApiReply::ok(&json!({
        "object": "clock",
        "adopted": rfc3339(status.now_ms),
        "wall": rfc3339(status.wall_ms),
        "ahead_ms": status.ahead_ms(),
        "in_step": status.in_step(),
        "steady_ms": status.steady_ms,
        "adopted_after_ms": STEADY_MS,
    }))
}

/// `POST /v1/clock/accept`
pub(crate) async fn accept(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::AcceptClock)?;
    let adoption = call.control.accept_clock(&grant).await?;
    ApiReply::ok(&json!({
        "object": "clock_adoption",
        "from": rfc3339(adoption.from_ms),
        "to": rfc3339(adoption.anchor.now_ms),
        "by_ms": adoption.by_ms(),
    }))
}
