//! Members of a declaration after an edit: those of the edit over those of the row, and the secrets among them sealed. Secrets are opened
//! only if an edit touches one, and overwritten in memory afterwards.

use serde_json::{Map, Value, json};
use zeroize::Zeroize;

use crate::config::{API_KEYS, SECRET_MEMBERS};
use crate::control::declaration_edits::key_list;
use crate::control::declarations::seal;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::declaration::{Declaration, DeclarationKind};
use crate::store::seal::SealKey;

/// Secrets of a provider while an edit changes them.
#[derive(Default)]
struct OpenSecrets {
    /// `None`: not opened, because the edit touches none
    secrets: Option<Map<String, Value>>,
    /// names of the members that the edit replaces, for its audit event
    replaced: Vec<String>,
}

impl OpenSecrets {
    fn open(
        &mut self,
        key: &SealKey,
        row: &Declaration,
    ) -> Result<&mut Map<String, Value>, ApiError> {
        if self.secrets.is_none() {
            self.secrets = Some(seal::open(key, row).map_err(unreadable)?);
        }
        Ok(self.secrets.get_or_insert_default())
    }
}

/// Puts members over those of the row; secrets that change are sealed anew. Returns the row, and the detail of its audit event.
pub(super) fn merged(
    key: &SealKey,
    mut row: Declaration,
    members: Map<String, Value>,
    at_ms: u64,
) -> Result<(Declaration, Value), ApiError> {
    let mut plain: Map<String, Value> =
        serde_json::from_str(&row.members).map_err(|error| unreadable(error.to_string()))?;
    let mut secrets = OpenSecrets::default();
    let mut detail = Map::from_iter([("name".to_owned(), json!(row.name))]);
    let is_provider = row.kind == DeclarationKind::Provider;
    for (member, value) in members {
        if is_provider && SECRET_MEMBERS.contains(&member.as_str()) {
            put(secrets.open(key, &row)?, &member, value);
            secrets.replaced.push(member);
            continue;
        }
        let before = match is_provider && member == API_KEYS {
            true => {
                let before = plain.get(API_KEYS).cloned();
                let replaced = key_list::put(&mut plain, secrets.open(key, &row)?, value)?;
                secrets.replaced.extend(replaced);
                before
            }
            false => put(&mut plain, &member, value),
        };
        let after = plain.get(&member).cloned();
        if before != after {
            detail.insert(member, json!({ "from": before, "to": after }));
        }
    }
    if let Some(mut opened) = secrets.secrets {
        check_secrets(&opened)?;
        row.credentials = seal::seal(key, &row, &opened, at_ms)?;
        opened.values_mut().for_each(overwrite);
    }
    if !secrets.replaced.is_empty() {
        detail.insert("credentials".to_owned(), secrets.replaced.into());
    }
    row.members = Value::Object(plain).to_string();
    Ok((row, Value::Object(detail)))
}

fn unreadable(message: String) -> ApiError {
    ApiError::new(ErrorCode::Internal, message)
}

fn put(members: &mut Map<String, Value>, name: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    }
}

/// Secrets are strings, and headers an object of strings: anything else is refused before it is sealed.
fn check_secrets(secrets: &Map<String, Value>) -> Result<(), ApiError> {
    let fits = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        ("headers", Value::Object(_)) => true,
        ("headers", _) => false,
        (_, value) => value.is_string(),
    };
    match secrets.iter().find(|secret| !fits(*secret)) {
        None => Ok(()),
        Some((name, _)) => {
            let expected = match name.as_str() {
                "headers" => "an object of strings",
                _ => "a string",
            };
            let message = format!("`{name}` must be {expected}");
            Err(ApiError::invalid(message).with_param(name.clone()))
        }
    }
}

fn overwrite(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}
