//! Prices of a provider as the operator writes them: `price` for all its models, `[providers.NAME.prices]` for some of them. Reports
//! every error; must never take a missing rate for zero.

use toml::de::DeValue;

use super::file::{ConfigErrors, Section, Spanned, type_name};
use super::settings::{PriceEntry, PriceSetting};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::price::{Factor, OwnRates};
use crate::provider::{Preset, PriceRule};

const ENTRIES_MAX: usize = 200;
/// 1 pico-dollar per token is a micro-dollar per million tokens.
const TOKENS_PER_RATE: i128 = 1_000_000;
const WORDS: &str = "write \"sheet\", \"free\", \"reported\" or { input = \"1.00\", output = \"5.00\" } in USD per million tokens";

/// Returns the preset's price, for a section without `price`.
pub(super) fn default_price(
    preset: &Preset,
    name: &Spanned<String>,
    errors: &mut ConfigErrors,
) -> Option<PriceSetting> {
    match preset.price {
        PriceRule::Sheet(vendor) => Some(PriceSetting::Sheet(vendor)),
        PriceRule::Fixed { input, output } => {
            Some(PriceSetting::Own(OwnRates::fixed(input, output)))
        }
        PriceRule::Free => Some(PriceSetting::Free),
        PriceRule::Required => {
            let message = "missing price; write price = \"free\" or price = { input = \"1.00\", output = \"5.00\" } in USD per million tokens";
            name.report(errors, message);
            None
        }
    }
}

/// Parses `price`.
pub(super) fn parse_price(
    section: &Section<'_>,
    written: Spanned<DeValue<'_>>,
    preset: Option<&'static Preset>,
    errors: &mut ConfigErrors,
) -> Option<PriceSetting> {
    if matches!(written.value, DeValue::Table(_)) {
        let mut rates = section.nested(written.clone(), errors);
        let own = take_rates(&mut rates, &written, errors);
        rates.finish(errors);
        return own?.map(PriceSetting::Own);
    }
    written.parse(errors, |value| {
        match (value.as_str(), preset.map(|preset| preset.price)) {
            (Some("free"), _) => Ok(PriceSetting::Free),
            (Some("reported"), _) => Ok(PriceSetting::Reported),
            (Some("sheet"), Some(PriceRule::Sheet(vendor))) => Ok(PriceSetting::Sheet(vendor)),
            (Some("sheet"), Some(_)) => Err(
                "no embedded price sheet for this type; write \"free\" or { input, output }"
                    .to_owned(),
            ),
            // the unknown type is reported already; any price will do
            (Some("sheet"), None) => Ok(PriceSetting::Free),
            _ => Err(format!("invalid price; {WORDS}")),
        }
    })
}

/// Parses `[providers.NAME.prices]`, the most specific pattern first.
pub(super) fn parse_entries(
    mut section: Section<'_>,
    errors: &mut ConfigErrors,
) -> Vec<PriceEntry> {
    let sections = section.named_sections(errors);
    if let Some((first, _)) = sections.get(ENTRIES_MAX) {
        let count = sections.len();
        first.report(
            errors,
            format_args!("{count} entries; at most {ENTRIES_MAX} are allowed"),
        );
    }
    let entries = sections.into_iter();
    let mut entries: Vec<PriceEntry> = entries
        .filter_map(|(pattern, section)| parse_entry(pattern, section, errors))
        .collect();
    let generality = |entry: &PriceEntry| {
        let text = entry.pattern.as_str();
        (text.contains('*'), std::cmp::Reverse(text.len()))
    };
    entries.sort_by_key(generality);
    entries
}

fn parse_entry(
    pattern: Spanned<String>,
    mut section: Section<'_>,
    errors: &mut ConfigErrors,
) -> Option<PriceEntry> {
    let factor = section.take("factor").map(|written| {
        written.parse(errors, |value| {
            let text = amount_digits(value)?;
            Factor::parse(&text).ok_or_else(|| "invalid factor; use e.g. \"0.85\"".to_owned())
        })
    });
    let place = section.string("place", errors).map(|written| {
        written.parse(errors, |place| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let is_valid = (1..=40).contains(&place.len()) && place.bytes().all(plain);
            is_valid
                .then(|| place.to_ascii_lowercase())
                .ok_or_else(|| "invalid place; use a region or data zone such as \"eu\"".to_owned())
        })
    });
    let rates = take_rates(&mut section, &pattern, errors);
    section.finish(errors);
    let rates = rates?;
    if rates.is_none() && factor.is_none() && place.is_none() {
        let names = OwnRates::names().collect::<Vec<_>>().join(", ");
        pattern.report(
            errors,
            format_args!("empty price; give rates ({names}, per_request), a factor or a place"),
        );
        return None;
    }
    Some(PriceEntry {
        pattern: Pattern::new(pattern.value),
        rates,
        factor: factor.map_or(Some(Factor::ONE), |factor| factor)?,
        place: place.map_or(Some(None), |place| place.map(Some))?,
    })
}

/// Takes all rates of a section: `None` after an error, `Some(None)` where it names none.
fn take_rates<T>(
    section: &mut Section<'_>,
    place: &Spanned<T>,
    errors: &mut ConfigErrors,
) -> Option<Option<OwnRates>> {
    let (mut rates, mut is_valid) = (Vec::new(), true);
    for name in OwnRates::names() {
        if let Some(written) = section.take(name) {
            let rate = written.parse(errors, parse_rate);
            is_valid &= rate.is_some();
            rates.extend(rate.map(|rate| (name, rate)));
        }
    }
    let per_request = section.take("per_request").map(|written| {
        let fee = written.parse(errors, |value| {
            let usd = Money::parse(&amount_digits(value)?).map_err(|error| error.to_string())?;
            u64::try_from(usd.pico()).map_err(|_| format!("fee of {usd} USD too large"))
        });
        is_valid &= fee.is_some();
        fee.unwrap_or(0)
    });
    if !is_valid {
        return None;
    }
    if rates.is_empty() && per_request.is_none() {
        return Some(None);
    }
    for needed in ["input", "output"] {
        if !rates.iter().any(|(name, _)| *name == needed) {
            place.report(
                errors,
                format_args!("missing {needed} rate; write both rates in USD per million tokens"),
            );
            is_valid = false;
        }
    }
    let own = OwnRates::new(&rates, per_request.unwrap_or(0));
    if is_valid && own.is_zero() {
        // zero rates may stand for an unknown price, so a free model must be declared as such
        place.report(
            errors,
            "no rate above zero; write price = \"free\" for a free model",
        );
        return None;
    }
    is_valid.then_some(Some(own))
}

/// Parses a rate of USD per million tokens to pico-USD per token, rounded up.
fn parse_rate(value: &DeValue<'_>) -> Result<u64, String> {
    let usd = Money::parse(&amount_digits(value)?).map_err(|error| error.to_string())?;
    let pico_per_token = (usd.pico() + TOKENS_PER_RATE - 1) / TOKENS_PER_RATE;
    u64::try_from(pico_per_token)
        .map_err(|_| format!("rate of {usd} USD per million tokens too large"))
}

/// Returns the digits of an amount. Fractions must be quoted, so that no float is involved; whole dollars need no quotes.
pub(super) fn amount_digits(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(digits) if digits.radix() == 10 => Ok(digits.as_str().to_owned()),
        DeValue::Float(digits) => Err(format!(
            "unquoted fraction; write it in quotes: \"{}\"",
            digits.as_str()
        )),
        other => Err(format!(
            "expected an amount, found {}; write USD in quotes, e.g. \"0.50\"",
            type_name(other)
        )),
    }
}
