//! Settings that are changed through the API and kept in the books: in force at once, audited. A setting that the configuration file has is
//! the file's.

use arc_swap::ArcSwap;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::config::Retention;
use crate::control::change::Change;
use crate::control::plane::Control;
use crate::control::settings::SettingRow;
use crate::control::stored_settings::{SETTINGS, StoredSettings, Values};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::store::StoreError;

impl Control {
    /// Settings of the books over those of the configuration, in force from now on.
    pub fn with_stored_settings(
        self,
        retention: Retention,
        threshold_percent: u8,
    ) -> Result<Control, StoreError> {
        let configured = [
            ("alerts.threshold_percent", threshold_percent.into()),
            ("retention.days_days", retention.days_days),
            ("retention.hours_days", retention.hours_days),
            ("retention.refused_days", retention.refused_days),
            ("retention.requests_days", retention.requests_days),
        ];
        let configured = configured.map(|(name, value)| (name.to_owned(), value));
        let mut stored: Values = self.store.settings()?.into_iter().collect();
        stored.retain(|name, _| !self.file_settings.has(name));
        let stored_settings = StoredSettings {
            configured: Values::from(configured),
            stored: ArcSwap::from_pointee(stored),
            turn: Mutex::default(),
        };
        Ok(Control {
            stored_settings: stored_settings.into(),
            ..self
        })
    }

    /// Settings of the configuration file, and those that the API may change.
    pub fn settings(&self, _grant: &Grant<may::ReadSettings>) -> Vec<SettingRow> {
        let mut rows = self.file_settings.rows();
        let own = SETTINGS
            .iter()
            .filter(|(name, _, _)| !self.file_settings.has(name));
        rows.extend(own.map(|(name, _, _)| {
            SettingRow {
                name: (*name).to_owned(),
                value: self
                    .stored_settings
                    .value(name)
                    .map(|value| value.to_string()),
                is_secret: false,
                is_pending: false,
                is_of_file: false,
            }
        }));
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        rows
    }

    /// Changes settings together or not at all; null gives one its default back. Runs in a task of its own: a caller that hangs up must not
    /// keep stored settings out of force.
    pub async fn change_settings(
        &self,
        grant: &Grant<may::ChangeSettings>,
        changes: Map<String, Value>,
    ) -> Result<(), ApiError> {
        let (control, actor) = (self.clone(), grant.actor().clone());
        let task = tokio::spawn(async move { control.change_in_turn(&actor, changes).await });
        task.await.unwrap_or_else(|error| {
            let message = format!("change failed: {error}");
            Err(ApiError::new(ErrorCode::Internal, message))
        })
    }

    async fn change_in_turn(
        &self,
        actor: &Actor,
        changes: Map<String, Value>,
    ) -> Result<(), ApiError> {
        let _turn = self.stored_settings.turn.lock().await;
        let mut stored = Values::clone(&self.stored_settings.stored.load());
        let (mut detail, mut rows) = (Map::new(), Vec::new());
        for (name, value) in changes {
            let (before, value) = (
                self.stored_settings.value(&name),
                self.checked(&name, &value)?,
            );
            match value {
                Some(value) => stored.insert(name.clone(), value),
                None => stored.remove(&name),
            };
            let configured = self.stored_settings.configured.get(&name).copied();
            let change = json!({ "from": before, "to": value.or(configured) });
            detail.insert(name.clone(), change);
            rows.push((name, value));
        }
        let store = move |change: &mut Change<'_, '_>| {
            for (name, value) in &rows {
                change.books.put_setting(name, *value)?;
            }
            change.audit("settings.change", "settings", &Value::Object(detail))
        };
        self.apply(actor, store).await?;
        self.stored_settings.stored.store(stored.into());
        self.put_settings_in_force();
        Ok(())
    }

    /// Passes on the settings that others hold.
    pub fn put_settings_in_force(&self) {
        let percent = self.stored_settings.value("alerts.threshold_percent");
        if let Some(percent) = percent.and_then(|percent| u8::try_from(percent).ok()) {
            self.ledger.set_threshold(percent);
        }
    }

    /// Retention in force; `None` before the settings are read.
    pub(super) fn retention(&self) -> Option<Retention> {
        let days = |name: &str| self.stored_settings.value(name);
        Some(Retention {
            requests_days: days("retention.requests_days")?,
            refused_days: days("retention.refused_days")?,
            hours_days: days("retention.hours_days")?,
            days_days: days("retention.days_days")?,
        })
    }

    fn checked(&self, name: &str, value: &Value) -> Result<Option<u64>, ApiError> {
        let known = SETTINGS.iter().find(|(known, _, _)| *known == name);
        if self.file_settings.has(name) {
            let message = format!(
                "`{name}` is set in the configuration file; change it there, or take it out of the file first"
            );
            return Err(ApiError::new(ErrorCode::ManagedByFile, message).with_param(name));
        }
        let Some((_, min, max)) = known else {
            let names = SETTINGS.map(|(name, _, _)| name).join(", ");
            let name: String = name.chars().take(64).collect();
            let message = format!(
                "`{name}` is unknown, or is set in the configuration file only; this call takes {names}"
            );
            return Err(ApiError::invalid(message).with_param(name));
        };
        match value {
            Value::Null => Ok(None),
            value => value
                .as_u64()
                .filter(|number| (*min..=*max).contains(number))
                .map(Some)
                .ok_or_else(|| {
                    let message = format!("`{name}` must be a number from {min} to {max}, or null");
                    ApiError::invalid(message).with_param(name)
                }),
        }
    }
}
