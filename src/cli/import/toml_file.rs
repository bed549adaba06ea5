//! The translated configuration: providers, routes and aliases, and their text as TOML.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Largest `weight` of a target.
const WEIGHT_MAX: u64 = 1_000_000;

/// One `[providers.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Provider {
    pub name: String,
    pub preset: &'static str,
    /// keys with their values as TOML, in order; they tell providers apart
    pub settings: Vec<(&'static str, String)>,
    pub models: Vec<String>,
    pub priced_as: BTreeMap<String, String>,
    /// printed as comments
    pub notes: Vec<String>,
}

/// One target of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub model: String,
    pub weight: Option<u64>,
    pub order: Option<u64>,
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    /// keys with their values as TOML
    pub timeouts: Vec<(&'static str, String)>,
}

/// One `[routes.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub name: String,
    pub targets: Vec<Target>,
    /// keys with their values as TOML
    pub settings: Vec<(&'static str, String)>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub(super) struct TomlFile {
    /// printed as comments
    pub notes: Vec<String>,
    /// sections with their keys and values as TOML
    pub sections: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    pub providers: Vec<Provider>,
    pub routes: Vec<Route>,
    pub aliases: BTreeMap<String, String>,
}

impl TomlFile {
    pub fn render(&self) -> String {
        let mut text = "# Translated from LiteLLM's configuration. `gatekeeper check` reports what is wrong with it.\n".to_owned();
        for note in &self.notes {
            let _ = writeln!(text, "# {note}");
        }
        if !self.aliases.is_empty() {
            let pairs = self
                .aliases
                .iter()
                .map(|(alias, name)| format!("{} = {}", quoted(alias), quoted(name)));
            // writing to a String cannot fail
            let _ = writeln!(
                text,
                "\naliases = {{ {} }}",
                pairs.collect::<Vec<_>>().join(", ")
            );
        }
        for (name, settings) in &self.sections {
            let _ = writeln!(text, "\n[{name}]");
            for (key, value) in settings {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        for provider in &self.providers {
            provider.render(&mut text);
        }
        for route in &self.routes {
            route.render(&mut text);
        }
        text
    }
}

impl Provider {
    fn render(&self, text: &mut String) {
        let _ = writeln!(text, "\n[providers.{}]", self.name);
        for note in &self.notes {
            let _ = writeln!(text, "# {note}");
        }
        if self.name != self.preset {
            let _ = writeln!(text, "type = {}", quoted(self.preset));
        }
        for (key, value) in &self.settings {
            let _ = writeln!(text, "{key} = {value}");
        }
        if !self.models.is_empty() {
            let _ = writeln!(text, "models = {}", array(&self.models));
        }
        if !self.priced_as.is_empty() {
            let pairs = self
                .priced_as
                .iter()
                .map(|(name, model)| format!("{} = {}", quoted(name), quoted(model)));
            let _ = writeln!(
                text,
                "priced_as = {{ {} }}",
                pairs.collect::<Vec<_>>().join(", ")
            );
        }
    }
}

impl Route {
    /// Leaves weights only where each target has one, as a share of the others', in the range of `weight`.
    pub fn share_weights(&mut self) {
        let weights = self.targets.iter().map(|target| target.weight);
        let most = weights.collect::<Option<Vec<u64>>>();
        let most = most.filter(|weights| weights.len() > 1);
        let most = most.and_then(|weights| weights.into_iter().max());
        for target in &mut self.targets {
            let scaled = |most: u64| match most > WEIGHT_MAX {
                true => (target.weight.unwrap_or(1) * WEIGHT_MAX / most).max(1),
                false => target.weight.unwrap_or(1),
            };
            target.weight = most.map(scaled);
        }
    }

    /// Moves timeouts that all targets have to the route.
    pub fn share_timeouts(&mut self) {
        let Some(first) = self.targets.first().map(|target| target.timeouts.clone()) else {
            return;
        };
        if self.targets.iter().all(|target| target.timeouts == first) {
            self.targets
                .iter_mut()
                .for_each(|target| target.timeouts.clear());
            self.settings.extend(first);
        }
    }

    fn render(&self, text: &mut String) {
        let targets: Vec<String> = self.targets.iter().map(Target::toml).collect();
        let _ = writeln!(text, "\n[routes.{}]", quoted(&self.name));
        let _ = writeln!(text, "targets = [{}]", targets.join(", "));
        for (key, value) in &self.settings {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
}

impl Target {
    fn toml(&self) -> String {
        let mut members = format!("model = {}", quoted(&self.model));
        let numbers = [
            ("weight", self.weight),
            ("order", self.order),
            ("rpm", self.rpm),
            ("tpm", self.tpm),
        ];
        let written = numbers
            .into_iter()
            .filter_map(|(key, number)| Some((key, number?.to_string())));
        let written: Vec<_> = written.chain(self.timeouts.clone()).collect();
        if written.is_empty() {
            return quoted(&self.model);
        }
        for (key, value) in written {
            let _ = write!(members, ", {key} = {value}");
        }
        format!("{{ {members} }}")
    }
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn array(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}
