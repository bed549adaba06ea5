//! The `[providers.NAME]` sections: takes each as written, returns a callable provider or reports every error. Must
//! never use the network or repeat a URL, which may hold a password.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::api_keys;
use super::base_url::parse_base_url;
use super::credential::{Credential, CredentialSettings};
use super::egress;
use super::file::{ConfigErrors, Section, Spanned};
use super::members;
use super::price::{amount_digits, default_price, parse_entries, parse_price};
use super::secret::{Environment, SecretSource};
use super::settings::{PriceSetting, Provider, UnsupportedFieldPolicy};
use super::timeouts::CallTimeouts;
use crate::domain::money::Money;
use crate::domain::secret::Secret;
use crate::price::Sheet;
use crate::provider::{self, BaseUrl, OnDisconnect, Preset};

const PROVIDERS_MAX: usize = 100;
const MODELS_MAX: usize = 1000;
/// In `models`: a fixed price applies to every model.
const ALL_MODELS: &str = "*";
/// An absent key leaves the choice to the preset.
const ON_DISCONNECT: [(&str, Option<OnDisconnect>); 2] = [
    ("abort", Some(OnDisconnect::Abort)),
    ("drain", Some(OnDisconnect::Drain)),
];
const UNSUPPORTED: [(&str, UnsupportedFieldPolicy); 2] = [
    ("drop", UnsupportedFieldPolicy::Drop),
    ("error", UnsupportedFieldPolicy::Error),
];

/// Resolves the whole `[providers]` section.
pub(super) fn resolve_all(
    mut section: Section<'_>,
    path: &Path,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Vec<Arc<Provider>> {
    let sections = section.named_sections(errors);
    if sections.len() > PROVIDERS_MAX {
        errors.add(
            "providers",
            format!(
                "{} providers configured; at most {PROVIDERS_MAX} are allowed",
                sections.len()
            ),
        );
    }
    let resolved = sections
        .into_iter()
        .filter_map(|(name, section)| resolve(name, section, path, environment, errors));
    resolved.map(Arc::new).collect()
}

fn resolve(
    name: Spanned<String>,
    mut section: Section<'_>,
    path: &Path,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Provider> {
    let valid_name = name.clone().parse(errors, |name| parse_name(name));
    let preset = preset(&name, section.string("type", errors), errors);
    let parse_url =
        |url: &String| parse_endpoint_base(&from_environment(url, environment)?, preset);
    let written = section.string("base_url", errors);
    let base_url = written.map(|written| written.parse(errors, parse_url));
    let headers = headers(&mut section, environment, errors);
    let credential = CredentialSettings::take(&mut section, environment, errors);
    let limits = api_keys::limits(&mut section, errors);
    let timeouts = CallTimeouts::take(&mut section, errors);
    let price = section
        .take("price")
        .map(|written| parse_price(&section, written, preset, errors));
    let written_models = section.strings("models", errors);
    let bare_names = section.boolean("bare_names", true, errors);
    let takes = members::resolve(section.strings("takes", errors), errors);
    let request_ceiling = request_ceiling(&mut section, errors);
    let priced_as = section.section("priced_as", errors).named_strings(errors);
    let prices = parse_entries(section.section("prices", errors), errors);
    let api_version = section
        .string("api_version", errors)
        .and_then(|written| written.parse(errors, |text| parse_version(text, preset)));
    let drop = UnsupportedFieldPolicy::Drop;
    let unsupported = section.choice("unsupported", drop, &UNSUPPORTED, errors);
    let on_disconnect = section.choice("on_disconnect", None, &ON_DISCONNECT, errors);
    let connection = egress::connection(&mut section, path, errors);
    section.finish(errors);

    let preset = preset?;
    let credential = credential.resolve(preset, &name, base_url.is_some(), errors);
    let base_url = base_url.unwrap_or_else(|| default_base_url(preset, &credential, &name, errors));
    let own_price = price.is_some();
    let price = price.unwrap_or_else(|| default_price(preset, &name, errors));
    let (models, all_models) = models(written_models, price, errors);
    let priced_as = price.map(|price| resolve_priced_as(priced_as, price, errors));
    let base_url = base_url?;
    Some(Provider {
        name: valid_name?,
        preset,
        place: preset.place.of(&base_url, credential.region.as_deref()),
        base_url,
        headers,
        api_keys: credential.api_keys,
        limits,
        timeouts,
        signer: credential.signer,
        price: price?,
        prices,
        models,
        bare_names,
        // the price of a type without list prices is meant for all that it serves
        prices_all_models: all_models || !own_price,
        takes,
        request_ceiling,
        priced_as: priced_as.unwrap_or_default(),
        api_version,
        unsupported,
        on_disconnect: on_disconnect.unwrap_or(preset.on_disconnect),
        connection,
    })
}

fn request_ceiling(section: &mut Section<'_>, errors: &mut ConfigErrors) -> Option<Money> {
    section.take("request_ceiling")?.parse(errors, |value| {
        let text = amount_digits(value)?;
        Money::parse(&text).map_err(|error| error.to_string())
    })
}

/// Returns the preset named by `type`, or by the section's name if `type` is absent.
fn preset(
    name: &Spanned<String>,
    typed: Option<Spanned<String>>,
    errors: &mut ConfigErrors,
) -> Option<&'static Preset> {
    let (setting, wanted) = typed
        .as_ref()
        .map_or((name, &name.value), |typed| (typed, &typed.value));
    let found = provider::find(wanted);
    if found.is_none() {
        let known: Vec<&str> = provider::REGISTRY
            .iter()
            .map(|preset| preset.name)
            .collect();
        setting.report(
            errors,
            format_args!(
                "unknown provider type `{wanted}`; set type to one of {}",
                known.join(", ")
            ),
        );
    }
    found
}

fn default_base_url(
    preset: &Preset,
    credential: &Credential,
    name: &Spanned<String>,
    errors: &mut ConfigErrors,
) -> Option<String> {
    match preset.base_url {
        BaseUrl::Fixed(url) => Some(url.to_owned()),
        BaseUrl::Regional(base_url) => credential.region.as_deref().map(base_url),
        BaseUrl::Configured(example) => {
            name.report(
                errors,
                format_args!(
                    "missing base_url, which type {} requires; write base_url = \"{example}\"",
                    preset.name
                ),
            );
            None
        }
    }
}

/// The text itself, or the value of the variable that it names as `env:NAME`.
fn from_environment(text: &str, environment: Environment<'_>) -> Result<String, String> {
    match text.strip_prefix("env:") {
        Some(name) => environment(name)
            .ok_or_else(|| format!("${name} is not set; set it in the environment and restart")),
        None => Ok(text.to_owned()),
    }
}

/// Headers that are sent with every request to the provider; a value may be the source of a secret.
pub(super) fn headers(
    section: &mut Section<'_>,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Vec<(String, Secret)> {
    const RESERVED: [&str; 6] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "accept-encoding",
    ];
    let written = section.section("headers", errors).named_strings(errors);
    let header = |(name, value): (String, Spanned<String>)| {
        let name = name.to_ascii_lowercase();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) || RESERVED.contains(&name.as_str()) {
            value.report(errors, "invalid or reserved header name; use another");
            return None;
        }
        let value = value.parse(errors, |text| {
            let is_source = ["env:", "file:", "credential:"]
                .iter()
                .any(|kind| text.starts_with(kind));
            let value = match is_source {
                true => SecretSource::parse(text)?.read(environment)?,
                false => Secret::new(text.clone()),
            };
            match value.expose().chars().any(char::is_control) {
                true => Err("control character in a header".to_owned()),
                false => Ok(value),
            }
        });
        Some((name, value?))
    };
    written.into_iter().filter_map(header).collect()
}

