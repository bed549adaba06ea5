//! Factor on all token rates of a call, such as 1.1 for a region. Exact to a millionth; a factored
//! rate is rounded up, so that no bill is below the vendor's.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::domain::money::Money;

const MILLION: u64 = 1_000_000;

/// Multiplier in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u64);

impl Factor {
    pub const ONE: Factor = Factor(MILLION);

    /// Factored rate, rounded up.
    pub fn rate(self, pico: u64) -> u64 {
        scaled(pico, self.0, MILLION)
    }

    /// Factor in millionths.
    pub fn millionths(self) -> u64 {
        self.0
    }

    /// Factor of a decimal such as `0.85`, if it is above zero.
    pub fn parse(text: &str) -> Option<Factor> {
        let pico = Money::parse(text).ok()?.pico();
        let millionths = (pico + i128::from(MILLION) - 1) / i128::from(MILLION);
        let millionths = u64::try_from(millionths).ok();
        millionths.filter(|millionths| *millionths > 0).map(Factor)
    }

    /// Both factors at once.
    #[must_use]
    pub fn and(self, other: Factor) -> Factor {
        Factor(other.rate(self.0))
    }
}

impl Default for Factor {
    fn default() -> Factor {
        Factor::ONE
    }
}

/// Plain decimal: `1.1`.
impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Money::from_pico(i128::from(self.0) * i128::from(MILLION)).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Factor, D::Error> {
        let text = String::deserialize(deserializer)?;
        Factor::parse(&text).ok_or_else(|| de::Error::custom(format!("invalid factor `{text}`")))
    }
}

/// `rate` × `numerator` ÷ `denominator`, rounded up and saturated.
pub(super) fn scaled(rate: u64, numerator: u64, denominator: u64) -> u64 {
    if denominator == 0 {
        return rate;
    }
    let product = u128::from(rate) * u128::from(numerator);
    u64::try_from(product.div_ceil(u128::from(denominator))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(text: &str) -> Factor {
        serde_json::from_str(&format!("\"{text}\"")).expect(text)
    }

    #[test]
    fn factored_rate_is_rounded_up() {
        assert_eq!(factor("1.1").rate(10), 11);
        assert_eq!(factor("1.1").rate(11), 13, "12.1");
        assert_eq!(factor("2").rate(u64::MAX), u64::MAX);
        let both = factor("1.1").and(factor("2"));
        assert_eq!((both.rate(10), both.to_string()), (22, "2.2".to_owned()));
        assert_eq!(Factor::ONE.to_string(), "1");
        assert!(serde_json::from_str::<Factor>("\"0\"").is_err());
    }
}
