//! Where an hour, a day, a week or a month begins: in the one time zone of the instance, from bundled zone data.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::domain::budget::Period;

/// The instance's time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// One window of a budget or roll-up: `start_ms <= instant < end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_ms: u64,
    pub end_ms: u64,
}

impl Window {
    /// The only window of a `total` budget.
    pub const ALWAYS: Window = Window { start_ms: 0, end_ms: u64::MAX };

    pub fn holds(self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

impl Zone {
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// Finds an IANA zone by name; `None` if there is no such zone.
    pub fn parse(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// The window of a budget's period that an instant falls into.
    pub fn window(&self, period: Period, at_ms: u64) -> Window {
        match period {
            Period::Total => Window::ALWAYS,
            Period::Daily => self.day(at_ms),
            Period::Weekly => self.span(at_ms, |date| {
                let start = date
                    .nth_weekday(-1, Weekday::Monday)
                    .map_or(date, |monday| if date.weekday() == Weekday::Monday { date } else { monday });
                (start, start.saturating_add(7.days()))
            }),
            Period::Monthly => self.month(at_ms),
        }
    }

    pub fn day(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| (date, date.saturating_add(1.day())))
    }

    pub fn month(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| (date.first_of_month(), date.first_of_month().saturating_add(1.month())))
    }

    /// The clock hour: whole hours of local time, so that a zone of half an hour's offset is cut at its own hours.
    pub fn hour(&self, at_ms: u64) -> Window {
        let zoned = self.at(at_ms);
        let into_ms = i64::from(zoned.minute()) * 60_000 + i64::from(zoned.second()) * 1_000 + i64::from(zoned.millisecond());
        let start_ms = at_ms.saturating_sub(into_ms.unsigned_abs());
        Window { start_ms, end_ms: start_ms.saturating_add(3_600_000) }
    }

    /// The first instant of a date written `2026-11-01`.
    pub fn date_start_ms(&self, date: &str) -> Option<u64> {
        let date: Date = date.parse().ok()?;
        Some(self.start_of(date))
    }

    /// The local date of an instant, written as `date_start_ms` reads it.
    pub fn date(&self, at_ms: u64) -> String {
        self.at(at_ms).date().to_string()
    }

    /// RFC 3339 in UTC, to the millisecond where there is one.
    pub fn rfc3339(&self, at_ms: u64) -> String {
        timestamp(at_ms).to_string()
    }

    /// Reads RFC 3339 with an offset.
    pub fn parse_rfc3339(text: &str) -> Option<u64> {
        let at: Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok()
    }

    fn at(&self, at_ms: u64) -> ZonedDateTime {
        timestamp(at_ms).to_zoned_datetime(self.0.clone())
    }

    fn span(&self, at_ms: u64, cut: impl Fn(Date) -> (Date, Date)) -> Window {
        let (from, to) = cut(self.at(at_ms).date());
        Window { start_ms: self.start_of(from), end_ms: self.start_of(to) }
    }

    /// Midnight, or the first instant after it where a clock change skips midnight.
    fn start_of(&self, date: Date) -> u64 {
        date.to_zoned_datetime(self.0.clone())
            .ok()
            .and_then(|midnight| midnight.start_of_day().ok())
            .map_or(0, |start| u64::try_from(start.timestamp().as_millisecond()).unwrap_or(0))
    }
}

/// Beyond what a calendar can show the last instant it can.
fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        Zone::parse_rfc3339(text).expect(text)
    }

    #[test]
    fn windows_are_cut_in_the_zone_of_the_instance() {
        for (zone, period, at, start, end) in [
            ("UTC", Period::Daily, "2026-11-23T21:42:00Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"),
            ("UTC", Period::Weekly, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            ("UTC", Period::Weekly, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
            ("UTC", Period::Monthly, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("Europe/Berlin", Period::Daily, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("Europe/Berlin", Period::Daily, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("Pacific/Apia", Period::Daily, "2011-12-31T00:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        ] {
            let window = Zone::parse(zone).expect(zone).window(period, ms(at));
            assert_eq!((window.start_ms, window.end_ms), (ms(start), ms(end)), "{zone} {period:?} {at}");
        }
    }

    #[test]
    fn an_hour_is_cut_at_the_local_hour() {
        let hour = Zone::parse("Asia/Kolkata").expect("zone").hour(ms("2026-11-23T10:45:10Z"));
        assert_eq!(hour.start_ms, ms("2026-11-23T10:30:00Z"));
    }

    #[test]
    fn an_unknown_zone_is_not_found() {
        assert!(Zone::parse("Mars/Olympus").is_none());
    }
}
