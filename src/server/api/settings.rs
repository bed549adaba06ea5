//! `/v1/settings`: settings of the configuration file, for reading; the file is the place to change them.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::settings::SettingRow;
use crate::domain::api_error::ApiError;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;

/// `GET /v1/settings`.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadSettings)?;
    let rows = call.control.settings(&grant);
    let row = |row: &SettingRow| {
        json!({
            "object": "setting",
            "name": row.name,
            "value": row.value,
            "secret": row.is_secret,
            "pending": row.is_pending,
            "managed_by_file": true,
        })
    };
    let data: Vec<Value> = rows.iter().map(row).collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}
