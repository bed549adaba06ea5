//! TOML reader: takes the text of the file, returns its keys one by one with their lines, and collects every error
//! instead of stopping at the first. Must never repeat a value that may be a secret.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

/// One invalid setting: its location, the cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `gatekeeper.toml:7`, `--listen`
    pub location: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

/// All errors of a configuration, displayed one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    pub fn add(&mut self, location: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError {
            location: location.into(),
            message: message.into(),
        });
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value with the location and key that error messages name.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    /// `gatekeeper.toml:7`
    pub location: String,
    /// `providers.openai.base_url`
    pub key: String,
    pub value: T,
}

impl<T> Spanned<T> {
    pub fn report(&self, errors: &mut ConfigErrors, message: impl fmt::Display) {
        errors.add(self.location.clone(), format!("{}: {message}", self.key));
    }

    /// Returns the parsed value, or reports the parser's message.
    pub fn parse<U>(
        self,
        errors: &mut ConfigErrors,
        parse: impl FnOnce(&T) -> Result<U, String>,
    ) -> Option<U> {
        parse(&self.value)
            .map_err(|message| self.report(errors, message))
            .ok()
    }

    pub fn with_value<U>(self, value: U) -> Spanned<U> {
        Spanned {
            location: self.location,
            key: self.key,
            value,
        }
    }
}

/// Parses a file into its top-level section. Syntax errors are reported; the readable rest is returned all the same.
pub(super) fn parse<'t>(name: &str, text: &'t str, errors: &mut ConfigErrors) -> Section<'t> {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    let origin = Origin {
        name: name.to_owned(),
        text,
    };
    for error in syntax_errors {
        let line = error.span().map_or(1, |span| origin.line(span.start));
        // only the message: the library's Display repeats the line, which may hold a key
        let cause = error.message().lines().next().unwrap_or("syntax error");
        errors.add(format!("{name}:{line}"), format!("invalid TOML: {cause}"));
    }
    Section::new(origin, String::new(), table.into_inner())
}

#[derive(Clone)]
struct Origin<'t> {
    name: String,
    text: &'t str,
}

impl Origin<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        1 + before.filter(|byte| *byte == b'\n').count()
    }

    fn location(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line(offset))
    }
}

/// One table of the file. The resolver takes each key once; the keys left over are unknown.
pub(super) struct Section<'t> {
    origin: Origin<'t>,
    /// `limits.`; empty at the top level
    prefix: String,
    entries: Vec<Spanned<DeValue<'t>>>,
    /// every key that the resolver asked for, listed in the error about an unknown key
    known_keys: Vec<&'static str>,
}

