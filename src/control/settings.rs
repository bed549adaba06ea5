//! Settings of the configuration file as they are in force, without secrets. A reload puts providers, routes and aliases in force; a
//! change of another setting waits for the next start.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;

use crate::config::{Setting, WrittenConfig};

/// Sections that a reload puts in force.
const RELOADED: [&str; 3] = ["providers.", "routes.", "aliases."];

type Values = BTreeMap<String, Setting>;

/// The file as it was at the start, and as it was last read.
#[derive(Debug, Default)]
pub(super) struct FileSettings {
    started: Values,
    read: ArcSwap<Values>,
}

/// One setting of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    pub name: String,
    /// as it is in force; `None`: a secret, or not set
    pub value: Option<String>,
    pub is_secret: bool,
    /// the file has another value, which takes effect at the next start
    pub is_pending: bool,
    /// set in the file, so that the API does not change it
    pub is_of_file: bool,
}

impl FileSettings {
    pub fn of(written: &WrittenConfig) -> FileSettings {
        FileSettings {
            started: written.settings.clone(),
            read: ArcSwap::from_pointee(written.settings.clone()),
        }
    }

    /// Notes a file that was read again; returns the changed settings that take effect at the next start.
    pub fn replace(&self, written: &WrittenConfig) -> Vec<String> {
        self.read.store(written.settings.clone().into());
        let pending = self.rows().into_iter().filter(|row| row.is_pending);
        pending.map(|row| row.name).collect()
    }

    /// True for a setting of the file, as it was at the start or is now.
    pub fn has(&self, name: &str) -> bool {
        self.started.contains_key(name) || self.read.load().contains_key(name)
    }

    /// Settings by name.
    pub fn rows(&self) -> Vec<SettingRow> {
        let read = self.read.load();
        let names = self.started.keys().chain(read.keys());
        let names: std::collections::BTreeSet<&String> = names.collect();
        names
            .into_iter()
            .filter_map(|name| {
                let (started, read) = (self.started.get(name), read.get(name));
                let is_reloaded = RELOADED.iter().any(|section| name.starts_with(section));
                let in_force = if is_reloaded { read } else { started };
                let shown = in_force
                    .or(read)
                    .filter(|_| in_force.is_some() || !is_reloaded)?;
                Some(SettingRow {
                    name: name.clone(),
                    value: in_force.and_then(plain),
                    is_secret: matches!(shown, Setting::Secret(_)),
                    is_pending: !is_reloaded && started != read,
                    is_of_file: true,
                })
            })
            .collect()
    }
}

fn plain(setting: &Setting) -> Option<String> {
    match setting {
        Setting::Plain(text) => Some(text.clone()),
        Setting::Secret(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[(&str, &str)]) -> Values {
        let value = |(name, text): &(&str, &str)| {
            let setting = match name.ends_with("api_key") {
                true => Setting::Secret((*text).to_owned()),
                false => Setting::Plain((*text).to_owned()),
            };
            ((*name).to_owned(), setting)
        };
        list.iter().map(value).collect()
    }

    #[test]
    fn reloaded_section_is_in_force_and_another_waits() {
        let started = [
            ("workers", "2"),
            ("providers.a.api_key", "env:A"),
            ("providers.a.models", "[]"),
        ];
        let settings = FileSettings {
            started: values(&started),
            read: ArcSwap::from_pointee(values(&[
                ("workers", "3"),
                ("listen", "x"),
                ("providers.a.models", "[\"m\"]"),
            ])),
        };
        let rows = settings.rows();
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let workers = row("workers").expect("set");
        assert_eq!(
            (workers.value.as_deref(), workers.is_pending),
            (Some("2"), true)
        );
        assert_eq!(
            row("listen").map(|row| (row.value.clone(), row.is_pending)),
            Some((None, true))
        );
        let models = row("providers.a.models").expect("set");
        assert_eq!(
            (models.value.as_deref(), models.is_pending),
            (Some("[\"m\"]"), false)
        );
        assert_eq!(row("providers.a.api_key"), None, "no longer in the file");
    }

    #[test]
    fn secret_has_no_value() {
        let settings = FileSettings {
            started: values(&[("providers.a.api_key", "env:A")]),
            read: ArcSwap::from_pointee(values(&[("providers.a.api_key", "env:A")])),
        };
        let rows = settings.rows();
        assert!(rows[0].is_secret && rows[0].value.is_none());
    }
}
