//! Events of the process: start with the configuration and what changed in it since the last start, the hash of the binary once requests
//! are served, and stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use ring::hmac;
use serde_json::{Map, Value, json};

use crate::auth::role::Actor;
use crate::config::{Setting, WrittenConfig};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::store::seal::SealKey;
use crate::store::{ChangeTransaction, StoreError};

/// Changed settings that an event lists.
const CHANGES_MAX: usize = 100;
/// Letters of a value that an event shows.
const VALUE_LETTERS_MAX: usize = 200;
/// Longest wait for the last event; a stalled disk does not hold up the shutdown.
const STOP_WAIT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 1 << 20;
/// Marks the digest of a secret among the values that are remembered.
const DIGEST: &str = "#";

type Settings = BTreeMap<String, String>;

impl Control {
    /// Records the start with its configuration. Without these events the process does not serve.
    pub async fn record_start(
        &self,
        listen: String,
        config: &WrittenConfig,
        seal_key: &SealKey,
    ) -> Result<(), ApiError> {
        let settings = remembered(config, seal_key);
        let sha256 = config.sha256.clone();
        let (control, at_ms) = (self.clone(), self.now_ms());
        let start = move |books: &mut ChangeTransaction<'_>| {
            let detail = json!({ "version": env!("CARGO_PKG_VERSION"), "listen": listen });
            let (actor, subject) = (Actor::Process, "process".to_owned());
            let event = control.event(&actor, at_ms, "process.start", subject, detail);
            books.append_audit(&event)?;
            append_config(&control, books, (&sha256, &settings))
        };
        Ok(self.store.write::<(), StoreError>(start).await?)
    }

    /// Records a configuration that is read again while the process runs.
    pub async fn record_config(
        &self,
        config: &WrittenConfig,
        seal_key: &SealKey,
    ) -> Result<(), ApiError> {
        let settings = remembered(config, seal_key);
        let (sha256, control) = (config.sha256.clone(), self.clone());
        let load = move |books: &mut ChangeTransaction<'_>| {
            append_config(&control, books, (&sha256, &settings))
        };
        Ok(self.store.write::<(), StoreError>(load).await?)
    }

    /// Records the reason why a configuration was not put in force.
    pub async fn record_refused_config(&self, reason: String) -> Result<(), ApiError> {
        let detail = json!({ "reason": reason });
        let recorded = self.record(&Actor::Process, "config.refused", "config", detail);
        recorded.await.map(drop)
    }

    /// Records the stop and signs the log for the last time.
    pub async fn record_stop(&self) {
        let detail = json!({ "version": env!("CARGO_PKG_VERSION") });
        let event = self.event(
            Actor::Process,
            self.now_ms(),
            "process.stop",
            "process".to_owned(),
            detail,
        );
        let stop = self.store.write::<_, StoreError>(move |books| {
            books.append_audit(&event)?;
            books.sign_audit()
        });
        match tokio::time::timeout(STOP_WAIT, stop).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "failed to record the stop in the audit log"),
            Err(_) => tracing::warn!("timeout while recording the stop in the audit log"),
        }
    }
}

/// Remembers the settings and appends an event with those that changed.
fn append_config(
    control: &Control,
    books: &mut ChangeTransaction<'_>,
    (sha256, settings): (&str, &Settings),
) -> Result<(), StoreError> {
    let before = books.replace_settings(settings)?;
    let detail = config_detail(sha256, before.as_ref(), settings);
    let (at_ms, subject) = (control.now_ms(), "config".to_owned());
    let event = control.event(Actor::Process, at_ms, "config.load", subject, detail);
    books.append_audit(&event).map(drop)
}

