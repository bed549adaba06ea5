//! Configuration reference: renders the table of all keys as Markdown, which is kept in `docs/configuration.md`. Tests
//! compare the table with the keys, ranges and defaults of the resolver and with the packaged file.

mod audit;
mod cache_keys;
mod key;
mod keys;
mod limit_keys;
mod otlp;
#[cfg(test)]
mod packaged;
mod price_keys;
mod provider_keys;
mod routing_keys;
mod sign_in;

use std::fmt::Write;

use key::{KeyDefault, KeyKind, KeyReference};
use keys::SECTIONS;

use crate::provider::REGISTRY;

/// Renders the reference as Markdown.
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let title = match section.name {
            "" => "Top level".to_owned(),
            name => format!("`[{name}]`"),
        };
        // writing to a String cannot fail
        let summary = section.summary.replace("{types}", &provider_types());
        let _ = write!(text, "\n## {title}\n\n{summary}\n\n{HEADING}");
        text.extend(section.keys.iter().map(KeyReference::row));
    }
    text
}

/// True for a key that names the source of a secret.
pub(super) fn may_hold_secret(name: &str) -> bool {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    keys.into_iter()
        .any(|key| key.name == name && matches!(key.kind, KeyKind::Secret | KeyKind::Secrets))
}

/// A key of a section as the member of a JSON object.
pub struct SectionMember {
    pub name: &'static str,
    pub kind: MemberKind,
    pub meaning: &'static str,
}

/// Values that a member takes.
pub enum MemberKind {
    Text,
    Flag,
    Integer(u64, u64),
    Word(&'static [&'static str]),
    Texts,
    Object,
    List,
    Any,
}

/// Keys of a section, such as `providers.NAME`.
pub fn section_members(section: &str) -> Vec<SectionMember> {
    let sections = SECTIONS.iter().filter(|known| known.name == section);
    let keys = sections.flat_map(|section| section.keys);
    let member = |key: &KeyReference| SectionMember {
        name: key.name,
        kind: match key.kind {
            KeyKind::String | KeyKind::Secret => MemberKind::Text,
            KeyKind::Boolean => MemberKind::Flag,
            KeyKind::Integer { min, max } => MemberKind::Integer(min, max),
            KeyKind::Choice(words) => MemberKind::Word(words),
            KeyKind::Strings => MemberKind::Texts,
            KeyKind::StringTable | KeyKind::Tables | KeyKind::Table => MemberKind::Object,
            KeyKind::Targets | KeyKind::Secrets => MemberKind::List,
            KeyKind::Amount | KeyKind::ChoiceOrTable(_) => MemberKind::Any,
        },
        meaning: key.meaning,
    };
    keys.map(member).collect()
}

fn provider_types() -> String {
    let names = REGISTRY.iter().map(|preset| format!("`{}`", preset.name));
    names.collect::<Vec<_>>().join(", ")
}

impl KeyReference {
    fn row(&self) -> String {
        format!(
            "| `{}` | {} | {} | {} | {} |\n",
            self.name,
            self.kind.describe(),
            self.default.describe(),
            self.unit,
            self.meaning
        )
    }
}

impl KeyKind {
    fn describe(self) -> String {
        match self {
            KeyKind::String => "string".to_owned(),
            KeyKind::Secret => "secret source".to_owned(),
            KeyKind::Secrets => "array of secret sources or tables".to_owned(),
            KeyKind::Boolean => "boolean".to_owned(),
            KeyKind::Integer { min, max } => format!("integer, {min} to {max}"),
            KeyKind::Choice(words) => quoted(words),
            KeyKind::Strings => "array of strings".to_owned(),
            KeyKind::Targets => "array of strings or tables".to_owned(),
            KeyKind::Amount => "amount".to_owned(),
            KeyKind::StringTable => "table of strings".to_owned(),
            KeyKind::Tables => "table of tables".to_owned(),
            KeyKind::Table => "table".to_owned(),
            KeyKind::ChoiceOrTable(words) => format!("{} or a table", quoted(words)),
        }
    }
}

impl KeyDefault {
    fn describe(self) -> String {
        match self {
            KeyDefault::Toml(value) => format!("`{value}`"),
            KeyDefault::Derived(description) => description.to_owned(),
            KeyDefault::Absent => "none".to_owned(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    quoted.join(" or ")
}

const HEADING: &str = "\
| Key | Type | Default | Unit | Meaning |
|---|---|---|---|---|
";

const INTRODUCTION: &str = "\
# Configuration

Generated from `src/config/reference/keys.rs` by `GK_WRITE_TABLES=1 cargo test --locked --lib configuration_reference`. Do not edit: the
test fails when this page is out of date.

Gatekeeper reads one TOML file: the one named by `--config` or `$GATEKEEPER_CONFIG`, else `./gatekeeper.toml`, else
`/etc/gatekeeper/gatekeeper.toml`. Without a file the defaults apply. `--data` or `$GATEKEEPER_DATA` overrides `data`; `--listen` or
`$GATEKEEPER_LISTEN` overrides `listen`. Unknown keys are errors. `gatekeeper check` reports all errors at once. Changes take effect at the
next start.

- A **secret source** names the place that stores a secret: `\"env:NAME\"`, `\"file:/path\"` or `\"credential:NAME\"` (systemd
  `LoadCredential=NAME:/path`). The file never contains a secret itself.
- An **amount** is a decimal number in quotes, such as `\"0.50\"`; an integer needs no quotes.

The same test writes `packaging/gatekeeper.toml`: every key as a comment, with its default.
";

#[cfg(test)]
mod tests;
