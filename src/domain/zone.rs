//! Time zone of the instance: boundaries of hours, days, weeks and months, and dates as text. Uses the bundled zone data only,
//! never that of the system.

use jiff::civil::{Date, Weekday};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::domain::budget::Period;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// A window of a budget or roll-up: `start_ms <= instant < end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_ms: u64,
    pub end_ms: u64,
}

impl Window {
    /// The only window of a `total` budget.
    pub const ALWAYS: Window = Window {
        start_ms: 0,
        end_ms: u64::MAX,
    };

    pub fn contains(self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

impl Zone {
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// Looks up an IANA zone by name; `None` if unknown.
    pub fn parse(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// IANA name of the zone.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Window of a budget period that contains the instant.
    pub fn window(&self, period: Period, at_ms: u64) -> Window {
        match period {
            Period::Total => Window::ALWAYS,
            Period::Daily => self.day(at_ms),
            Period::Weekly => self.span(at_ms, |date| {
                let start = date
                    .nth_weekday(-1, Weekday::Monday)
                    .map_or(date, |monday| {
                        if date.weekday() == Weekday::Monday {
                            date
                        } else {
                            monday
                        }
                    });
                (start, start.saturating_add(7.days()))
            }),
            Period::Monthly => self.month(at_ms),
        }
    }

    pub fn day(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| (date, date.saturating_add(1.day())))
    }

    pub fn month(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| {
            (
                date.first_of_month(),
                date.first_of_month().saturating_add(1.month()),
            )
        })
    }

    /// Hour of local time that contains the instant, also in zones with a half-hour offset. A clock change within an hour splits
    /// it in two.
    pub fn hour(&self, at_ms: u64) -> Window {
        const HOUR_MS: u64 = 3_600_000;
        let zoned = self.at(at_ms);
        let into_ms = i64::from(zoned.minute()) * 60_000
            + i64::from(zoned.second()) * 1_000
            + i64::from(zoned.millisecond());
        let start_ms = at_ms.saturating_sub(into_ms.unsigned_abs());
        let mut hour = Window {
            start_ms,
            end_ms: start_ms.saturating_add(HOUR_MS),
        };
        let has_other_offset = |other_ms| self.at(other_ms).offset() != zoned.offset();
        if has_other_offset(hour.start_ms) {
            let change = self.0.preceding(zoned.timestamp() + 1.nanosecond()).next();
            hour.start_ms = change.map_or(hour.start_ms, |change| millis(change.timestamp()));
        }
        if has_other_offset(hour.end_ms - 1) {
            let change = self.0.following(zoned.timestamp()).next();
            hour.end_ms = change.map_or(hour.end_ms, |change| millis(change.timestamp()));
        }
        hour
    }

    /// First instant of a date such as `2026-11-01`, clamped to the supported range: clients send `9999-12-31` for "no end".
    pub fn date_start_ms(&self, date: &str) -> Option<u64> {
        let date: Date = date.parse().ok()?;
        Some(self.start_of(date))
    }

    /// Local date of an instant, in the format of `date_start_ms`.
    pub fn date(&self, at_ms: u64) -> String {
        self.at(at_ms).date().to_string()
    }

    /// Day and time for people, without the year: `1 Dec 00:00 UTC`.
    pub fn day_and_time(&self, at_ms: u64) -> String {
        let zoned = self.at(at_ms);
        zoned.strftime("%-d %b %H:%M %Z").to_string()
    }

    /// Hours and minutes with the zone: `00:00 UTC`.
    pub fn hour_and_minute(&self, at_ms: u64) -> String {
        self.at(at_ms).strftime("%H:%M %Z").to_string()
    }

    /// Time of day without the zone: `10:00:07`.
    pub fn time_of_day(&self, at_ms: u64) -> String {
        self.at(at_ms).strftime("%H:%M:%S").to_string()
    }

    /// RFC 3339 in UTC, with milliseconds unless they are zero.
    pub fn rfc3339(&self, at_ms: u64) -> String {
        timestamp(at_ms).to_string()
    }

    /// Parses RFC 3339 with an offset, clamped to the supported range.
    pub fn parse_rfc3339(text: &str) -> Option<u64> {
        match text.parse() {
            Ok(at) => Some(millis(at)),
            Err(_) => {
                let pieces = Pieces::parse(text).ok()?;
                let is_instant = pieces.time().is_some() && pieces.offset().is_some();
                is_instant.then(|| clamp(pieces.date()))
            }
        }
    }

    fn at(&self, at_ms: u64) -> ZonedDateTime {
        timestamp(at_ms).to_zoned_datetime(self.0.clone())
    }

    fn span(&self, at_ms: u64, cut: impl Fn(Date) -> (Date, Date)) -> Window {
        let (from, to) = cut(self.day_of(at_ms));
        Window {
            start_ms: self.start_of(from),
            end_ms: self.start_of(to),
        }
    }

    /// The latest day that has begun: if a clock change just after midnight sets the clock back across midnight, the new day has
    /// still begun.
    fn day_of(&self, at_ms: u64) -> Date {
        let date = self.at(at_ms).date();
        let next = date.saturating_add(1.day());
        if self.start_of(next) <= at_ms {
            next
        } else {
            date
        }
    }

    /// Midnight, or the first instant after it if a clock change skips midnight.
    fn start_of(&self, date: Date) -> u64 {
        date.to_zoned_datetime(self.0.clone())
            .ok()
            .and_then(|midnight| midnight.start_of_day().ok())
            .map_or_else(|| clamp(date), |start| millis(start.timestamp()))
    }
}

/// 9999-12-30T22:00:00Z, the last second representable in every zone.
const LAST_MS: u64 = 253_402_207_200_000;

/// The nearest supported instant to a date outside the supported range.
fn clamp(date: Date) -> u64 {
    if date.year() > 0 { LAST_MS } else { 0 }
}

/// Milliseconds since 1970; instants before 1970 become 0.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).map_or(0, |ms| ms.min(LAST_MS))
}

/// Timestamp of an instant, clamped to the supported range.
fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms.min(LAST_MS))
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
