//! Rates of LiteLLM, which are floats per token, as exact decimal digits per million tokens.

/// A rate per token as one per million tokens, in decimal digits: `1.5e-06` is `1.5`.
pub(super) fn per_million(text: &str) -> Option<String> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = format!("{whole}{part}");
    if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) || exponent.abs() > 30 {
        return None;
    }
    // places of the decimal point behind the first digit of `all`
    let point = whole.len() as i32 + exponent + 6;
    let (before, after) = if point <= 0 {
        (
            String::new(),
            "0".repeat(point.unsigned_abs() as usize) + &all,
        )
    } else if point as usize >= all.len() {
        (
            all.clone() + &"0".repeat(point as usize - all.len()),
            String::new(),
        )
    } else {
        (
            all[..point as usize].to_owned(),
            all[point as usize..].to_owned(),
        )
    };
    let before = before.trim_start_matches('0');
    let after = after.trim_end_matches('0');
    let before = if before.is_empty() { "0" } else { before };
    Some(if after.is_empty() {
        before.to_owned()
    } else {
        format!("{before}.{after}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_per_token_becomes_exact_digits_per_million() {
        for (text, expected) in [
            ("0.0000025", Some("2.5")),
            ("1.5e-06", Some("1.5")),
            ("1e-5", Some("10")),
            ("0", Some("0")),
            ("0.000000075", Some("0.075")),
            ("3E-08", Some("0.03")),
            ("-1", None),
            ("free", None),
        ] {
            assert_eq!(per_million(text).as_deref(), expected, "{text}");
        }
    }
}