/// Parses a base URL, with or without the version of the API; the gateway itself appends the paths of endpoints.
fn parse_endpoint_base(url: &str, preset: Option<&'static Preset>) -> Result<String, String> {
    let url = parse_base_url(url)?;
    match preset.and_then(|preset| preset.endpoint_path_in(&url)) {
        Some(path) => Err(format!(
            "unexpected endpoint; remove {path} from the end, which the gateway appends"
        )),
        None => Ok(preset.map_or_else(|| url.clone(), |preset| preset.complete_base_url(&url))),
    }
}

/// Parses a provider name. It prefixes deployments (`NAME/model`), so it must contain no slash.
fn parse_name(name: &str) -> Result<String, String> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        return Err("invalid provider name; use 1 to 40 of a-z, 0-9, - and _".to_owned());
    }
    Ok(name.to_owned())
}

/// Names of `models`, and true if one of them is [`ALL_MODELS`].
fn models(
    written: Vec<Spanned<String>>,
    price: Option<PriceSetting>,
    errors: &mut ConfigErrors,
) -> (Vec<String>, bool) {
    if let Some(first) = written.get(MODELS_MAX) {
        first.report(
            errors,
            format_args!(
                "{} models listed; at most {MODELS_MAX} are allowed",
                written.len()
            ),
        );
    }
    let (all, written): (Vec<_>, Vec<_>) = written
        .into_iter()
        .partition(|model| model.value == ALL_MODELS);
    if let Some(all) = all.first()
        && !matches!(price, None | Some(PriceSetting::Own(_)))
    {
        all.report(
            errors,
            "no effect without price = { input, output }; remove it",
        );
    }
    let parse = |written: Spanned<String>| {
        written.parse(errors, |model| match model.as_str() {
            "" => Err("empty model name; remove it".to_owned()),
            model
                if model.len() > 200
                    || model
                        .chars()
                        .any(|letter| letter.is_whitespace() || letter.is_control()) =>
            {
                Err(format!(
                    "invalid model name {model:?}; use at most 200 bytes without spaces"
                ))
            }
            model => Ok(model.to_owned()),
        })
    };
    let names = written.into_iter().filter_map(parse).collect();
    (names, !all.is_empty())
}

/// Checks that each value of `priced_as` is a model of the price sheet.
fn resolve_priced_as(
    written: Vec<(String, Spanned<String>)>,
    price: PriceSetting,
    errors: &mut ConfigErrors,
) -> BTreeMap<String, String> {
    if written.is_empty() {
        return BTreeMap::new();
    }
    let sheet = Sheet::embedded();
    let resolve = |(name, written): (String, Spanned<String>)| {
        let model = written.parse(errors, |model| match price {
            PriceSetting::Sheet(vendor) if sheet.find(vendor, model).is_some() => Ok(model.clone()),
            PriceSetting::Sheet(vendor) => Err(format!(
                "unknown model `{model}`; use a model on the price sheet of {vendor}"
            )),
            _ => Err("no effect without price = \"sheet\"; remove it".to_owned()),
        });
        Some((name, model?))
    };
    written.into_iter().filter_map(resolve).collect()
}

/// Parses an API version, which becomes part of URLs unescaped.
fn parse_version(text: &str, preset: Option<&'static Preset>) -> Result<String, String> {
    let versioned = |preset: &Preset| {
        preset
            .endpoints
            .iter()
            .any(|endpoint| endpoint.versioned_path.is_some())
    };
    if let Some(preset) = preset.filter(|preset| !versioned(preset)) {
        return Err(format!("not supported by type {}; remove it", preset.name));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if text.is_empty() || text.len() > 40 || !text.bytes().all(plain) {
        return Err("invalid API version; use e.g. \"2024-10-21\"".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
