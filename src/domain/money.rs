//! Money as integer pico-USD (10⁻¹² dollars), so that a price of N micro-dollars per million tokens is N pico-dollars
//! per token and no sum is ever rounded. Decimal strings at every edge, never a float.

use std::fmt;
use std::iter::Sum;

const PICO_PER_USD: i128 = 1_000_000_000_000;

/// Ten to the fifteen dollars: more than any budget, far below the width of the integer.
const USD_MAX: i128 = 1_000_000_000_000_000;

/// An amount in pico-USD. Negative only in a compensating entry. Arithmetic saturates at the ends of the range, which
/// blocks a budget instead of wrapping it round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Why a text is not an amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("`{0}` is not an amount of dollars; write it like 10, 10.50 or $10.50")]
    NotANumber(String),
    #[error(
        "`{0}` has more than 12 digits after the point; the smallest unit is a millionth of a millionth of a dollar"
    )]
    TooFine(String),
    #[error("`{0}` is more than {USD_MAX} dollars")]
    TooLarge(String),
}

impl Money {
    pub const ZERO: Money = Money(0);
    pub const MAX: Money = Money(i128::MAX);

    pub const fn from_pico(pico: i128) -> Money {
        Money(pico)
    }

    pub const fn from_usd(usd: i64) -> Money {
        Money(usd as i128 * PICO_PER_USD)
    }

    pub const fn pico(self) -> i128 {
        self.0
    }

    #[must_use]
    pub const fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    #[must_use]
    pub const fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }

    #[must_use]
    pub const fn times(self, count: u64) -> Money {
        Money(self.0.saturating_mul(count as i128))
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads what `parse` reads, and `-0.12`, `-$0.12`, `$-0.12` too.
    pub fn parse_signed(text: &str) -> Result<Money, MoneyError> {
        let digits = text.trim();
        let unsigned = digits
            .strip_prefix('-')
            .or_else(|| digits.strip_prefix("$-"));
        let amount = Money::parse(unsigned.unwrap_or(digits)).map_err(|error| match error {
            MoneyError::NotANumber(_) => MoneyError::NotANumber(text.to_owned()),
            other => other,
        })?;
        Ok(if unsigned.is_some() {
            Money::ZERO.minus(amount)
        } else {
            amount
        })
    }

    /// Reads `10`, `10.50`, `$10.50`; not negative, at most 12 digits after the point.
    pub fn parse(text: &str) -> Result<Money, MoneyError> {
        let not_a_number = || MoneyError::NotANumber(text.to_owned());
        let digits = text.trim();
        let digits = digits.strip_prefix('$').unwrap_or(digits);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(not_a_number());
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 12 {
            return Err(MoneyError::TooFine(text.to_owned()));
        }
        let whole: i128 = match whole.trim_start_matches('0') {
            "" => 0,
            digits if digits.len() > 16 => return Err(MoneyError::TooLarge(text.to_owned())),
            digits => digits.parse().map_err(|_| not_a_number())?,
        };
        if whole > USD_MAX {
            return Err(MoneyError::TooLarge(text.to_owned()));
        }
        let fraction: i128 = format!("{fraction:0<12}")
            .parse()
            .map_err(|_| not_a_number())?;
        Ok(Money(whole * PICO_PER_USD + fraction))
    }
}

/// A plain decimal with all its digits and no trailing zeros: `0.0000125`, `12.5`, `3`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let pico = self.0.unsigned_abs();
        // amounts of a call fit 64 bits, whose division costs a tenth of that of 128
        let (whole, mut fraction) = match u64::try_from(pico) {
            Ok(pico) => (
                u128::from(pico / PICO_PER_USD as u64),
                pico % PICO_PER_USD as u64,
            ),
            Err(_) => (
                pico / PICO_PER_USD as u128,
                (pico % PICO_PER_USD as u128) as u64,
            ),
        };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let mut width = 12;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0width$}")
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Money::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_round_trip_without_losing_a_digit() {
        for text in [
            "0",
            "3",
            "12.5",
            "0.0000125",
            "0.000000000001",
            "999999999999999.999999999999",
        ] {
            assert_eq!(Money::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Money::parse("$10.50").expect("dollars").to_string(), "10.5");
        assert_eq!(Money::parse(".5").expect("half").pico(), PICO_PER_USD / 2);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in [
            "",
            "$",
            ".",
            "-1",
            "1e3",
            "1,000",
            "0x1",
            "1.0000000000001",
            "1000000000000001",
            "99999999999999999999",
        ] {
            assert!(Money::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_compensating_amount_may_be_negative() {
        for (text, expected) in [
            ("-$0.12", "-0.12"),
            ("-0.12", "-0.12"),
            ("$-3", "-3"),
            ("0.5", "0.5"),
            ("-0", "0"),
        ] {
            assert_eq!(Money::parse_signed(text).expect(text).to_string(), expected);
        }
        for text in ["--1", "-", "-$", "$--1", "+1", "-1-"] {
            assert!(Money::parse_signed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sums_saturate_and_never_wrap() {
        assert_eq!(Money::MAX.plus(Money::from_usd(1)), Money::MAX);
        assert_eq!(Money::from_pico(i128::MAX / 2).times(3), Money::MAX);
    }
}
