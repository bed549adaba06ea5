//! One `[providers.NAME]` section: takes what is written, answers with a provider that can be called, or with every
//! reason why not. It never asks the network.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::credential::{Credential, Lines};
use super::file::{ConfigErrors, Section, Spanned, kind};
use super::secret::Environment;
use super::{PriceSetting, Provider, Unsupported};
use crate::domain::money::Money;
use crate::price::Sheet;
use crate::provider::{self, BaseUrl, OnDisconnect, Preset, PriceRule};

/// More providers than this are no configuration but an accident.
const PROVIDERS_MAX: usize = 100;
const MODELS_MAX: usize = 1000;
/// Nothing said leaves it to the preset.
const ON_DISCONNECT: [(&str, Option<OnDisconnect>); 2] = [
    ("abort", Some(OnDisconnect::Abort)),
    ("drain", Some(OnDisconnect::Drain)),
];
/// 1 pico-dollar per token is a micro-dollar per million tokens.
const TOKENS_PER_PRICE: i128 = 1_000_000;

/// Resolves the whole `[providers]` section.
pub(super) fn resolve_all(
    mut section: Section<'_>,
    environment: Environment<'_>,
    faults: &mut ConfigErrors,
) -> Vec<Arc<Provider>> {
    let named = section.named(faults);
    if named.len() > PROVIDERS_MAX {
        faults.add(
            "providers",
            format!(
                "{} of them; at most {PROVIDERS_MAX} are allowed",
                named.len()
            ),
        );
    }
    let resolved = named
        .into_iter()
        .filter_map(|(name, section)| resolve(name, section, environment, faults));
    resolved.map(Arc::new).collect()
}

fn resolve(
    name: Spanned<String>,
    mut section: Section<'_>,
    environment: Environment<'_>,
    faults: &mut ConfigErrors,
) -> Option<Provider> {
    let known = name.clone().checked(faults, |name| checked_name(name));
    let preset = preset(&name, section.text("type", faults), faults);
    let base_url = section
        .text("base_url", faults)
        .map(|written| written.checked(faults, |url| checked_url(url)));
    let credential = Lines::take(&mut section, environment, faults);
    let price = section
        .take("price")
        .map(|written| written_price(&section, written, preset, faults));
    let models = models(section.texts("models", faults), faults);
    let request_ceiling = section.take("request_ceiling").and_then(|written| {
        written.checked(faults, |value| {
            amount(value).and_then(|text| Money::parse(&text).map_err(|error| error.to_string()))
        })
    });
    let priced_as = section.section("priced_as", faults).pairs(faults);
    let api_version = section
        .text("api_version", faults)
        .and_then(|written| written.checked(faults, |text| version(text, preset)));
    let unsupported = section.as_str(
        "unsupported",
        Unsupported::Drop,
        &[("drop", Unsupported::Drop), ("error", Unsupported::Error)],
        faults,
    );
    let on_disconnect = section.as_str("on_disconnect", None, &ON_DISCONNECT, faults);
    section.finish(faults);

    let preset = preset?;
    let credential = credential.resolve(preset, &name, base_url.is_some(), faults);
    let base_url = base_url.unwrap_or_else(|| address_of(preset, &credential, &name, faults));
    let price = price.unwrap_or_else(|| usual_price(preset, &name, faults));
    let priced_as = price.map(|price| models_priced_as(priced_as, price, faults));
    Some(Provider {
        name: known?,
        preset,
        base_url: base_url?,
        api_key: credential.api_key,
        signer: credential.signer,
        price: price?,
        models,
        request_ceiling,
        priced_as: priced_as.unwrap_or_default(),
        api_version,
        unsupported,
        on_disconnect: on_disconnect.unwrap_or(preset.on_disconnect),
    })
}

/// The preset named by `type`, else the one that the section is named for.
fn preset(
    name: &Spanned<String>,
    typed: Option<Spanned<String>>,
    faults: &mut ConfigErrors,
) -> Option<&'static Preset> {
    let (at, wanted) = typed
        .as_ref()
        .map_or((name, &name.value), |typed| (typed, &typed.value));
    let found = provider::find(wanted);
    if found.is_none() {
        let known: Vec<&str> = provider::REGISTRY
            .iter()
            .map(|preset| preset.name)
            .collect();
        at.fault(
            faults,
            format_args!(
                "`{wanted}` is no type of provider; write type = one of {}",
                known.join(", ")
            ),
        );
    }
    found
}

