//! API keys of a provider: `api_key` with one source, or `api_keys` with several sources, each with a share of the calls and bounds of
//! its own. Takes the keys as written, returns the secrets or reports errors. A message never repeats a value: it may be a secret.

use toml::de::DeValue;

use super::file::{ConfigErrors, Section, Spanned, type_name};
use super::secret::{Environment, SecretSource};
use crate::domain::provider_key::{DeploymentLimits, ProviderKey};

const KEYS_MAX: usize = 100;
const WEIGHT_MAX: u64 = 1_000;
const NAME_BYTES_MAX: usize = 40;
const PER_MINUTE_MAX: u64 = 1_000_000_000;

/// API keys as written, with the setting that named them; a source that cannot be read is reported and left out.
pub(super) struct ApiKeySetting {
    pub written: Spanned<()>,
    pub keys: Vec<ProviderKey>,
}

/// Takes `api_key` and `api_keys`; `None` without any.
pub(super) fn take(
    section: &mut Section<'_>,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<ApiKeySetting> {
    let one = section.string("api_key", errors);
    let several = section.take("api_keys");
    match (one, several) {
        (Some(one), several) => {
            if several.is_some() {
                one.report(errors, "both api_key and api_keys present; remove one");
            }
            let key = key(&one, None, errors, environment);
            Some(ApiKeySetting {
                written: one.with_value(()),
                keys: key.into_iter().collect(),
            })
        }
        (None, Some(several)) => {
            let keys = list(section, &several, environment, errors);
            Some(ApiKeySetting {
                written: several.with_value(()),
                keys,
            })
        }
        (None, None) => None,
    }
}

/// Takes `rpm` and `tpm`.
pub(super) fn limits(section: &mut Section<'_>, errors: &mut ConfigErrors) -> DeploymentLimits {
    let mut per_minute = |key| section.optional_integer(key, 1..=PER_MINUTE_MAX, errors);
    DeploymentLimits {
        rpm: per_minute("rpm"),
        tpm: per_minute("tpm"),
    }
}

fn list(
    section: &Section<'_>,
    written: &Spanned<DeValue<'_>>,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Vec<ProviderKey> {
    let DeValue::Array(items) = &written.value else {
        let found = type_name(&written.value);
        let remedy = "write [\"env:A\", { key = \"env:B\", weight = 2 }]";
        written.report(
            errors,
            format_args!("expected an array, found {found}; {remedy}"),
        );
        return Vec::new();
    };
    if items.is_empty() || items.len() > KEYS_MAX {
        let count = items.len();
        written.report(errors, format_args!("{count} keys; use 1 to {KEYS_MAX}"));
    }
    let mut keys: Vec<ProviderKey> = Vec::new();
    for item in items {
        let entry = written.clone().with_value(item.get_ref().clone());
        let key = match &entry.value {
            DeValue::String(source) => key(
                &entry.clone().with_value(source.to_string()),
                None,
                errors,
                environment,
            ),
            DeValue::Table(_) => {
                let table = section.nested(entry.clone(), errors);
                from_table(table, &entry, errors, environment)
            }
            other => {
                let found = type_name(other);
                entry.report(
                    errors,
                    format_args!("expected a string or a table, found {found}"),
                );
                None
            }
        };
        let Some(mut key) = key else { continue };
        // two sources may end in the same name
        let (base, mut number) = (key.name.clone(), 1);
        while keys.iter().any(|other| other.name == key.name) {
            number += 1;
            key.name = format!("{base}-{number}");
        }
        keys.push(key);
    }
    keys
}

fn from_table(
    mut table: Section<'_>,
    entry: &Spanned<DeValue<'_>>,
    errors: &mut ConfigErrors,
    environment: Environment<'_>,
) -> Option<ProviderKey> {
    let source = table.string("key", errors);
    if source.is_none() {
        entry.report(errors, "missing key; write { key = \"env:NAME\" }");
    }
    let name = table.string("name", errors);
    let weight = table.integer("weight", 1, 1..=WEIGHT_MAX, errors) as u32;
    let limits = limits(&mut table, errors);
    table.finish(errors);
    let name = name.and_then(|name| name.parse(errors, |name| parse_name(name)));
    let key = key(&source?, name, errors, environment)?;
    Some(ProviderKey {
        weight,
        limits,
        ..key
    })
}

fn key(
    source: &Spanned<String>,
    name: Option<String>,
    errors: &mut ConfigErrors,
    environment: Environment<'_>,
) -> Option<ProviderKey> {
    source.clone().parse(errors, |text| {
        let source = SecretSource::parse(text)?;
        Ok(ProviderKey {
            name: name.unwrap_or_else(|| name_of(&source)),
            secret: source.read(environment)?,
            weight: 1,
            limits: DeploymentLimits::default(),
        })
    })
}

/// Name of a key without one: the last part of its source.
fn name_of(source: &SecretSource) -> String {
    let name = match source {
        SecretSource::Env(name) | SecretSource::Credential(name) => name.clone(),
        SecretSource::File(path) => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    };
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    name.chars().filter(is_plain).take(NAME_BYTES_MAX).collect()
}

fn parse_name(name: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "invalid name of a key; use 1 to {NAME_BYTES_MAX} of letters, digits, `-`, `_` and `.`"
        ));
    }
    Ok(name.to_owned())
}
