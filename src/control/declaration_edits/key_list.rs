//! Several API keys of a provider (`api_keys`). Name, share and bounds of each are members of the declaration, its secret is the member
//! `api_keys.NAME`, which is sealed. A list replaces the keys, and an entry of it without `key` keeps the stored one of its name; an object
//! by name adds, changes and, with null, removes single keys. A key that stood alone as `api_key` becomes one of several, of that name.

use serde_json::{Map, Value, json};

use crate::config::{API_KEYS, key_secret};
use crate::domain::api_error::ApiError;

const SINGLE_KEY: &str = "api_key";

type Members = Map<String, Value>;

/// Edit of the keys of one provider.
struct KeyList<'m> {
    keys: Vec<Members>,
    secrets: &'m mut Members,
    /// names of the secrets that are new or gone
    replaced: Vec<String>,
}

/// Puts the value of `api_keys` over the members and secrets of a provider; returns the names of the secrets that are new or gone.
pub(super) fn put(
    plain: &mut Members,
    secrets: &mut Members,
    value: Value,
) -> Result<Vec<String>, ApiError> {
    let before = plain.remove(API_KEYS).unwrap_or_default();
    let objects = before.as_array().into_iter().flatten();
    let mut list = KeyList {
        keys: objects.filter_map(Value::as_object).cloned().collect(),
        secrets,
        replaced: Vec::new(),
    };
    match value {
        Value::Null => list.replace(Vec::new())?,
        Value::Array(entries) => list.replace(entries)?,
        Value::Object(entries) => list.merge(entries)?,
        _ => {
            return Err(invalid(
                "must be a list of keys, or an object of keys by name",
            ));
        }
    }
    let KeyList { keys, replaced, .. } = list;
    if !keys.is_empty() {
        plain.insert(API_KEYS.to_owned(), json!(keys));
    }
    Ok(replaced)
}

impl KeyList<'_> {
    fn replace(&mut self, entries: Vec<Value>) -> Result<(), ApiError> {
        let before = std::mem::take(&mut self.keys);
        for entry in entries {
            let mut entry = object(entry)?;
            let name = match entry.remove("name") {
                Some(Value::String(name)) => name,
                None => self.free_name(),
                Some(_) => return Err(invalid("has a `name` that is no text")),
            };
            if self.position(&name).is_some() {
                return Err(invalid(format!("has two keys with the name `{name}`")));
            }
            self.keys
                .push(Members::from_iter([("name".to_owned(), json!(name))]));
            self.change(&name, entry)?;
        }
        for key in before {
            let name = key["name"].as_str().unwrap_or_default();
            if self.position(name).is_none() {
                self.forget(name);
            }
        }
        Ok(())
    }

    fn merge(&mut self, entries: Members) -> Result<(), ApiError> {
        if let Some(secret) = self.secrets.remove(SINGLE_KEY) {
            self.keys
                .push(Members::from_iter([("name".to_owned(), json!(SINGLE_KEY))]));
            self.secrets.insert(key_secret(SINGLE_KEY), secret);
            self.replaced.push(SINGLE_KEY.to_owned());
        }
        for (name, entry) in entries {
            let position = self.position(&name);
            match (entry, position) {
                (Value::Null, None) => {
                    return Err(invalid(format!("has no key with the name `{name}`")));
                }
                (Value::Null, Some(position)) => {
                    self.keys.remove(position);
                    self.forget(&name);
                }
                (entry, position) => {
                    if position.is_none() {
                        self.keys
                            .push(Members::from_iter([("name".to_owned(), json!(name))]));
                    }
                    self.change(&name, object(entry)?)?;
                }
            }
        }
        Ok(())
    }

    /// Puts the members of an entry over those of the key; null takes one away.
    fn change(&mut self, name: &str, mut entry: Members) -> Result<(), ApiError> {
        let secret = key_secret(name);
        match entry.remove("key") {
            Some(Value::String(text)) => {
                self.secrets.insert(secret.clone(), text.into());
                self.replaced.push(secret);
            }
            Some(_) => return Err(invalid(format!("has a key `{name}` that is no text"))),
            None if self.secrets.contains_key(&secret) => {}
            None => {
                let message = format!("has no secret for `{name}`; give it as `key`");
                return Err(invalid(message));
            }
        }
        if let Some(position) = self.position(name) {
            let key = &mut self.keys[position];
            for (member, value) in entry {
                match value {
                    Value::Null => key.remove(&member),
                    value => key.insert(member, value),
                };
            }
        }
        Ok(())
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.keys.iter().position(|key| key["name"] == name)
    }

    fn forget(&mut self, name: &str) {
        let secret = key_secret(name);
        if self.secrets.remove(&secret).is_some() {
            self.replaced.push(secret);
        }
    }

    fn free_name(&self) -> String {
        let mut number = self.keys.len() + 1;
        while self.position(&format!("key-{number}")).is_some() {
            number += 1;
        }
        format!("key-{number}")
    }
}

