//! `/v1/instance`: release, identity and the things that an operator has to renew: certificate, backup, prices.

use serde_json::json;

use crate::auth::role::may;
use crate::domain::api_error::ApiError;
use crate::server::api::call::ApiCall;
use crate::server::api::prices::facts_json;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;

/// `GET /v1/instance`
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadSettings)?;
    let status = call.control.instance(&grant).await?;
    let prices = call
        .control
        .price_sheet(&call.grant(may::ReadPrices)?)
        .await?;
    let certificate = status
        .certificate_end_ms
        .map(|end| json!({ "ends_at": rfc3339(end) }));
    let backup = status
        .last_backup
        .map(|backup| json!({ "at": rfc3339(backup.at_ms), "by": backup.actor }));
    ApiReply::ok(&json!({
        "object": "instance",
        "id": status.id,
        "version": env!("CARGO_PKG_VERSION"),
        "binary_sha256": status.binary_sha256,
        "seal_key_id": status.seal_key_id,
        "certificate": certificate,
        "last_backup": backup,
        "price_sheet": facts_json(&prices.in_force),
    }))
}
