//! `/v1/settings`: settings of the configuration file for reading, and those of the books for reading and changing.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::settings::SettingRow;
use crate::domain::api_error::ApiError;
use crate::server::api::body::Fields;
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
            "managed_by_file": row.is_of_file,
        })
    };
    let data: Vec<Value> = rows.iter().map(row).collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

/// `PATCH /v1/settings`: the members are names of settings; answers with the list.
pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeSettings)?;
    let changes = Fields::of_body(&call.body)?.into_members()?;
    if changes.is_empty() {
        let message = "nothing to change; give at least one setting";
        return Err(ApiError::invalid(message));
    }
    call.control.change_settings(&grant, changes).await?;
    list(call).await
}
