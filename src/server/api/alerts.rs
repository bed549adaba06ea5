//! `POST /v1/alerts/test`: sends one message to the webhook of the alerts.

use serde_json::json;

use crate::auth::role::may;
use crate::domain::api_error::ApiError;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;

pub(crate) async fn test(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::TestAlerts)?;
    let sent = call.control.test_alert(&grant, &call.client).await?;
    ApiReply::ok(&json!({ "object": "alert_test", "ok": sent.is_ok(), "reason": sent.err() }))
}
