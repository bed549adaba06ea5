//! Money as integer pico-USD (10⁻¹² USD): a price of N micro-USD per million tokens is N pico-USD per token, so no sum is
//! rounded. Decimal strings at every boundary, never a float.

use std::fmt;
use std::iter::Sum;

const PICO_PER_USD: i128 = 1_000_000_000_000;
const PICO_PER_CENT: i128 = PICO_PER_USD / 100;

/// 10¹⁵ USD: more than any budget, far below the range of the integer.
const USD_MAX: i128 = 1_000_000_000_000_000;

/// An amount in pico-USD; negative only in a correction. Arithmetic saturates, so an overflow blocks a budget instead of
/// wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Parse error of an amount in USD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("invalid amount `{0}`; write it like 10, 10.50 or $10.50")]
    NotANumber(String),
    #[error(
        "invalid amount `{0}`: more than 12 decimal places; the smallest unit is 0.000000000001 USD"
    )]
    TooFine(String),
    #[error("amount `{0}` too large; the maximum is {USD_MAX} USD")]
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

    /// For a sentence: whole cents, or two digits of less than a cent: `5.00`, `0.0031`, `0.00`.
    pub fn short(self) -> String {
        self.shortened(self.short_unit() / 2)
    }

    /// As `short`, rounded down.
    pub fn short_down(self) -> String {
        self.shortened(0)
    }

    /// As `short`, rounded up: an amount above another never looks smaller than it.
    pub fn short_up(self) -> String {
        self.shortened(self.short_unit() - 1)
    }

    fn shortened(self, added: i128) -> String {
        let unit = self.short_unit();
        let units = self.0.saturating_add(added).div_euclid(unit);
        Money(units.saturating_mul(unit)).cents()
    }

    /// Smallest amount that a short form shows.
    fn short_unit(self) -> i128 {
        let size = self.0.saturating_abs();
        if size >= PICO_PER_CENT {
            return PICO_PER_CENT;
        }
        let digits = size.checked_ilog10().unwrap_or(0) + 1;
        10_i128.pow(digits.saturating_sub(2))
    }

    /// At least two decimal places.
    fn cents(self) -> String {
        let exact = self.to_string();
        match exact.split_once('.') {
            None => format!("{exact}.00"),
            Some((_, tenths)) if tenths.len() == 1 => format!("{exact}0"),
            Some(_) => exact,
        }
    }

    /// Parses like `parse`, and also accepts `-0.12`, `-$0.12` and `$-0.12`.
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

    /// Parses `10`, `10.50` or `$10.50`: not negative, at most 12 decimal places.
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
        // at most twelve digits
        let scale = 10_u64.pow(12 - fraction.len() as u32);
        let digits = fraction.bytes().map(|digit| u64::from(digit - b'0'));
        let fraction = digits.fold(0, |sum, digit| sum * 10 + digit) * scale;
        Ok(Money(whole * PICO_PER_USD + i128::from(fraction)))
    }
}

/// Exact plain decimal without trailing zeros: `0.0000125`, `12.5`, `3`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let pico = self.0.unsigned_abs();
        f.write_str(sign)?;
        // the cost of a call fits 64 bits; dividing 128 bits is ten times slower
        let fraction = match u64::try_from(pico) {
            Ok(pico) => {
                write!(f, "{}", pico / PICO_PER_USD as u64)?;
                pico % PICO_PER_USD as u64
            }
            Err(_) => {
                write!(f, "{}", pico / PICO_PER_USD as u128)?;
                (pico % PICO_PER_USD as u128) as u64
            }
        };
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = *b".000000000000";
        let mut rest = fraction;
        for digit in digits[1..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let text = std::str::from_utf8(&digits).map_err(|_| fmt::Error)?;
        f.write_str(text.trim_end_matches('0'))
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
    fn short_amount_has_cents_or_two_digits() {
        for (text, near, down, up) in [
            ("0", "0.00", "0.00", "0.00"),
            ("5", "5.00", "5.00", "5.00"),
            ("4.5", "4.50", "4.50", "4.50"),
            ("4.9999", "5.00", "4.99", "5.00"),
            ("0.061758", "0.06", "0.06", "0.07"),
            ("0.00999", "0.01", "0.0099", "0.01"),
            ("0.0031415", "0.0031", "0.0031", "0.0032"),
            ("0.000019", "0.000019", "0.000019", "0.000019"),
            (
                "0.000000000001",
                "0.000000000001",
                "0.000000000001",
                "0.000000000001",
            ),
        ] {
            let amount = Money::parse(text).expect(text);
            let shown = [amount.short(), amount.short_down(), amount.short_up()];
            assert_eq!(shown, [near, down, up]);
        }
    }

    #[test]
    fn decimal_string_round_trips_exactly() {
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
    fn parse_rejects_invalid_amount() {
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
    fn parse_signed_accepts_negative_amount() {
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
    fn arithmetic_overflow_saturates() {
        assert_eq!(Money::MAX.plus(Money::from_usd(1)), Money::MAX);
        assert_eq!(Money::from_pico(i128::MAX / 2).times(3), Money::MAX);
    }
}