/// A key is an object, or its secret alone.
fn object(entry: Value) -> Result<Members, ApiError> {
    match entry {
        Value::Object(members) => Ok(members),
        Value::String(secret) => Ok(Members::from_iter([("key".to_owned(), secret.into())])),
        _ => Err(invalid("has a key that is neither a text nor an object")),
    }
}

fn invalid(cause: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("`{API_KEYS}` {cause}")).with_param(API_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(
        plain: Value,
        secrets: Value,
        value: Value,
    ) -> Result<(Value, Value, Vec<String>), String> {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        let (mut plain, mut secrets) = (object(plain), object(secrets));
        let replaced = put(&mut plain, &mut secrets, value).map_err(|error| error.message)?;
        Ok((plain.into(), secrets.into(), replaced))
    }

    #[test]
    fn list_of_keys_replaces_them_and_keeps_stored_secrets_by_name() {
        let (plain, secrets, replaced) = edit(
            json!({}),
            json!({}),
            json!(["sk-1", {"key": "sk-2", "weight": 2}]),
        )
        .expect("two keys");
        assert_eq!(
            plain["api_keys"],
            json!([{"name": "key-1"}, {"name": "key-2", "weight": 2}])
        );
        assert_eq!(
            secrets,
            json!({"api_keys.key-1": "sk-1", "api_keys.key-2": "sk-2"})
        );
        assert_eq!(replaced, ["api_keys.key-1", "api_keys.key-2"]);
        let next = json!([{"name": "key-2", "rpm": 5}, {"name": "b", "key": "sk-3"}]);
        let (plain, secrets, replaced) = edit(plain, secrets, next).expect("two keys");
        assert_eq!(
            plain["api_keys"],
            json!([{"name": "key-2", "rpm": 5}, {"name": "b"}])
        );
        assert_eq!(
            secrets,
            json!({"api_keys.key-2": "sk-2", "api_keys.b": "sk-3"})
        );
        assert_eq!(replaced, ["api_keys.b", "api_keys.key-1"]);
        let (plain, secrets, _) = edit(plain, secrets, Value::Null).expect("no keys");
        assert_eq!((plain, secrets), (json!({}), json!({})));
    }

    #[test]
    fn object_of_keys_changes_single_ones_and_takes_the_single_key_up() {
        let (plain, secrets, replaced) = edit(
            json!({"models": ["m"]}),
            json!({"api_key": "sk-1"}),
            json!({"b": {"key": "sk-2", "tpm": 9}}),
        )
        .expect("two keys");
        assert_eq!(
            plain,
            json!({"models": ["m"], "api_keys": [{"name": "api_key"}, {"name": "b", "tpm": 9}]})
        );
        assert_eq!(
            secrets,
            json!({"api_keys.api_key": "sk-1", "api_keys.b": "sk-2"})
        );
        assert_eq!(replaced, ["api_key", "api_keys.b"]);
        let next = json!({"b": {"tpm": null, "weight": 3}, "api_key": null});
        let (plain, secrets, replaced) = edit(plain, secrets, next).expect("one key");
        assert_eq!(plain["api_keys"], json!([{"name": "b", "weight": 3}]));
        assert_eq!(secrets, json!({"api_keys.b": "sk-2"}));
        assert_eq!(replaced, ["api_keys.api_key"]);
    }

    #[test]
    fn invalid_keys_are_refused_without_their_secret() {
        for (value, cause) in [
            (json!("canary"), "list"),
            (json!([7]), "neither"),
            (json!([{"name": 7, "key": "canary"}]), "no text"),
            (
                json!([{"name": "a", "key": "canary"}, {"name": "a", "key": "canary"}]),
                "two keys",
            ),
            (json!([{"name": "a"}]), "no secret"),
            (json!({"a": {"key": 7}}), "no text"),
            (json!({"a": null}), "no key"),
        ] {
            let message = edit(json!({}), json!({}), value).expect_err(cause);
            assert!(
                message.contains(cause) && !message.contains("canary"),
                "{message}"
            );
        }
    }
}
