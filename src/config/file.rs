//! The TOML file as written: takes the text, hands out its keys one by one with their lines, and collects every fault
//! instead of stopping at the first. Never repeats a value that may be a secret.

use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing wrong with the configuration: where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `gatekeeper.toml:7`, `--listen`
    pub place: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything wrong with the configuration, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    pub fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError {
            place: place.into(),
            message: message.into(),
        });
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value with the place to name when it turns out to be wrong.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    /// `gatekeeper.toml:7`
    pub place: String,
    /// `providers.openai.base_url`
    pub key: String,
    pub value: T,
}

impl<T> Spanned<T> {
    pub fn fault(&self, faults: &mut ConfigErrors, message: impl fmt::Display) {
        faults.add(self.place.clone(), format!("{}: {message}", self.key));
    }

    /// The value, or a fault saying what is wrong with it.
    pub fn checked<U>(
        self,
        faults: &mut ConfigErrors,
        check: impl FnOnce(&T) -> Result<U, String>,
    ) -> Option<U> {
        check(&self.value)
            .map_err(|message| self.fault(faults, message))
            .ok()
    }
}

/// Reads a whole file into its top section. Syntax faults are added; what could be read is handed out all the same.
pub(super) fn parse<'t>(name: &str, text: &'t str, faults: &mut ConfigErrors) -> Section<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let origin = Origin {
        name: name.to_owned(),
        text,
    };
    for error in errors {
        let line = error.span().map_or(1, |span| origin.line(span.start));
        // the message only: the library's own display repeats the line, and a key may stand on it
        faults.add(
            format!("{name}:{line}"),
            format!(
                "not TOML: {}",
                error.message().lines().next().unwrap_or("syntax error")
            ),
        );
    }
    Section::new(origin, String::new(), table.into_inner())
}

#[derive(Clone)]
struct Origin<'t> {
    name: String,
    text: &'t str,
}

impl Origin<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(at)
            .filter(|byte| *byte == b'\n')
            .count()
    }

    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.name, self.line(at))
    }
}