fn address_of(
    preset: &Preset,
    credential: &Credential,
    name: &Spanned<String>,
    faults: &mut ConfigErrors,
) -> Option<String> {
    match preset.base_url {
        BaseUrl::Fixed(url) => Some(url.to_owned()),
        BaseUrl::Regional(address) => credential.region.as_deref().map(address),
        BaseUrl::Configured(like) => {
            name.fault(
                faults,
                format_args!(
                    "type {} has no address of its own; write base_url = \"{like}\"",
                    preset.name
                ),
            );
            None
        }
    }
}

/// Names a deployment `NAME/model`, so it holds nothing that would make that ambiguous.
fn checked_name(name: &str) -> Result<String, String> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        return Err("a provider's name is 1 to 40 of a-z, 0-9, - and _".to_owned());
    }
    Ok(name.to_owned())
}

fn models(written: Vec<Spanned<String>>, faults: &mut ConfigErrors) -> Vec<String> {
    if let Some(first) = written.get(MODELS_MAX) {
        first.fault(
            faults,
            format_args!(
                "lists {} models; at most {MODELS_MAX} are allowed",
                written.len()
            ),
        );
    }
    let one = |written: Spanned<String>| {
        written.checked(faults, |model| match model.as_str() {
            "" => Err("holds an empty name".to_owned()),
            model
                if model.len() > 200
                    || model
                        .chars()
                        .any(|letter| letter.is_whitespace() || letter.is_control()) =>
            {
                Err(format!(
                    "holds {model:?}; a model's name has no spaces and at most 200 bytes"
                ))
            }
            model => Ok(model.to_owned()),
        })
    };
    written.into_iter().filter_map(one).collect()
}

/// The names of `priced_as`, each with the model of the sheet that it costs as much as.
fn models_priced_as(
    written: Vec<(String, Spanned<String>)>,
    price: PriceSetting,
    faults: &mut ConfigErrors,
) -> BTreeMap<String, String> {
    if written.is_empty() {
        return BTreeMap::new();
    }
    let sheet = Sheet::embedded();
    let one = |(name, written): (String, Spanned<String>)| {
        let model = written.checked(faults, |model| match price {
            PriceSetting::Sheet(vendor) if sheet.find(vendor, model).is_some() => Ok(model.clone()),
            PriceSetting::Sheet(vendor) => Err(format!(
                "`{model}` is not on the price sheet of {vendor}; name a model that is"
            )),
            _ => Err("has a meaning only with price = \"sheet\"; leave it out".to_owned()),
        });
        Some((name, model?))
    };
    written.into_iter().filter_map(one).collect()
}

