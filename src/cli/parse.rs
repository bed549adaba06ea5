//! Argument parsers for money, limits and expiry: take the text of an argument, return the value for the request body or
//! an error with the syntax. The server validates again; these only fail earlier.

use std::num::NonZeroU32;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::domain::budget::Period;
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

/// Validates `7d`, `12h`, `30m` or an instant and returns it unchanged: durations count from the server's clock.
pub fn expiry(text: &str) -> Result<String, String> {
    let (digits, unit) =
        text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let duration =
        matches!(unit, "d" | "h" | "m") && digits.parse::<u32>().is_ok_and(|count| count > 0);
    if duration || Zone::parse_rfc3339(text).is_some() {
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
