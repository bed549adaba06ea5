//! The configuration as it is written: hash of the file, and its keys with their values, for the audit log. Values that may hold a secret
//! are marked, and must never be shown.

use std::collections::BTreeMap;
use std::fmt;

use ring::digest::{SHA256, digest};
use toml::{Table, Value};

use super::reference;

/// Keys whose text may contain a token although they name no source of a secret.
const ADDRESSES: [&str; 3] = ["webhook", "forward", "base_url"];

/// Value of a key as it is written.
#[derive(Clone, PartialEq, Eq)]
pub enum Setting {
    Plain(String),
    Secret(String),
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Plain(text) => f.write_str(text),
            Setting::Secret(_) => f.write_str("[secret]"),
        }
    }
}

/// Hash and keys of the file.
#[derive(Clone)]
pub struct WrittenConfig {
    /// of the text, in hexadecimal digits
    pub sha256: String,
    /// by path, such as `limits.body_mb`
    pub settings: BTreeMap<String, Setting>,
}

/// Shows nothing: values may be secrets.
impl fmt::Debug for WrittenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenConfig")
    }
}

impl WrittenConfig {
    /// Reads a text that the resolver has accepted.
    pub(super) fn of(text: &str) -> WrittenConfig {
        let hash = digest(&SHA256, text.as_bytes());
        let mut settings = BTreeMap::new();
        if let Ok(table) = text.parse::<Table>() {
            add(&mut settings, "", &table, false);
        }
        WrittenConfig {
            sha256: hash
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            settings,
        }
    }
}

fn add(settings: &mut BTreeMap<String, Setting>, prefix: &str, table: &Table, is_secret: bool) {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        let is_secret =
            is_secret || ADDRESSES.contains(&name.as_str()) || reference::may_hold_secret(name);
        match value {
            Value::Table(table) => add(settings, &format!("{path}."), table, is_secret),
            value => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => serde_json::to_string(other).unwrap_or_default(),
                };
                let setting = if is_secret {
                    Setting::Secret(text)
                } else {
                    Setting::Plain(text)
                };
                settings.insert(path, setting);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_keys_are_flat_and_secrets_are_marked() {
        let text = "workers = 2\n[alerts]\nwebhook = \"https://h/?t=1\"\n[providers.a]\napi_key = \"env:A\"\nmodels = [\"m\"]\n";
        let written = WrittenConfig::of(text);
        let secret = |path: &str| matches!(written.settings[path], Setting::Secret(_));
        assert_eq!(written.settings["workers"], Setting::Plain("2".into()));
        assert_eq!(
            written.settings["providers.a.models"],
            Setting::Plain("[\"m\"]".into())
        );
        assert!(secret("alerts.webhook") && secret("providers.a.api_key"));
        assert_eq!(written.sha256.len(), 64);
        assert!(!format!("{written:?}").contains("env:A"));
    }
}
