//! Snapshots at the end of a model name: `gpt-5.1-2025-11-13` is `gpt-5.1` as of that date. Must
//! never take other digits (`m-4096`) for a date, nor another model (`-mini`) for a snapshot.

/// Age of a snapshot, comparable among snapshots of one model: full date or not, date or number,
/// version. Short forms lack year or day and sort first.
pub type SnapshotAge = (bool, u32, u32);

/// True if `name` is `model` with a snapshot's suffix: `-YYYY-MM-DD`, `-YYYYMMDD`, `@YYYYMMDD`,
/// `-MMDD`, `-YYMM`, `-00N`, or `-vN:M` alone or after one of these. A name is no snapshot of itself.
pub fn is_snapshot(name: &str, model: &str) -> bool {
    undated_names(name).any(|(undated, _)| undated == model)
}

/// Names that this name is a snapshot of, the longest first.
pub fn undated_names(name: &str) -> impl Iterator<Item = (&str, SnapshotAge)> {
    let versioned = split_version(name);
    let (rest, version) = versioned.unwrap_or((name, 0));
    let dated = split_date(rest).map(|(undated, (full, date))| (undated, (full, date, version)));
    let unversioned = versioned.map(|(rest, version)| (rest, (false, 0, version)));
    unversioned.into_iter().chain(dated)
}

/// Splits `name-vN:M`; the version is N × 1000 + M.
fn split_version(model: &str) -> Option<(&str, u32)> {
    let (rest, minor) = model.rsplit_once(':')?;
    let (name, major) = rest.rsplit_once("-v")?;
    let short = |digits: &str| number(digits, 1).or_else(|| number(digits, 2));
    (!name.is_empty()).then_some((name, short(major)? * 1_000 + short(minor)?))
}

/// Splits a name and its date or number.
fn split_date(model: &str) -> Option<(&str, (bool, u32))> {
    long_dashed(model)
        .or_else(|| long(model))
        .or_else(|| short(model))
        .or_else(|| numbered(model))
}

fn long_dashed(model: &str) -> Option<(&str, (bool, u32))> {
    let (rest, day) = model.rsplit_once('-')?;
    let (rest, month) = rest.rsplit_once('-')?;
    let (name, year) = rest.rsplit_once('-')?;
    full_date(name, number(year, 4)?, number(month, 2)?, number(day, 2)?)
}

fn long(model: &str) -> Option<(&str, (bool, u32))> {
    let (name, digits) = model.rsplit_once(['-', '@'])?;
    let date = number(digits, 8)?;
    full_date(name, date / 10_000, date / 100 % 100, date % 100)
}

fn short(model: &str) -> Option<(&str, (bool, u32))> {
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

/// Splits `name-001`; numbers stay below 10.
fn numbered(model: &str) -> Option<(&str, (bool, u32))> {
    let (name, digits) = model.rsplit_once('-')?;
    let number = number(digits, 3).filter(|number| (1..10).contains(number))?;
    (!name.is_empty()).then_some((name, (false, number)))
}

fn full_date(name: &str, year: u32, month: u32, day: u32) -> Option<(&str, (bool, u32))> {
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
    fn snapshot_matches_its_model_and_nothing_else() {
        for (name, model) in [
            ("gpt-5.1-2025-11-13", "gpt-5.1"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("gpt-4-0613", "gpt-4"),
            ("mistral-large-2512", "mistral-large"),
            ("gemini-2.0-flash-001", "gemini-2.0-flash"),
            ("amazon.nova-lite-v1:0", "amazon.nova-lite"),
            (
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic.claude-sonnet-4-5",
            ),
            (
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "anthropic.claude-sonnet-4-5-20250929",
            ),
            ("openai/gpt-oss-120b-2025-08-05", "openai/gpt-oss-120b"),
        ] {
            assert!(is_snapshot(name, model), "{name} of {model}");
            assert!(!is_snapshot(model, name), "{model} of {name}");
        }
        for (name, model) in [
            ("gpt-5.1", "gpt-5.1"),
            ("gpt-5.1-mini", "gpt-5.1"),
            ("gpt-5.1-codex", "gpt-5.1"),
            ("gpt-5.1-mini-2025-11-13", "gpt-5.1"),
            ("gpt-5.1-2025-13-01", "gpt-5.1"),
            ("gpt-5.1-2025-11-13", "gpt-5"),
            ("gpt-5.1-2025-11-13-preview", "gpt-5.1"),
            ("gpt-5-2", "gpt-5"),
            ("m-99999999", "m"),
            ("m-4096", "m"),
            ("m-010", "m"),
            ("m-000", "m"),
            ("m-v2", "m"),
            ("m:0", "m"),
            ("m-v1:latest", "m"),
            ("command-a-plus-05-2026", "command-a-plus-05"),
            ("command-a-plus-05-2026", "command-a-plus"),
            ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
            ("us.amazon.nova-lite-v1:0", "amazon.nova-lite"),
            ("-0613", ""),
            ("0613", ""),
            ("é-20251001x", "é"),
        ] {
            assert!(!is_snapshot(name, model), "{name} of {model}");
        }
    }

    #[test]
    fn newer_snapshot_has_the_higher_age() {
        let age = |name| undated_names(name).last().map(|(_, age)| age);
        for (older, newer) in [
            ("m-0613", "m-20230101"),
            ("m-2025-11-13", "m-2025-12-01"),
            ("m-20251113-v1:0", "m-20251113-v2:0"),
            ("m-001", "m-002"),
        ] {
            assert!(age(older) < age(newer), "{older} {newer}");
        }
    }
}