impl<'t> Section<'t> {
    fn new(origin: Origin<'t>, prefix: String, table: DeTable<'t>) -> Section<'t> {
        let entry =
            |(key, value): (toml::Spanned<Cow<'t, str>>, toml::Spanned<DeValue<'t>>)| Spanned {
                location: origin.location(key.span().start),
                key: format!("{prefix}{}", key.get_ref()),
                value: value.into_inner(),
            };
        let entries = table.into_iter().map(entry).collect();
        Section {
            origin,
            prefix,
            entries,
            known_keys: Vec::new(),
        }
    }

    /// Takes the unparsed value of a key.
    pub fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known_keys.push(key);
        let index = self
            .entries
            .iter()
            .position(|entry| entry.key[self.prefix.len()..] == *key)?;
        Some(self.entries.remove(index))
    }

    /// Takes a string.
    pub fn string(
        &mut self,
        key: &'static str,
        errors: &mut ConfigErrors,
    ) -> Option<Spanned<String>> {
        into_string(self.take(key)?, errors)
    }

    /// Takes a boolean, or returns the default.
    pub fn boolean(&mut self, key: &'static str, default: bool, errors: &mut ConfigErrors) -> bool {
        let Some(entry) = self.take(key) else {
            return default;
        };
        if let DeValue::Boolean(value) = &entry.value {
            return *value;
        }
        let found = type_name(&entry.value);
        entry.report(
            errors,
            format_args!("expected a boolean, found {found}; write true or false"),
        );
        default
    }

    /// Takes an integer within its range, or returns the default.
    pub fn integer(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        errors: &mut ConfigErrors,
    ) -> u64 {
        let Some(entry) = self.take(key) else {
            return default;
        };
        let number = match &entry.value {
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let in_range = number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| range.contains(number));
        if let Some(number) = in_range {
            return number;
        }
        let cause = match number {
            Some(number) => format!("invalid value {number}"),
            None => format!("expected an integer, found {}", type_name(&entry.value)),
        };
        let (min, max) = (range.start(), range.end());
        entry.report(
            errors,
            format_args!("{cause}; use an integer from {min} to {max}"),
        );
        default
    }

    /// Takes an integer within its range; `None` if the key is absent or invalid.
    pub fn optional_integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        errors: &mut ConfigErrors,
    ) -> Option<u64> {
        let is_present = self.contains(key);
        let (absent, reported) = (range.end().saturating_add(1), errors.0.len());
        let number = self.integer(key, absent, range, errors);
        (is_present && errors.0.len() == reported).then_some(number)
    }

    fn contains(&self, key: &str) -> bool {
        let mut keys = self.entries.iter().map(|entry| &entry.key);
        keys.any(|entry| entry.strip_prefix(&self.prefix) == Some(key))
    }

    /// Takes one of a few keywords, or returns the default.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&str, T)],
        errors: &mut ConfigErrors,
    ) -> T {
        let Some(entry) = self.string(key, errors) else {
            return default;
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == entry.value) {
            return *value;
        }
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let message = format!(
            "invalid value \"{}\"; use {}",
            entry.value,
            words.join(" or ")
        );
        entry.report(errors, message);
        default
    }

    /// Takes an array of strings; `None` if the key is absent.
    pub fn strings_if_present(
        &mut self,
        key: &'static str,
        errors: &mut ConfigErrors,
    ) -> Option<Vec<Spanned<String>>> {
        let is_present = self.contains(key);
        let strings = self.strings(key, errors);
        is_present.then_some(strings)
    }

    /// Takes an array of strings; empty if the key is absent.
    pub fn strings(
        &mut self,
        key: &'static str,
        errors: &mut ConfigErrors,
    ) -> Vec<Spanned<String>> {
        let Some(entry) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = &entry.value else {
            let found = type_name(&entry.value);
            let message = format!("expected an array, found {found}; write [\"a\", \"b\"]");
            entry.report(errors, message);
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => {
                    strings.push(entry.clone().with_value(text.to_string()));
                }
                other => entry.report(
                    errors,
                    format_args!(
                        "expected an array of strings, found {} in it; write every item in quotes",
                        type_name(other)
                    ),
                ),
            }
        }
        strings
    }

    /// Takes a nested table; an empty one if the key is absent.
    pub fn section(&mut self, key: &'static str, errors: &mut ConfigErrors) -> Section<'t> {
        match self.take(key) {
            Some(entry) => self.nested(entry, errors),
            None => Section::new(
                self.origin.clone(),
                format!("{}{key}.", self.prefix),
                DeTable::new(),
            ),
        }
    }

    /// Turns a taken value into a section.
    pub fn nested(&self, entry: Spanned<DeValue<'t>>, errors: &mut ConfigErrors) -> Section<'t> {
        let prefix = format!("{}.", entry.key);
        let table = match entry.value {
            DeValue::Table(table) => table,
            ref other => {
                let found = type_name(other);
                let message = format!("expected a table, found {found}; write [{}]", entry.key);
                entry.report(errors, message);
                DeTable::new()
            }
        };
        Section::new(self.origin.clone(), prefix, table)
    }

    /// Takes every remaining table, for sections whose keys are chosen by the operator.
    pub fn named_sections(
        &mut self,
        errors: &mut ConfigErrors,
    ) -> Vec<(Spanned<String>, Section<'t>)> {
        let entries = std::mem::take(&mut self.entries);
        let named = |entry: Spanned<DeValue<'t>>| {
            let name = entry.key[self.prefix.len()..].to_owned();
            (entry.clone().with_value(name), self.nested(entry, errors))
        };
        entries.into_iter().map(named).collect()
    }

    /// Takes every remaining string, for sections whose keys are chosen by the operator.
    pub fn named_strings(&mut self, errors: &mut ConfigErrors) -> Vec<(String, Spanned<String>)> {
        let entries = std::mem::take(&mut self.entries);
        let named = |entry: Spanned<DeValue<'t>>| {
            let name = entry.key[self.prefix.len()..].to_owned();
            Some((name, into_string(entry, errors)?))
        };
        entries.into_iter().filter_map(named).collect()
    }

    /// Reports every key that the resolver did not take. Its value is not shown: a misspelt `api_key` holds a secret.
    pub fn finish(self, errors: &mut ConfigErrors) {
        let known = self.known_keys.join(", ");
        for entry in &self.entries {
            entry.report(errors, format_args!("unknown key; the keys are {known}"));
        }
    }
}

fn into_string(entry: Spanned<DeValue<'_>>, errors: &mut ConfigErrors) -> Option<Spanned<String>> {
    if let DeValue::String(text) = &entry.value {
        let text = text.to_string();
        return Some(entry.with_value(text));
    }
    let found = type_name(&entry.value);
    let message = format!("expected a string, found {found}; write it in quotes");
    entry.report(errors, message);
    None
}

/// Type of a value, for messages; the value itself may be a secret.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date-time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
