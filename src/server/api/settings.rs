//! `/v1/settings`: settings of the configuration file for reading, those of the books for reading and changing, and everything that
//! stores content of calls.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::settings::SettingRow;
use crate::control::stored_content::StoredContent;
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
    let stored = call.control.stored_content(&grant);
    let stored: Vec<Value> = stored.iter().map(stored_json).collect();
    ApiReply::ok(&json!({ "data": data, "next": null, "stored_content": stored }))
}

/// A store of content: always sealed, and in no backup.
fn stored_json(stored: &StoredContent) -> Value {
    json!({
        "object": "stored_content",
        "name": stored.name,
        "on": stored.is_on,
        "what": stored.what,
        "file": stored.file,
        "sealed": true,
        "in_backups": false,
        "entries": stored.entries,
        "bytes": stored.bytes,
        "purge": stored.purge,
    })
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
