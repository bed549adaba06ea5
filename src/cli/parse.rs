//! Argument parsers for money, limits and expiry: take the text of an argument, return the value for the request body or
//! an error with the syntax. The server validates again; these only fail earlier.

use std::num::NonZeroU32;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::domain::budget::Period;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::money::Money;
use crate::domain::zone::Zone;

/// `$10`, `$10/day`, `10.50/month`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetArgument {
    pub limit: Money,
    pub period: Period,
}

impl BudgetArgument {
    /// Returns the value in the request body.
    pub fn json(&self) -> Value {
        json!({"limit": self.limit.to_string(), "period": self.period.as_str()})
    }
}

impl FromStr for BudgetArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<BudgetArgument, String> {
        let (amount, period_word) = text.split_once('/').unwrap_or((text, "total"));
        let period = match period_word.trim() {
            "day" => Some(Period::Daily),
            "week" => Some(Period::Weekly),
            "month" => Some(Period::Monthly),
            word => Period::parse(word),
        };
        let period = period
            .ok_or_else(|| format!("invalid budget period `{period_word}`; write '$10', '$10/day', '$10/week' or '$10/month'"))?;
        // the shell expands an unquoted `$10` to `0` and an unquoted `$ten` to nothing
        if amount.trim().is_empty() || Money::parse(amount).is_ok_and(|limit| limit.is_zero()) {
            return Err("empty amount; write it in single quotes, so that the shell does not expand it: '$10'".to_owned());
        }
        let limit = Money::parse(amount).map_err(|error| error.to_string())?;
        Ok(BudgetArgument { limit, period })
    }
}

/// `$0.50` as a value of a request body; `none` is null.
pub fn max_cost(text: &str) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount.is_zero() {
        return Err("empty amount; write it in single quotes, so that the shell does not expand it: '$0.50'".to_owned());
    }
    Ok(json!(amount.to_string()))
}

/// Rate limit flags, shared by keys and teams.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LimitArguments {
    /// Requests per minute
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = count)]
    rpm: Option<NonZeroU32>,
    /// Tokens per minute, input and output together
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = count)]
    tpm: Option<NonZeroU32>,
    /// Parallel calls
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = count)]
    max_parallel: Option<NonZeroU32>,
}

impl LimitArguments {
    /// Adds the limits to a request body.
    pub fn add_to(&self, body: &mut Value) {
        for (name, limit) in [
            ("rpm", self.rpm),
            ("tpm", self.tpm),
            ("max_parallel", self.max_parallel),
        ] {
            if let Some(limit) = limit {
                body[name] = json!(limit);
            }
        }
    }
}

/// A new rate limit; `None` removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitChange(pub Option<NonZeroU32>);

/// Parses a limit or `none`.
pub fn limit_change(text: &str) -> Result<LimitChange, String> {
    match text {
        "none" => Ok(LimitChange(None)),
        text => count(text).map(|limit| LimitChange(Some(limit))),
    }
}

/// New limit of a budget, `$20`, or the amount to add, `+$5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raise {
    To(Money),
    By(Money),
}

/// Parses `$20` or `+$5`.
pub fn raise(text: &str) -> Result<Raise, String> {
    let (amount, is_added) = match text.strip_prefix('+') {
        Some(amount) => (amount, true),
        None => (text, false),
    };
    let amount = match amount.parse::<BudgetArgument>()? {
        BudgetArgument {
            limit,
            period: Period::Total,
        } => limit,
        BudgetArgument { .. } => {
            return Err("a budget keeps its period; write '$20' or '+$5'".to_owned());
        }
    };
    Ok(if is_added {
        Raise::By(amount)
    } else {
        Raise::To(amount)
    })
}

fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| {
        format!(
            "invalid limit `{text}`; write a whole number from 1 to {}, or omit the flag",
            u32::MAX
        )
    })
}

/// Parses the amount of a correction, `-$0.12` or `0.12`, and returns its digits.
pub fn correction(text: &str) -> Result<String, String> {
    let amount = Money::parse_signed(text).map_err(|error| error.to_string())?;
    // the shell expands an unquoted `-$0.12` to `-.12` and `-$x` to `-`
    if amount.is_zero() {
        return Err("empty amount; write it in single quotes, so that the shell does not expand it: '-$0.12'".to_owned());
    }
    Ok(amount.to_string())
}