/// One table of the file. Each key is taken once; what nobody took is unknown.
pub(super) struct Section<'t> {
    origin: Origin<'t>,
    /// `limits.`; empty at the top
    prefix: String,
    entries: Vec<Spanned<DeValue<'t>>>,
    /// keys that exist, to be listed beside an unknown one
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    fn new(origin: Origin<'t>, prefix: String, table: DeTable<'t>) -> Section<'t> {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'t>>)| {
            let key: Spanned<std::borrow::Cow<'t, str>> = key;
            let place = origin.place(key.span().start);
            Spanned {
                place,
                key: format!("{prefix}{}", key.get_ref()),
                value: value.into_inner(),
            }
        };
        let entries = table.into_iter().map(entry).collect();
        Section {
            origin,
            prefix,
            entries,
            asked: Vec::new(),
        }
    }

    /// Takes a key as it stands.
    pub fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.asked.push(key);
        let at = self
            .entries
            .iter()
            .position(|entry| entry.key[self.prefix.len()..] == *key)?;
        Some(self.entries.remove(at))
    }

    pub fn text(
        &mut self,
        key: &'static str,
        faults: &mut ConfigErrors,
    ) -> Option<Spanned<String>> {
        let entry = self.take(key)?;
        match &entry.value {
            DeValue::String(text) => Some(Spanned {
                value: text.to_string(),
                place: entry.place,
                key: entry.key,
            }),
            other => {
                entry.fault(
                    faults,
                    format_args!("is {}; write a text in quotes", kind(other)),
                );
                None
            }
        }
    }

    /// A whole number within its range, or the default.
    pub fn whole(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        faults: &mut ConfigErrors,
    ) -> u64 {
        let Some(entry) = self.take(key) else {
            return default;
        };
        let number = match &entry.value {
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        if let Some(number) = number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| range.contains(number))
        {
            return number;
        }
        let written = number.map_or(kind(&entry.value).to_owned(), |number| number.to_string());
        entry.fault(
            faults,
            format_args!(
                "is {written}; write a whole number from {} to {}",
                range.start(),
                range.end()
            ),
        );
        default
    }

    /// One of a few words, or the default.
    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        words: &[(&str, T)],
        faults: &mut ConfigErrors,
    ) -> T {
        let Some(written) = self.text(key, faults) else {
            return default;
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == written.value) {
            return *meaning;
        }
        let choices: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        written.fault(
            faults,
            format_args!("is \"{}\"; write {}", written.value, choices.join(" or ")),
        );
        default
    }

    /// A list of texts; empty when the key is missing.
    pub fn texts(&mut self, key: &'static str, faults: &mut ConfigErrors) -> Vec<Spanned<String>> {
        let Some(entry) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = &entry.value else {
            entry.fault(
                faults,
                format_args!(
                    "is {}; write a list like [\"a\", \"b\"]",
                    kind(&entry.value)
                ),
            );
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => {
                    texts.push(Spanned {
                        place: entry.place.clone(),
                        key: entry.key.clone(),
                        value: text.to_string(),
                    });
                }
                other => entry.fault(
                    faults,
                    format_args!("holds {}; every item is a text in quotes", kind(other)),
                ),
            }
        }
        texts
    }

    /// A table below this one; an empty one when the key is missing.
    pub fn section(&mut self, key: &'static str, faults: &mut ConfigErrors) -> Section<'t> {
        match self.take(key) {
            Some(entry) => self.below(entry, faults),
            None => Section::new(
                self.origin.clone(),
                format!("{}{key}.", self.prefix),
                DeTable::new(),
            ),
        }
    }

    /// Turns a value that was taken into the table it should be.
    pub fn below(&self, entry: Spanned<DeValue<'t>>, faults: &mut ConfigErrors) -> Section<'t> {
        let prefix = format!("{}.", entry.key);
        let table = match entry.value {
            DeValue::Table(table) => table,
            ref other => {
                entry.fault(
                    faults,
                    format_args!("is {}; write a table: [{}]", kind(other), entry.key),
                );
                DeTable::new()
            }
        };
        Section::new(self.origin.clone(), prefix, table)
    }

    /// Takes every table that is left, for sections whose keys are names of the operator's choosing.
    pub fn named(&mut self, faults: &mut ConfigErrors) -> Vec<(Spanned<String>, Section<'t>)> {
        let entries = std::mem::take(&mut self.entries);
        let named = |entry: Spanned<DeValue<'t>>| {
            let name = entry.key[self.prefix.len()..].to_owned();
            let written = Spanned {
                place: entry.place.clone(),
                key: entry.key.clone(),
                value: name,
            };
            (written, self.below(entry, faults))
        };
        entries.into_iter().map(named).collect()
    }

    /// Takes every text that is left, for sections whose keys are names of the operator's choosing.
    pub fn pairs(&mut self, faults: &mut ConfigErrors) -> Vec<(String, Spanned<String>)> {
        let entries = std::mem::take(&mut self.entries);
        let pair = |entry: Spanned<DeValue<'t>>| match &entry.value {
            DeValue::String(text) => {
                let name = entry.key[self.prefix.len()..].to_owned();
                Some((
                    name,
                    Spanned {
                        value: text.to_string(),
                        place: entry.place,
                        key: entry.key,
                    },
                ))
            }
            other => {
                entry.fault(
                    faults,
                    format_args!("is {}; write a text in quotes", kind(other)),
                );
                None
            }
        };
        entries.into_iter().filter_map(pair).collect()
    }

    /// Names every key that nobody asked for. Its value is not shown: a misspelt `api_key` holds one.
    pub fn finish(self, faults: &mut ConfigErrors) {
        for entry in &self.entries {
            entry.fault(
                faults,
                format_args!(
                    "is not a key that is known here; the keys are {}",
                    self.asked.join(", ")
                ),
            );
        }
    }
}

/// What a value is, in words; the value itself may be a secret.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
