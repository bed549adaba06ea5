//! The translated configuration: providers, routes and aliases, and their text as TOML.

use std::collections::BTreeMap;
use std::fmt::Write;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub model: String,
    pub weight: Option<u64>,
    pub order: Option<u64>,
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
    pub providers: Vec<Provider>,
    pub routes: Vec<Route>,
    pub aliases: BTreeMap<String, String>,
}

impl TomlFile {
    pub fn render(&self) -> String {
        let mut text = "# Translated from LiteLLM's configuration. `gatekeeper check` reports what is wrong with it.\n".to_owned();
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
        if (self.weight, self.order) == (None, None) {
            return quoted(&self.model);
        }
        let mut members = format!("model = {}", quoted(&self.model));
        for (key, number) in [("weight", self.weight), ("order", self.order)] {
            if let Some(number) = number {
                let _ = write!(members, ", {key} = {number}");
            }
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