/// Parses an expiry, or `never`: JSON null.
pub fn expiry_change(text: &str) -> Result<Value, String> {
    match text {
        "never" => Ok(Value::Null),
        text => expiry(text).map(Value::String),
    }
}

/// Parses `7d`, `12h`, `30m` before now, a date or an instant; returns an instant, or the date for the server's timezone.
pub fn since(text: &str) -> Result<String, String> {
    if let Some(ago_ms) = duration_ms(text) {
        let now_ms = SystemClock { boot: None }.wall_ms();
        return Ok(Zone::utc().rfc3339(now_ms.saturating_sub(ago_ms)));
    }
    let is_date = text.len() == 10 && Zone::utc().date_start_ms(text).is_some();
    if is_date || Zone::parse_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid time `{text}`; write 7d, 12h, 30m, a date such as 2026-11-01 or an instant"
    ))
}

fn duration_ms(text: &str) -> Option<u64> {
    let units = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000)];
    units.into_iter().find_map(|(letter, unit_ms)| {
        let count: u32 = text.strip_suffix(letter)?.parse().ok()?;
        (count > 0).then(|| u64::from(count) * unit_ms)
    })
}

/// Validates `7d`, `12h`, `30m` or an instant and returns it unchanged: durations count from the server's clock.
pub fn expiry(text: &str) -> Result<String, String> {
    if duration_ms(text).is_some() || Zone::parse_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid expiry `{text}`; write 7d, 12h, 30m or an instant such as 2026-12-31T00:00:00Z"
    ))
}

/// List of `--models`: `None` without the option, empty for `--models ''`.
pub fn model_list(texts: &Option<Vec<String>>) -> Option<Vec<&str>> {
    let texts = texts.as_ref()?.iter().map(String::as_str);
    Some(texts.filter(|text| !text.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_an_amount_and_a_period() {
        for (typed, limit, period) in [
            ("$10", "10", "total"),
            ("10", "10", "total"),
            ("$0.50/day", "0.5", "daily"),
            ("$10/week", "10", "weekly"),
            ("10/month", "10", "monthly"),
            ("$10/monthly", "10", "monthly"),
            ("$10/total", "10", "total"),
        ] {
            let budget: BudgetArgument = typed.parse().expect(typed);
            assert_eq!(
                (budget.limit.to_string().as_str(), budget.period.as_str()),
                (limit, period),
                "{typed}"
            );
        }
    }

    #[test]
    fn budget_invalid_error_shows_syntax() {
        for (typed, expected) in [
            ("ten", "invalid amount"),
            ("-1", "invalid amount"),
            ("$10/year", "/month"),
            ("", "single quotes"),
            ("0", "single quotes"),
            ("0/day", "single quotes"),
            ("/day", "single quotes"),
        ] {
            let message = typed.parse::<BudgetArgument>().expect_err(typed);
            assert!(message.contains(expected), "{typed}: {message}");
        }
    }

    #[test]
    fn raise_is_a_new_limit_or_an_addition() {
        assert_eq!(raise("$20"), Ok(Raise::To(Money::from_usd(20))));
        assert_eq!(raise("+$5"), Ok(Raise::By(Money::from_usd(5))));
        for typed in ["", "+", "-$5", "$5/month", "ten"] {
            assert!(raise(typed).is_err(), "{typed}");
        }
        assert_eq!(limit_change("none"), Ok(LimitChange(None)));
        assert!(limit_change("0").is_err());
    }

    #[test]
    fn correction_may_be_negative_but_not_zero() {
        for (typed, expected) in [("-$0.12", "-0.12"), ("0.5", "0.5"), ("$-3", "-3")] {
            assert_eq!(correction(typed).as_deref(), Ok(expected));
        }
        for typed in ["", "0", "-", "-0", "ten", "-.0"] {
            assert!(correction(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn expiry_is_a_duration_or_an_instant() {
        for typed in [
            "7d",
            "12h",
            "30m",
            "2026-12-31T00:00:00Z",
            "2026-12-31T00:00:00+01:00",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(expiry(typed).as_deref(), Ok(typed));
        }
        for typed in [
            "",
            "d",
            "7",
            "0d",
            "-7d",
            "7w",
            "7y",
            "tomorrow",
            "2026-12-31",
            "7ä",
        ] {
            assert!(expiry(typed).is_err(), "{typed}");
        }
    }
}
