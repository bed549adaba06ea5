//! Snapshot date at the end of a model name: `gpt-5.1-2025-11-13` is `gpt-5.1` as of that date.
//! Must never take other digits (`m-4096`) for a date.

/// Snapshot date, comparable among snapshots of one model. Short forms lack year or day and sort
/// first.
pub(super) type SnapshotDate = (bool, u32);

/// Splits `name-YYYY-MM-DD`, `name-YYYYMMDD` and `name-MMDD` (or `-YYMM`) into name and date.
pub(super) fn split_date(model: &str) -> Option<(&str, SnapshotDate)> {
    long_dashed(model)
        .or_else(|| long(model))
        .or_else(|| short(model))
}

fn long_dashed(model: &str) -> Option<(&str, SnapshotDate)> {
    let (rest, day) = model.rsplit_once('-')?;
    let (rest, month) = rest.rsplit_once('-')?;
    let (name, year) = rest.rsplit_once('-')?;
    full_date(name, number(year, 4)?, number(month, 2)?, number(day, 2)?)
}

fn long(model: &str) -> Option<(&str, SnapshotDate)> {
    let (name, digits) = model.rsplit_once('-')?;
    let date = number(digits, 8)?;
    full_date(name, date / 10_000, date / 100 % 100, date % 100)
}

fn short(model: &str) -> Option<(&str, SnapshotDate)> {
    let (name, digits) = model.rsplit_once('-')?;
    let date = number(digits, 4)?;
    let (high, low) = (date / 100, date % 100);
    let month_and_day = (1..=12).contains(&high) && (1..=31).contains(&low);
    let year_and_month = (23..=39).contains(&high) && (1..=12).contains(&low);
    // `model-05-2026` ends with month and year, which is part of the name
    let is_isolated = name
        .rsplit('-')
        .next()
        .is_none_or(|previous| number(previous, 2).is_none());
    (is_isolated && !name.is_empty() && (month_and_day || year_and_month))
        .then_some((name, (false, date)))
}

fn full_date(name: &str, year: u32, month: u32, day: u32) -> Option<(&str, SnapshotDate)> {
    let is_valid =
        (2020..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (is_valid && !name.is_empty()).then_some((name, (true, year * 10_000 + month * 100 + day)))
}

fn number(digits: &str, width: usize) -> Option<u32> {
    (digits.len() == width && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_date_is_distinguished_from_other_digits() {
        for (model, name, date) in [
            ("gpt-5.1-2025-11-13", "gpt-5.1", (true, 20_251_113)),
            (
                "claude-haiku-4-5-20251001",
                "claude-haiku-4-5",
                (true, 20_251_001),
            ),
            ("gpt-4-0613", "gpt-4", (false, 613)),
            ("mistral-large-2512", "mistral-large", (false, 2512)),
        ] {
            assert_eq!(split_date(model), Some((name, date)), "{model}");
        }
        for model in [
            "gpt-5.1",
            "gpt-5.1-2025-13-01",
            "m-99999999",
            "m-4096",
            "command-a-plus-05-2026",
            "-0613",
            "0613",
            "é-20251001x",
        ] {
            assert_eq!(split_date(model), None, "{model}");
        }
    }
}