/// A version stands in addresses as it is written.
fn version(text: &str, preset: Option<&'static Preset>) -> Result<String, String> {
    let versioned = |preset: &Preset| {
        preset
            .endpoints
            .iter()
            .any(|endpoint| endpoint.versioned_path.is_some())
    };
    if let Some(preset) = preset.filter(|preset| !versioned(preset)) {
        return Err(format!(
            "type {} takes no version; leave it out",
            preset.name
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if text.is_empty() || text.len() > 40 || !text.bytes().all(plain) {
        return Err("is no version; write it like \"2024-10-21\"".to_owned());
    }
    Ok(text.to_owned())
}

/// The price rule of the preset, for a section that does not say.
fn usual_price(
    preset: &Preset,
    name: &Spanned<String>,
    faults: &mut ConfigErrors,
) -> Option<PriceSetting> {
    match preset.price {
        PriceRule::Sheet(vendor) => Some(PriceSetting::Sheet(vendor)),
        PriceRule::Fixed { input, output } => Some(PriceSetting::Fixed { input, output }),
        PriceRule::Free => Some(PriceSetting::Free),
        PriceRule::Required => {
            let message = "has no price; write price = \"free\" or price = { input = \"1.00\", output = \"5.00\" } in USD per million tokens";
            name.fault(faults, message);
            None
        }
    }
}

fn written_price(
    section: &Section<'_>,
    written: Spanned<DeValue<'_>>,
    preset: Option<&'static Preset>,
    faults: &mut ConfigErrors,
) -> Option<PriceSetting> {
    if matches!(written.value, DeValue::Table(_)) {
        let mut rates = section.below(written.clone(), faults);
        let input = rate(&mut rates, "input", &written, faults);
        let output = rate(&mut rates, "output", &written, faults);
        rates.finish(faults);
        if (input, output) == (Some(0), Some(0)) {
            // zeros may as well be a price that somebody did not know yet
            written.fault(
                faults,
                "has no rate above zero; a model that costs nothing is price = \"free\"",
            );
            return None;
        }
        return Some(PriceSetting::Fixed {
            input: input?,
            output: output?,
        });
    }
    written.checked(faults, |value| match (value.as_str(), preset.map(|preset| preset.price)) {
        (Some("free"), _) => Ok(PriceSetting::Free),
        (Some("sheet"), Some(PriceRule::Sheet(vendor))) => Ok(PriceSetting::Sheet(vendor)),
        (Some("sheet"), Some(_)) => {
            Err("no price sheet is shipped for this type; write \"free\" or { input, output }".to_owned())
        }
        // the type is unknown, which is a fault of its own; any price will do
        (Some("sheet"), None) => Ok(PriceSetting::Free),
        _ => Err("write \"sheet\", \"free\" or { input = \"1.00\", output = \"5.00\" } in USD per million tokens".to_owned()),
    })
}

/// One rate of `price = { input, output }`, in pico-USD per token, rounded up.
fn rate(
    rates: &mut Section<'_>,
    key: &'static str,
    price: &Spanned<DeValue<'_>>,
    faults: &mut ConfigErrors,
) -> Option<u64> {
    let Some(written) = rates.take(key) else {
        price.fault(
            faults,
            format_args!("lacks {key}; both rates are needed, in USD per million tokens"),
        );
        return None;
    };
    written.checked(faults, |value| {
        let usd = Money::parse(&amount(value)?).map_err(|error| error.to_string())?;
        let pico_per_token = (usd.pico() + TOKENS_PER_PRICE - 1) / TOKENS_PER_PRICE;
        u64::try_from(pico_per_token)
            .map_err(|_| format!("{usd} USD per million tokens is more than can be reckoned with"))
    })
}

/// Money is written in quotes, so that no float ever stands between the file and the books; whole dollars need none.
fn amount(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(digits) if digits.radix() == 10 => Ok(digits.as_str().to_owned()),
        DeValue::Float(digits) => Err(format!(
            "is a number with a point; write it in quotes: \"{}\"",
            digits.as_str()
        )),
        other => Err(format!(
            "is {}; write an amount of USD in quotes, like \"0.50\"",
            kind(other)
        )),
    }
}

/// Checks an address and takes the slash off its end. Nothing of a faulty one is repeated: it may hold a password.
pub fn checked_url(url: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or("must begin with http:// or https://")?;
    if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(
            "holds a space or a letter that no address has; write it percent-encoded".to_owned(),
        );
    }
    if url.contains(['?', '#']) {
        return Err(
            "must have no ? and no #; a base address is scheme, host, port and path".to_owned(),
        );
    }
    let (authority, _path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(
            "must hold no user or password; write the key as api_key = \"env:NAME\"".to_owned(),
        );
    }
    check_authority(authority)?;
    Ok(url.trim_end_matches('/').to_owned())
}

fn check_authority(authority: &str) -> Result<(), String> {
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, after)) => {
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "has no IPv6 address between [ and ]")?;
            (address, after)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(plain) {
        return Err("has no host; write it like http://10.0.0.5:8000/v1".to_owned());
    }
    let numbered = |port: &str| {
        port.strip_prefix(':')
            .and_then(|port| port.parse::<u16>().ok())
            .is_some_and(|port| port > 0)
    };
    if !port.is_empty() && !numbered(port) {
        return Err("has a port that is no number from 1 to 65535".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::checked_url;

    #[test]
    fn an_address_is_scheme_host_port_and_path_and_loses_its_last_slash() {
        for (written, expected) in [
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
            ("http://[::1]:11434/", "http://[::1]:11434"),
            ("http://localhost:11434", "http://localhost:11434"),
        ] {
            assert_eq!(checked_url(written).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_faulty_address_is_refused_and_not_repeated() {
        for written in [
            "api.openai.com/v1",
            "ftp://host",
            "https://",
            "https:///v1",
            "https://user:hunter2@host/v1",
            "https://host/v1?key=hunter2",
            "https://host/#hunter2",
            "http://host:0/",
            "http://host:99999",
            "http://ho st/",
            "http://[::1",
            "http://[nonsense]/",
            "http://[::1]8000",
        ] {
            let message = checked_url(written).expect_err(written);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