/// Background task: hashes the binary and records the hash.
pub(in crate::control) async fn hash_binary(control: Control, binary: Option<PathBuf>) {
    let Some(binary) = binary else {
        return;
    };
    let hashed = tokio::task::spawn_blocking(move || hash_file(&binary)).await;
    let Ok(Ok((sha256, bytes))) = hashed else {
        tracing::warn!("failed to hash the binary for the audit log");
        return;
    };
    let _first = control.run_facts.binary_sha256.set(sha256.clone());
    let detail = json!({ "version": env!("CARGO_PKG_VERSION"), "sha256": sha256, "bytes": bytes });
    let recorded = control
        .record(&Actor::Process, "process.binary", "process", detail)
        .await;
    if let Err(error) = recorded {
        tracing::warn!(%error, "failed to record the hash of the binary in the audit log");
    }
}

fn hash_file(path: &Path) -> std::io::Result<(String, u64)> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let (mut context, mut bytes) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok((hex(context.finish().as_ref()), bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The settings in the form that the next start compares with its own; a secret only as a digest under a key of this instance.
fn remembered(config: &WrittenConfig, seal_key: &SealKey) -> Settings {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &seal_key.for_purpose("settings"));
    let value = |setting: &Setting| match setting {
        Setting::Plain(text) => text.clone(),
        Setting::Secret(text) => {
            DIGEST.to_owned() + &hex(hmac::sign(&key, text.as_bytes()).as_ref())
        }
    };
    config
        .settings
        .iter()
        .map(|(name, setting)| (name.clone(), value(setting)))
        .collect()
}

fn config_detail(sha256: &str, before: Option<&Settings>, now: &Settings) -> Value {
    let mut detail = json!({ "sha256": sha256, "settings": now.len() });
    let Some(before) = before else {
        return detail;
    };
    let mut changed = Map::new();
    let mut count = 0;
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let (from, to) = (before.get(name), now.get(name));
        if from == to {
            continue;
        }
        count += 1;
        if changed.len() < CHANGES_MAX {
            changed.insert(name.clone(), change(from, to));
        }
    }
    detail["changed"] = changed.into();
    if count > CHANGES_MAX {
        detail["changed_settings"] = count.into();
    }
    detail
}

fn change(from: Option<&String>, to: Option<&String>) -> Value {
    let is_secret = |value: Option<&String>| value.is_some_and(|value| value.starts_with(DIGEST));
    if is_secret(from) || is_secret(to) {
        return "changed".into();
    }
    let shown = |value: Option<&String>| -> Value {
        match value {
            Some(value) => value
                .chars()
                .take(VALUE_LETTERS_MAX)
                .collect::<String>()
                .into(),
            None => Value::Null,
        }
    };
    json!({ "from": shown(from), "to": shown(to) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn config(settings: &[(&str, Setting)]) -> WrittenConfig {
        let settings = settings
            .iter()
            .map(|(name, setting)| ((*name).to_owned(), setting.clone()));
        WrittenConfig {
            sha256: "00".to_owned(),
            settings: settings.collect(),
        }
    }

    #[test]
    fn changed_settings_are_shown_and_secrets_are_not() {
        let seal_key = SealKey::of_secret(&Secret::new("k".repeat(32)));
        let plain = |text: &str| Setting::Plain(text.to_owned());
        let secret = |text: &str| Setting::Secret(text.to_owned());
        let before = config(&[
            ("limits.body_mb", plain("32")),
            ("alerts.webhook", secret("https://host/hunter2")),
            ("timezone", plain("UTC")),
        ]);
        let now = config(&[
            ("limits.body_mb", plain("64")),
            ("alerts.webhook", secret("https://host/hunter3")),
            ("workers", plain("2")),
        ]);
        let (before, now) = (remembered(&before, &seal_key), remembered(&now, &seal_key));
        assert_eq!(
            config_detail("00", None, &now),
            json!({"sha256": "00", "settings": 3})
        );
        let detail = config_detail("00", Some(&before), &now);
        assert_eq!(
            detail["changed"],
            json!({
                "limits.body_mb": {"from": "32", "to": "64"},
                "alerts.webhook": "changed",
                "timezone": {"from": "UTC", "to": null},
                "workers": {"from": null, "to": "2"},
            })
        );
        assert!(!format!("{detail}{before:?}").contains("hunter"));
    }
}
