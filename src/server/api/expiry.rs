//! `expires` in a body: a duration from now, an instant, or null for never.

use crate::domain::api_error::ApiError;
use crate::domain::zone::Zone;
use crate::server::api::body::Fields;

const EXPIRY_DAYS_MAX: u64 = 3_650;

/// `Some(None)`: null, the key never expires.
pub(super) fn take_expiry(
    fields: &mut Fields,
    now_ms: u64,
) -> Result<Option<Option<u64>>, ApiError> {
    let text: Option<Option<String>> =
        fields.take_nullable("expires", "a text like `7d`, or null for never")?;
    let Some(text) = text else { return Ok(None) };
    text.map(|text| fields.within("expires", parse_expiry(&text, now_ms)))
        .transpose()
        .map(Some)
}

/// A duration from now such as `7d`, `12h`, `30m`, or a future RFC 3339 instant.
fn parse_expiry(text: &str, now_ms: u64) -> Result<u64, ApiError> {
    let from_now_ms = duration_ms(text).map(|duration_ms| now_ms.saturating_add(duration_ms));
    let Some(expires_ms) = from_now_ms.or_else(|| Zone::parse_rfc3339(text)) else {
        return Err(ApiError::invalid(
            "must be a time from now like `7d`, `12h`, `30m`, or an instant like `2026-12-31T00:00:00Z`",
        ));
    };
    if expires_ms <= now_ms {
        return Err(ApiError::invalid("must be in the future"));
    }
    if expires_ms - now_ms > EXPIRY_DAYS_MAX * 86_400_000 {
        return Err(ApiError::invalid(format!(
            "must be at most {EXPIRY_DAYS_MAX} days ahead; leave it out for a key that never expires"
        )));
    }
    Ok(expires_ms)
}

/// `7d`, `12h` or `30m`.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let (count, unit_ms) = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000u64)]
        .into_iter()
        .find_map(|(letter, unit_ms)| Some((text.strip_suffix(letter)?, unit_ms)))?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    count.parse::<u64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;

    #[test]
    fn expiry_must_be_in_the_future() {
        assert_eq!(
            parse_expiry("7d", NOW_MS).expect("days"),
            NOW_MS + 7 * 86_400_000
        );
        assert_eq!(
            parse_expiry("12h", NOW_MS).expect("hours"),
            NOW_MS + 12 * 3_600_000
        );
        assert_eq!(
            parse_expiry("30m", NOW_MS).expect("minutes"),
            NOW_MS + 30 * 60_000
        );
        assert!(parse_expiry("2026-12-31T00:00:00+01:00", NOW_MS).is_ok());
        for text in [
            "",
            "d",
            "7",
            "-7d",
            "+7d",
            "0m",
            "7w",
            "99999999999999999999d",
            "18446744073709551615d",
            "2020-01-01T00:00:00Z",
            "9999d",
            "2026-12-31",
        ] {
            assert!(parse_expiry(text, NOW_MS).is_err(), "{text}");
        }
    }
}
