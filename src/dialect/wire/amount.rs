//! Amount of dollars that a vendor reports as a JSON number or text. Must never go through a float.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::domain::money::Money;

/// Largest exponent that is read; vendors report amounts near a dollar.
const EXPONENT_MAX: i32 = 12;
/// Pico-dollars have 12 decimals.
const DECIMALS: i32 = 12;

/// Reads one amount; `None` if it is not a number, or negative.
pub(crate) fn reported_amount<'de, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<Money>, A::Error> {
    let json = map.next_value::<&RawValue>()?.get();
    Ok(parse(json.trim_matches('"')))
}

/// Amount of a plain or scientific decimal, rounded up to whole pico-dollars.
fn parse(text: &str) -> Option<Money> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let is_number = (1..=30).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number || exponent > EXPONENT_MAX {
        return None;
    }
    let digits: i128 = digits.parse().ok()?;
    let shift = DECIMALS + exponent.max(-100) - fraction.len() as i32;
    let scale = 10_i128.checked_pow(shift.unsigned_abs());
    let pico = match (shift >= 0, scale) {
        (true, scale) => digits.checked_mul(scale?)?,
        (false, Some(scale)) => digits / scale + i128::from(digits % scale != 0),
        (false, None) => i128::from(digits != 0),
    };
    Some(Money::from_pico(pico))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_amount_is_exact_and_rounded_up() {
        for (text, pico) in [
            ("0", Some(0)),
            ("1", Some(1_000_000_000_000)),
            ("0.00014", Some(140_000_000)),
            ("1.4e-4", Some(140_000_000)),
            ("1.4E-04", Some(140_000_000)),
            ("12e1", Some(120_000_000_000_000)),
            ("1e-13", Some(1)),
            ("1e-99", Some(1)),
            ("0.0000000000001", Some(1)),
            ("-1", None),
            ("1e99", None),
            ("null", None),
            ("", None),
            ("x", None),
            ("99999999999999999999999999999e12", None),
        ] {
            assert_eq!(parse(text).map(Money::pico), pico, "{text}");
        }
    }
}
