//! Bodies and JSON that providers, routes and aliases share: the members of a body are the keys of the configuration file's section, and an
//! object that was declared through the API shows them, without secrets.

use serde_json::{Map, Value, json};

use crate::control::DeclaredObject;
use crate::domain::api_error::ApiError;
use crate::domain::declaration::SealedCredential;
use crate::server::api::body::Fields;
use crate::server::api::views::rfc3339;

/// Name and members of a new declaration.
pub(super) fn parse_new(body: &[u8]) -> Result<(String, Map<String, Value>), ApiError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.require("name", "a text")?;
    Ok((name, fields.into_members()?))
}

/// Changed members of a declaration; null takes one away.
pub(super) fn parse_change(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let fields = Fields::of_body(body)?;
    if fields.has("name") {
        return Err(fields.invalid(
            "name",
            "cannot be changed, because reports and routes refer to it; create another object",
        ));
    }
    let members = fields.into_members()?;
    if members.is_empty() {
        let message = "nothing to change; give at least one member of the object";
        return Err(ApiError::invalid(message));
    }
    Ok(members)
}

/// Adds where an object is declared, and if through the API its members and credentials.
pub(super) fn add_declaration(json: &mut Value, declared: Option<&DeclaredObject>) {
    json["managed_by_file"] = json!(declared.is_none_or(|declared| declared.is_in_file));
    let Some(declared) = declared else {
        return;
    };
    let row = &declared.row;
    let members: Value = serde_json::from_str(&row.members).unwrap_or_default();
    json["members"] = members;
    json["credentials"] = row.credentials.iter().map(credential_json).collect();
    json["created_at"] = json!(rfc3339(row.created_ms));
    json["fault"] = json!(declared.fault);
}

fn credential_json(credential: &SealedCredential) -> Value {
    json!({
        "members": credential.members,
        "seal_key_id": credential.seal_key_id,
        "created_at": rfc3339(credential.created_ms),
    })
}
