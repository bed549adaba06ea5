//! Adopted time and the wall clock over HTTP. Decides nothing itself.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::domain::api_error::ApiError;
use crate::domain::time::STEADY_MS;
use crate::server::api::ApiReply;
use crate::server::api::views::instant;

/// `GET /v1/clock`
pub async fn show(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let status = control
        .clock(&Grant::for_actor(actor, may::ReadClock)?)
        .await;
    ApiReply::ok(&json!({
        "object": "clock",
        "adopted": instant(status.now_ms),
        "wall": instant(status.wall_ms),
        "ahead_ms": status.ahead_ms(),
        "in_step": status.in_step(),
        "steady_ms": status.steady_ms,
        "adopted_after_ms": STEADY_MS,
    }))
}

/// `POST /v1/clock/accept`
pub async fn accept(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let adoption = control
        .accept_clock(&Grant::for_actor(actor, may::AcceptClock)?)
        .await?;
    ApiReply::ok(&json!({
        "object": "clock_adoption",
        "from": instant(adoption.from_ms),
        "to": instant(adoption.anchor.now_ms),
        "by_ms": adoption.by_ms(),
    }))
}
